//! Who answers: the product and version of gateways, and what runs at each address of an origin.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::DescriptorEncoder;

use super::labels::{Labels, Value};
use super::state::State;
use super::{Tables, catalogue};
use crate::observation::version::Version;

/// Different versions of one upstream, or of one gateway in front of it; those beyond stand as `other`.
const MAX_VERSIONS: usize = 8;
const OTHER: &str = "other";

/// Writes both families.
pub(super) fn encode(tables: &Tables, encoder: &mut DescriptorEncoder) -> fmt::Result {
    encode_gateways(tables, encoder)?;
    encode_origins(tables, encoder)
}

fn encode_gateways(tables: &Tables, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let mut metric = catalogue::GATEWAY_VERSION.describe(encoder)?;
    for hop in tables.hops() {
        for shown in of_gateway(&hop.state()) {
            let further = [
                ("product", Value::Text(&shown.product)),
                ("version", Value::Text(&shown.version)),
            ];
            metric.encode_info(&Labels {
                ready: &hop.labels,
                further: &further,
            })?;
        }
    }
    Ok(())
}

/// Each once, however many addresses show it.
fn of_gateway(state: &State) -> BTreeSet<Version> {
    let shown = state.places.iter().filter_map(|place| place.version.clone());
    let gateway = shown.filter(|_| !state.shape.hop.is_origin());
    gateway.take(MAX_VERSIONS).collect()
}

fn encode_origins(tables: &Tables, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let mut metric = catalogue::ORIGIN_VERSION.describe(encoder)?;
    for upstream in &tables.upstreams {
        let mut known = BTreeSet::new();
        for hop in upstream.hops.iter() {
            for (address, version) in of_origin(&hop.state()) {
                let has_room = known.len() < MAX_VERSIONS || known.contains(&version);
                let shown = if has_room { version.as_str() } else { OTHER };
                let labels = [
                    ("upstream", Value::Text(&upstream.config.name)),
                    ("address", Value::Text(&address)),
                    ("version", Value::Text(shown)),
                ];
                metric.encode_info(&labels)?;
                if has_room {
                    known.insert(version);
                }
            }
        }
    }
    Ok(())
}

fn of_origin(state: &State) -> Vec<(Arc<str>, String)> {
    let places = state.places.iter().filter(|_| state.shape.hop.is_origin());
    places
        .filter_map(|place| Some((Arc::clone(&place.text), place.version.as_ref()?.to_string())))
        .collect()
}
