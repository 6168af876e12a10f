//! The web configuration file, in the format that Prometheus exporters share: TLS, users, headers, a rate limit.
//!
//! The file and the files it names are looked at for each connection and each request, and read again when they have
//! changed, so that new certificates and users need no reload. Settings are replaced whole or not at all:
//!
//! 1. A file that cannot be used leaves the last good settings in force. That is logged once.
//! 2. So does one without TLS, users or required client certificates where there were some: an empty file is valid, and
//!    a file is empty for a moment while it is written. Taking protection away needs a restart.
//!
//! Unlike the Go implementation this one speaks HTTP/1.1 only, and knows neither TLS before 1.2 nor CBC cipher suites.

mod auth;
mod changes;
mod client;
mod limit;
mod parse;
mod suites;
#[cfg(test)]
mod tests;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use crate::config::{Note, Problems};

use auth::{Passwords, SignIn, Users};
use changes::Seen;
use limit::Limiter;
use tls::Tls;

/// A web configuration file in use. Shared by all listeners.
pub struct WebConfig {
    path: PathBuf,
    settings: ArcSwap<Settings>,
    passwords: Passwords,
    watched: Mutex<Watched>,
}

/// What the file said when it was last good.
#[derive(Default)]
pub(super) struct Settings {
    /// `None` for plain HTTP.
    tls: Option<Tls>,
    /// Empty where nobody needs to sign in.
    users: Users,
    /// Sent with every answer that does not set them itself.
    headers: Vec<(HeaderName, HeaderValue)>,
    limiter: Option<Arc<Limiter>>,
}

/// What is remembered between two looks at the files.
struct Watched {
    seen: Seen,
    /// Logged already.
    complaint: Option<String>,
}

impl WebConfig {
    /// Reads the file for the first time. The notes say what is valid but has no effect here.
    ///
    /// # Errors
    /// Every problem of the file at once.
    pub fn open(path: &Path) -> Result<(WebConfig, Vec<Note>), Problems> {
        let parse::Reading { files, notes, settings } = parse::read(path);
        let web = WebConfig {
            path: path.to_owned(),
            settings: ArcSwap::from_pointee(settings?),
            passwords: Passwords::new(),
            watched: Mutex::new(Watched {
                seen: files,
                complaint: None,
            }),
        };
        Ok((web, notes))
    }

    /// True where connections are encrypted.
    pub fn has_tls(&self) -> bool {
        self.settings.load().tls.is_some()
    }

    /// The settings for what comes now, read again first where a file has changed.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<Settings> {
        let web = Arc::clone(self);
        // Fails only while the program ends.
        let _ = tokio::task::spawn_blocking(move || web.refresh()).await;
        self.settings.load_full()
    }

    /// Whether a request may pass; else the answer to it.
    pub(super) async fn admit(&self, settings: &Settings, headers: &HeaderMap) -> Result<(), Response> {
        if let Some(limiter) = &settings.limiter
            && !limiter.allow(Instant::now())
        {
            return Err((StatusCode::TOO_MANY_REQUESTS, "Too many requests.\n").into_response());
        }
        if settings.users.is_empty() {
            return Ok(());
        }
        let sign_in = match headers.get(header::AUTHORIZATION).and_then(auth::credentials) {
            Some(credentials) => self.passwords.check(&settings.users, credentials).await,
            None => SignIn::Wrong,
        };
        match sign_in {
            SignIn::Right => Ok(()),
            SignIn::Wrong => {
                let headers = [(header::WWW_AUTHENTICATE, "Basic")];
                Err((StatusCode::UNAUTHORIZED, headers, "Unauthorized.\n").into_response())
            }
            SignIn::Busy => {
                let headers = [(header::RETRY_AFTER, "1")];
                let message = "Too many sign-ins at once.\n";
                Err((StatusCode::SERVICE_UNAVAILABLE, headers, message).into_response())
            }
        }
    }

    fn refresh(&self) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.seen.is_unchanged() {
            return;
        }
        let parse::Reading { files, settings, .. } = parse::read(&self.path);
        watched.seen = files;
        let old = self.settings.load();
        let settings = settings
            .map_err(|problems| problems.to_string())
            .and_then(|new| new.following(&old).map_err(|lost| self.takes_away(lost)));
        match settings {
            Ok(settings) => {
                self.settings.store(Arc::new(settings));
                watched.complaint = None;
                tracing::info!(file = %self.path.display(), "web configuration read again");
            }
            Err(complaint) if watched.complaint.as_ref() == Some(&complaint) => {}
            Err(complaint) => {
                for problem in complaint.lines() {
                    tracing::error!(problem, "web configuration not read again; the old one stays in force");
                }
                watched.complaint = Some(complaint);
            }
        }
    }

    fn takes_away(&self, lost: &str) -> String {
        let file = self.path.display();
        format!("{file}: takes {lost} away, which needs a restart")
    }
}

impl std::fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebConfig({:?})", self.path)
    }
}

impl Settings {
    /// For connections that are encrypted.
    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// True where every request has shown a password.
    pub(super) fn asks_for_password(&self) -> bool {
        !self.users.is_empty()
    }

    /// Adds the configured headers to an answer; those a page sets itself are stricter and stay.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
    }

    /// These settings as the successor of others, or what protection would be lost. A rate limit that stays the same
    /// goes on counting.
    fn following(mut self, old: &Settings) -> Result<Settings, &'static str> {
        let demands = |settings: &Settings| settings.tls.as_ref().is_some_and(|tls| tls.demands_certificate);
        let knows = |settings: &Settings| settings.tls.as_ref().is_some_and(|tls| tls.knows_callers);
        if old.tls.is_some() && self.tls.is_none() {
            return Err("TLS");
        }
        if !old.users.is_empty() && self.users.is_empty() {
            return Err("basic authentication");
        }
        if (demands(old) && !demands(&self)) || (knows(old) && !knows(&self)) {
            return Err("the required client certificate");
        }
        if let (Some(new), Some(old)) = (&self.limiter, &old.limiter)
            && new.is_like(old)
        {
            self.limiter = Some(Arc::clone(old));
        }
        Ok(self)
    }
}
