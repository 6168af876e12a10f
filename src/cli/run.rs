//! `badgateway run`: the daemon in the foreground until SIGTERM or SIGINT; SIGHUP reloads.

use std::path::Path;
use std::process::ExitCode;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cli::{RunArgs, WebFlags, fail};
use crate::config::{Config, Problems};
use crate::daemon::{self, Source};
use crate::server::WebConfig;
use crate::shard::Shard;

/// Loads, binds, runs. Exit 1 with one clear line for each thing that is wrong.
pub fn run(args: RunArgs) -> ExitCode {
    args.flags.log.install();
    let source = match args.urls.is_empty() {
        true => Source::File(args.flags.config.config_file),
        false => Source::Urls {
            urls: args.urls,
            via: args.via,
        },
    };
    match source.load() {
        Ok(config) => serve(source, config, args.flags.shard, &args.flags.web),
        Err(problems) => {
            eprintln!("{problems}");
            if matches!(&source, Source::File(path) if !path.exists()) {
                eprintln!("write one with badgateway init, or watch a URL without one: badgateway run URL");
            }
            ExitCode::FAILURE
        }
    }
}

/// Runs the daemon with a loaded configuration.
pub fn serve(source: Source, config: Config, shard: Shard, flags: &WebFlags) -> ExitCode {
    let web = match web_config(flags) {
        Ok(web) => web,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    raise_file_limit();
    // One thread for all that waits: handing probes from thread to thread costs a third of their CPU time. What computes
    // for long (pages, loading a configuration) goes to the runtime's blocking threads.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives a poll descriptor and a timer");
    let result = runtime.block_on(async {
        let listeners = bind_all(&flags.listen).await?;
        let (reload, reloads) = mpsc::channel(1);
        let stop = CancellationToken::new();
        tokio::spawn(Signals::new().act(reload, stop.clone()));
        daemon::run(source, config, shard, listeners, web, reloads, stop)
            .await
            .map_err(|error| error.to_string())
    });
    // A page being written to a slow scraper is not worth waiting for.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(message, 1),
    }
}

/// The web configuration, if one is named.
fn web_config(flags: &WebFlags) -> Result<Option<WebConfig>, Problems> {
    // Empty is how other exporters say none.
    let Some(path) = flags.config.as_ref().filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let (web, notes) = WebConfig::open(Path::new(path))?;
    for note in notes {
        info!(file = %path.display(), note = %note, "web configuration");
    }
    Ok(Some(web))
}

async fn bind_all(addresses: &[String]) -> Result<Vec<TcpListener>, String> {
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(daemon::bind(address).await?);
    }
    Ok(listeners)
}

/// The signals we act on, handled from the moment this is made: before anybody is told that we are ready.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Self {
        let on = |kind| signal(kind).expect("these signals can be handled");
        Signals {
            hangup: on(SignalKind::hangup()),
            terminate: on(SignalKind::terminate()),
            interrupt: on(SignalKind::interrupt()),
        }
    }

    async fn act(mut self, reload: mpsc::Sender<()>, stop: CancellationToken) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    // A reload that is already waiting will see the newest file too.
                    let _ = reload.try_send(());
                }
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
            }
        }
        info!("stopping");
        stop.cancel();
        // A second signal does not wait for what is under way.
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        std::process::exit(130);
    }
}

/// Each probe under way needs a descriptor; the usual soft limit of 1024 is far below the hard one.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let wanted = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, wanted) {
            tracing::warn!(%error, "cannot raise the limit of open files");
        }
    }
}
