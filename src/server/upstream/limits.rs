//! What the gateways tolerate, beside what was seen, the nearest limit first.

use maud::{Markup, html};

use crate::server::view::UpstreamDetail;

/// The table.
pub(super) fn render(_detail: &UpstreamDetail) -> Markup {
    html! {}
}
