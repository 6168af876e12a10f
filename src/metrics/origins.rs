//! Families of single addresses of origins: what is known of a server beyond what any hop shows.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::DescriptorEncoder;

use super::Tables;
use super::catalogue::{self, Family};
use super::collect::{Number, sample};
use super::labels::Value;
use super::state::Place;
use crate::observation::listening::Queue;

/// What one family shows of one address.
type Of = fn(&Place) -> Option<Number>;

const ORIGIN_FAMILIES: &[(Family, Of)] = &[
    (catalogue::ORIGIN_LISTENING, |place| {
        let listening = place.listening.as_deref()?;
        Some(Number::Int(u64::from(listening.queue().is_some())))
    }),
    (catalogue::ACCEPT_QUEUE_LENGTH, |place| {
        queue(place).map(|queue| Number::Int(u64::from(queue.length)))
    }),
    (catalogue::ACCEPT_QUEUE_LIMIT, |place| {
        queue(place).map(|queue| Number::Int(u64::from(queue.limit)))
    }),
];

fn queue(place: &Place) -> Option<Queue> {
    place.listening.as_deref()?.queue()
}

/// Writes them all.
pub(super) fn encode(tables: &Tables, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let mut rows: Vec<(Arc<str>, Number)> = Vec::new();
    for (family, of) in ORIGIN_FAMILIES {
        let mut metric = family.describe(encoder)?;
        for upstream in &tables.upstreams {
            for hop in &upstream.hops {
                rows.clear();
                copy(&hop.state(), *of, &mut rows);
                for (address, number) in &rows {
                    let labels = [
                        ("upstream", Value::Text(&upstream.config.name)),
                        ("address", Value::Text(address)),
                    ];
                    sample(&mut metric.encode_family(&labels)?, family, *number)?;
                }
            }
        }
    }
    Ok(())
}

/// Copied, so that no lock is held while a page is written.
fn copy(state: &super::state::State, of: Of, rows: &mut Vec<(Arc<str>, Number)>) {
    if state.shape.hop.is_origin() {
        let shown = state
            .places
            .iter()
            .filter_map(|place| Some((Arc::clone(&place.text), of(place)?)));
        rows.extend(shown);
    }
}
