//! Basic authentication (RFC 7617) against bcrypt hashes, which are meant to be slow.
//!
//! So results are remembered, one hash is computed at a time on a thread of its own, and few callers may wait for that.
//! Right and wrong passwords are remembered apart: guesses cannot push a scraper's password out. Passwords themselves
//! are not kept, only digests under a key that this process alone knows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Semaphore;

/// Results remembered of each kind.
const REMEMBERED: usize = 256;
/// Callers whose password waits for its turn, or is being looked at. More get a 503.
const MAX_WAITING: usize = 16;
/// The costliest hash that is taken: some 20 s of one core for each new password. Each step doubles it.
pub(super) const MAX_COST: u32 = 18;
/// Salt and hash of `fakepassword`, compared with where there is no such user.
const FAKE: &str = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// Names and bcrypt hashes.
#[derive(Default)]
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    /// As costly as the costliest of the hashes, so that the time of an answer does not tell whether a user exists.
    fake: String,
}

/// What a caller says who it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    name: Vec<u8>,
    password: Vec<u8>,
}

/// What comes of a caller's credentials.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SignIn {
    /// User and password are right.
    Right,
    /// One of them is not, or they are missing.
    Wrong,
    /// Too many are waiting; nothing was looked at.
    Busy,
}

/// Compares passwords and remembers the results.
pub(super) struct Passwords {
    key: hmac::Key,
    remembered: Mutex<Remembered>,
    waiting: Semaphore,
    computing: Arc<Semaphore>,
}

type Digest = [u8; 32];

#[derive(Default)]
struct Remembered {
    right: VecDeque<Digest>,
    wrong: VecDeque<Digest>,
}

/// True for a hash that [`Passwords`] can compare with.
pub(super) fn check_hash(hash: &str) -> Result<(), String> {
    let cost = cost(hash).ok_or("is no bcrypt hash; make one with: htpasswd -nB NAME")?;
    match cost {
        4..=MAX_COST => Ok(()),
        _ => Err(format!(
            "has the cost {cost}; make a hash with a cost from 4 to {MAX_COST}"
        )),
    }
}

fn cost(hash: &str) -> Option<u32> {
    Some(hash.parse::<bcrypt::HashParts>().ok()?.get_cost())
}

/// The credentials of an `Authorization` header; `None` for another scheme or what cannot be read.
pub(super) fn credentials(value: &HeaderValue) -> Option<Credentials> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = STANDARD.decode(encoded.trim()).ok()?;
    let colon = text.iter().position(|byte| *byte == b':')?;
    Some(Credentials {
        name: text[..colon].to_vec(),
        password: text[colon + 1..].to_vec(),
    })
}

impl Users {
    /// Takes hashes that [`check_hash`] has seen.
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Users {
        let cost = hashes.values().filter_map(|hash| cost(hash)).max().unwrap_or(10);
        Users {
            hashes,
            fake: format!("$2y${cost:02}${FAKE}"),
        }
    }

    /// True where nobody needs to sign in.
    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    fn hash_of(&self, name: &[u8]) -> Option<&String> {
        self.hashes.get(std::str::from_utf8(name).ok()?)
    }
}

impl Passwords {
    /// Nothing remembered yet.
    pub(super) fn new() -> Passwords {
        let random = aws_lc_rs::rand::SystemRandom::new();
        Passwords {
            key: hmac::Key::generate(hmac::HMAC_SHA256, &random).expect("the system gives random bytes"),
            remembered: Mutex::default(),
            waiting: Semaphore::new(MAX_WAITING),
            computing: Arc::new(Semaphore::new(1)),
        }
    }

    /// Whether these are a user's name and password.
    pub(super) async fn check(&self, users: &Users, given: Credentials) -> SignIn {
        let user = users.hash_of(&given.name);
        let hash = user.unwrap_or(&users.fake).clone();
        let digest = self.digest(&given, &hash);
        if let Some(known) = self.recall(&digest) {
            return known;
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            return SignIn::Busy;
        };
        let turn = Arc::clone(&self.computing).acquire_owned().await;
        // Another request with the same password may have come first.
        if let Some(known) = self.recall(&digest) {
            return known;
        }
        let compared = tokio::task::spawn_blocking(move || {
            // Held here, since the caller may be gone before the end.
            let _turn = turn;
            bcrypt::verify(&given.password, &hash).unwrap_or(false)
        });
        match compared.await {
            Ok(same) => {
                let right = same && user.is_some();
                self.remember(digest, right);
                if right { SignIn::Right } else { SignIn::Wrong }
            }
            Err(_) => SignIn::Busy,
        }
    }

    /// Changes with each part, also with the hash: a new password of a user leaves nothing remembered.
    fn digest(&self, given: &Credentials, hash: &str) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [&given.name[..], hash.as_bytes(), &given.password[..]] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    fn recall(&self, digest: &Digest) -> Option<SignIn> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        match (remembered.right.contains(digest), remembered.wrong.contains(digest)) {
            (true, _) => Some(SignIn::Right),
            (false, true) => Some(SignIn::Wrong),
            (false, false) => None,
        }
    }

    fn remember(&self, digest: Digest, right: bool) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let list = match right {
            true => &mut remembered.right,
            false => &mut remembered.wrong,
        };
        if list.len() >= REMEMBERED {
            list.pop_front();
        }
        list.push_back(digest);
    }
}
