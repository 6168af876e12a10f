//! Families that hold the configuration as data: labels, objectives, thresholds, and what gateways tolerate.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::DescriptorEncoder;

use super::Tables;
use super::catalogue::{self, Family};
use super::collect::{Number, sample};
use super::labels::{Labels, Value};
use crate::upstream::{LimitKind, Limits, Upstream};

/// Writers of these families, in the order of the catalogue.
pub(super) const UPSTREAM_FAMILIES: &[fn(&Tables, &mut DescriptorEncoder) -> fmt::Result] = &[
    info,
    |tables, encoder| {
        gauge(tables, encoder, &catalogue::OBJECTIVE, |upstream| {
            upstream.objective.map(Number::Float)
        })
    },
    |tables, encoder| {
        gauge(tables, encoder, &catalogue::INTERVAL, |upstream| {
            Some(Number::Float(upstream.interval.as_secs_f64()))
        })
    },
    |tables, encoder| {
        gauge(tables, encoder, &catalogue::SPIKE_RATIO, |upstream| {
            Some(Number::Float(upstream.spike.ratio))
        })
    },
    |tables, encoder| {
        gauge(tables, encoder, &catalogue::SPIKE_MINIMUM, |upstream| {
            Some(Number::Int(upstream.spike.minimum_requests))
        })
    },
    |tables, encoder| {
        limits(tables, encoder, &catalogue::LIMIT_SECONDS, |limits, kind| {
            limits.time(kind).as_ref().map(Duration::as_secs_f64).map(Number::Float)
        })
    },
    |tables, encoder| {
        limits(tables, encoder, &catalogue::LIMIT_BYTES, |limits, kind| {
            limits.size(kind).map(Number::Int)
        })
    },
];

fn info(tables: &Tables, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let mut metric = catalogue::UPSTREAM_INFO.describe(encoder)?;
    for upstream in &tables.upstreams {
        metric.encode_info(&Labels {
            ready: &upstream.info_labels,
            further: &[],
        })?;
    }
    Ok(())
}

fn gauge(
    tables: &Tables,
    encoder: &mut DescriptorEncoder,
    family: &Family,
    value: fn(&Upstream) -> Option<Number>,
) -> fmt::Result {
    let mut metric = family.describe(encoder)?;
    for upstream in &tables.upstreams {
        if let Some(number) = value(&upstream.config) {
            let labels = [("upstream", Value::Text(&upstream.config.name))];
            sample(&mut metric.encode_family(&labels)?, family, number)?;
        }
    }
    Ok(())
}

fn limits(
    tables: &Tables,
    encoder: &mut DescriptorEncoder,
    family: &Family,
    value: fn(&Limits, LimitKind) -> Option<Number>,
) -> fmt::Result {
    let mut metric = family.describe(encoder)?;
    for upstream in &tables.upstreams {
        for gateway in upstream.config.hops.iter().filter_map(|hop| hop.gateway.as_deref()) {
            for kind in LimitKind::ALL {
                let Some(number) = value(&gateway.limits, kind) else {
                    continue;
                };
                let labels = [
                    ("gateway", Value::Text(&gateway.name)),
                    ("upstream", Value::Text(&upstream.config.name)),
                    ("limit", Value::Text(kind.label())),
                ];
                sample(&mut metric.encode_family(&labels)?, family, number)?;
            }
        }
    }
    Ok(())
}
