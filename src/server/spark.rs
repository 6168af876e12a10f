//! A curve of the last rounds of a hop, small enough for a line of a list.

use std::fmt::Write;

use maud::{Markup, html};

use super::html::seconds;
use crate::history::RoundPoint;

/// The box it is drawn in.
const WIDTH: f32 = 240.0;
const HEIGHT: f32 = 30.0;

/// The curve of latency, with a mark below each round that failed.
pub(super) fn line(rounds: &[RoundPoint]) -> Markup {
    let times = || rounds.iter().filter_map(|round| round.seconds);
    let Some(last) = times().next_back() else {
        return html! { p.dim { "no round yet" } };
    };
    let most = times().fold(0.001_f32, f32::max);
    let least = times().fold(f32::INFINITY, f32::min);
    let failed = rounds.iter().filter(|round| round.failed).count();
    let step = WIDTH / rounds.len().max(2) as f32;
    let mut points = String::new();
    for (number, round) in rounds.iter().enumerate() {
        if let Some(time) = round.seconds {
            let (x, y) = ((number as f32 + 0.5) * step, (HEIGHT - 6.0) * (1.0 - time / most) + 1.0);
            // Writing to a string does not fail.
            let _ = write!(points, "{x:.1},{y:.1} ");
        }
    }
    let told = format!(
        "Latency of the last {} rounds: {} to {}; {failed} failed",
        rounds.len(),
        seconds(least.into()),
        seconds(most.into())
    );
    html! {
        svg.spark viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(told) {
            title { (told) }
            polyline points=(points.trim_end()) {}
            @for (number, round) in rounds.iter().enumerate() {
                @if round.failed {
                    rect x=(format!("{:.1}", number as f32 * step)) y=(HEIGHT - 4.0) width=(format!("{step:.1}")) height="4" {}
                }
            }
        }
        span.dim { (seconds(last.into())) @if failed > 0 { ", " span.bad { (failed) " of " (rounds.len()) " rounds failed" } } }
    }
}
