//! `/health/{upstream}[?address=]`: for a gateway to ask. Anybody may, since a gateway that is refused takes its servers
//! out; what is said is one word and why.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::health::Health;

/// The answer in whatever method it was asked for: HAProxy's default is OPTIONS.
pub(super) fn answer(health: Health) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store")];
    match health {
        Health::Up(why) => (headers, format!("up: {}\n", why.text())).into_response(),
        Health::Down => (StatusCode::SERVICE_UNAVAILABLE, headers, "down: confirmed failing\n").into_response(),
    }
}
