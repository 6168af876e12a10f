//! Families of what probes beside the rounds found out of an origin's addresses.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::Tables;
use super::catalogue::{self, Family};
use super::collect::{Number, sample};
use super::labels::Value;
use super::state::Place;
use crate::finding::KeptIdle;

/// What one family shows of one address.
type Show = fn(&Place) -> Option<Number>;

const ADDRESS_FAMILIES: &[(Family, Show)] = &[
    (catalogue::KEEPALIVE_IDLE, |place| match place.kept_idle? {
        KeptIdle::For(time) => Some(Number::Float(time.as_secs_f64())),
        KeptIdle::AtLeast(_) | KeptIdle::Never => None,
    }),
    (catalogue::KEEPALIVE_IDLE_LOWER_BOUND, |place| match place.kept_idle? {
        KeptIdle::AtLeast(time) => Some(Number::Float(time.as_secs_f64())),
        KeptIdle::For(_) | KeptIdle::Never => None,
    }),
    (catalogue::HEALTH_CHECK_HEALTHY, |place| {
        place.checked_healthy.map(|healthy| Number::Int(u64::from(healthy)))
    }),
];

/// Writes them all. Only the origin hop has them, so none has a label for the hop.
pub(super) fn encode(tables: &Tables, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let mut rows = Vec::new();
    for (family, show) in ADDRESS_FAMILIES {
        let mut metric = family.describe(encoder)?;
        for upstream in &tables.upstreams {
            for hop in &upstream.hops {
                rows.clear();
                let state = hop.state();
                let shown = state
                    .places
                    .iter()
                    .filter_map(|place| Some((place.text.clone(), show(place)?)));
                rows.extend(shown);
                drop(state);
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
    transitions(tables, encoder)
}

fn transitions(tables: &Tables, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let family = &catalogue::HEALTH_CHECK_TRANSITIONS;
    let mut metric = family.describe(encoder)?;
    for upstream in &tables.upstreams {
        for hop in upstream.hops.iter() {
            let (checked, count) = {
                let state = hop.state();
                (state.shape.hop.health_check.is_some(), state.check_transitions)
            };
            if checked || count > 0 {
                let labels = [("upstream", Value::Text(&upstream.config.name))];
                sample(&mut metric.encode_family(&labels)?, family, Number::Int(count))?;
            }
        }
    }
    Ok(())
}
