//! The families of upstreams, hops and addresses, written from the tables through the library's `Collector`.
//!
//! Each family walks all hops, which are sorted, so that neighbouring lines resemble each other and compress well.
//! A hop's values are copied out under its lock, family by family; the page is written with no lock held.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    CounterValueEncoder, DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, GaugeValueEncoder, MetricEncoder,
    NoLabelSet,
};

use super::Tables;
use super::addresses;
use super::catalogue::{self, Family, Kind};
use super::labels::{Labels, Value};
use super::process::Process;
use super::state::{EXTRA_PURPOSES, State};
use super::values::Total;
use crate::cause::Cause;
use crate::finding::limits::PROBED;
use crate::observation::OwnLimit;

/// A sample's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(u64),
    Float(f64),
}

impl EncodeCounterValue for Number {
    fn encode(&self, encoder: &mut CounterValueEncoder) -> fmt::Result {
        match self {
            Number::Int(value) => EncodeCounterValue::encode(value, encoder),
            Number::Float(value) => EncodeCounterValue::encode(value, encoder),
        }
    }
}

impl EncodeGaugeValue for Number {
    fn encode(&self, encoder: &mut GaugeValueEncoder) -> fmt::Result {
        match self {
            Number::Int(value) => EncodeGaugeValue::encode(value, encoder),
            Number::Float(value) => EncodeGaugeValue::encode(value, encoder),
        }
    }
}

/// Writes one sample of a counter or gauge.
pub(super) fn sample(metric: &mut MetricEncoder, family: &Family, value: Number) -> fmt::Result {
    match family.kind {
        Kind::Counter => metric.encode_counter::<NoLabelSet, Number, u64>(&value, None),
        _ => metric.encode_gauge(&value),
    }
}

/// Copies what one family shows of a hop. The text is the value of the family's third label, where it has one.
type Copy = fn(&State, now_seconds: u64, &mut Vec<(Value<'static>, Number)>);

/// The families with at most one label beside `upstream` and `hop`.
const HOP_FAMILIES: &[(Family, Copy)] = &[
    (catalogue::PROBE_FAILURES, |state, _, out| {
        causes(state, out, |cause| Some(cause.label()));
    }),
    (catalogue::DNS_FAILURES, |state, _, out| {
        causes(state, out, Cause::dns_reason)
    }),
    (catalogue::CONNECT_REFUSED, |state, _, out| {
        out.push(alone(state.failures[Cause::ConnectRefused.index()]));
    }),
    (catalogue::INVALID_RESPONSES, |state, _, out| {
        causes(state, out, Cause::invalid_reason)
    }),
    (catalogue::BAD_GATEWAY, |state, _, out| {
        out.push(alone(state.bad_gateways))
    }),
    (catalogue::CACHED_ERRORS, |state, _, out| {
        out.extend((state.cached_errors > 0).then(|| alone(state.cached_errors)));
    }),
    (catalogue::RESPONSES, |state, _, out| {
        out.extend(
            state
                .codes
                .iter()
                .map(|(code, count)| (Value::Code(code), Number::Int(count))),
        );
        out.extend(state.codes.other.map(|count| text("other", count)));
    }),
    (catalogue::PROBES, |state, _, out| out.push(alone(state.probes))),
    (catalogue::BAD_GATEWAY_RATIO, |state, now, out| {
        out.extend(state.ratio.at(now).map(|ratio| (NO_LABEL, Number::Float(ratio))));
    }),
    (catalogue::ROUNDS_FAILED, |state, _, out| {
        out.push(text(user_view(state), state.rounds_failed))
    }),
    (catalogue::ROUNDS, |state, _, out| {
        out.push(text(user_view(state), state.rounds))
    }),
    (catalogue::PHASE_SECONDS, |state, _, out| {
        out.extend(phases(state).map(|(phase, total)| (Value::Text(phase), Number::Float(total.time.as_secs_f64()))));
    }),
    (catalogue::PHASES, |state, _, out| {
        out.extend(phases(state).map(|(phase, total)| text(phase, total.count)))
    }),
    (catalogue::EXTRA_PROBES, |state, _, out| {
        let purposes = EXTRA_PURPOSES.into_iter().zip(state.extra);
        let reached = purposes.filter(|(purpose, count)| *count > 0 || state.shape.makes(*purpose));
        out.extend(reached.map(|(purpose, count)| text(purpose.label(), count)));
    }),
    (catalogue::TRANSIENT, |state, _, out| out.push(alone(state.transient))),
    (catalogue::ABORTED, |state, _, out| {
        out.extend(
            OwnLimit::ALL
                .iter()
                .zip(state.aborted)
                .map(|(limit, count)| text(limit.label(), count)),
        );
    }),
    (catalogue::LAST_ROUND, |state, _, out| {
        out.extend(state.last_round.map(|at| (NO_LABEL, Number::Float(at))));
    }),
    (catalogue::ADDRESSES, |state, _, out| {
        let Some(counts) = state.addresses else { return };
        let states = [
            ("healthy", counts.healthy),
            ("failing", counts.failing),
            ("skipped", counts.skipped),
            ("unprobed", counts.unprobed),
        ];
        out.extend(states.map(|(name, count)| text(name, u64::from(count))));
    }),
    (catalogue::NEAR_LIMIT, |state, _, out| {
        let limits = PROBED.into_iter().zip(state.near);
        let limited = limits.filter(|(kind, count)| *count > 0 || state.shape.limited(*kind));
        out.extend(limited.map(|(kind, count)| text(kind.label(), count)));
    }),
    (catalogue::HEADER_BYTES, |state, now, out| {
        out.extend(state.header_bytes.at(now).map(alone))
    }),
    (catalogue::BODY_BYTES, |state, now, out| {
        out.extend(state.body_bytes.at(now).map(alone))
    }),
    (catalogue::DNS_TTL, |state, _, out| {
        out.extend(state.dns_ttl.map(|ttl| (NO_LABEL, Number::Float(ttl.as_secs_f64()))));
    }),
    (catalogue::DNS_ADDRESSES, |state, _, out| {
        let counted = state.dns_addresses.filter(|_| state.shape.resolves);
        out.extend(counted.map(|count| alone(count as u64)));
    }),
    (catalogue::DNS_CHANGES, |state, _, out| {
        out.extend(state.shape.resolves.then_some(alone(state.dns_changes)));
    }),
    (catalogue::DNS_RESOLVERS_DISAGREE, |state, _, out| {
        out.extend(state.resolvers_disagree.map(|disagree| alone(u64::from(disagree))));
    }),
    (catalogue::CONTENT_DIFFERS, |state, _, out| {
        out.extend(state.content_differs.map(|differs| alone(u64::from(differs))));
    }),
    (catalogue::CERTIFICATE_LIFETIME, |state, _, out| {
        let certificates = state.places.iter().filter_map(|place| place.certificate);
        let first_to_end = certificates.min_by_key(|certificate| certificate.expiry);
        out.extend(first_to_end.map(|certificate| alone(certificate.lifetime_seconds)));
    }),
];

const NO_LABEL: Value<'static> = Value::Text("");

fn alone(value: u64) -> (Value<'static>, Number) {
    (NO_LABEL, Number::Int(value))
}

fn text(label: &'static str, value: u64) -> (Value<'static>, Number) {
    (Value::Text(label), Number::Int(value))
}

fn user_view(state: &State) -> &'static str {
    match state.shape.hop.user_view {
        true => "true",
        false => "false",
    }
}

/// The failures of every cause that this hop can reach or has reached, and that has a word in this family.
fn causes(state: &State, out: &mut Vec<(Value<'static>, Number)>, word: fn(Cause) -> Option<&'static str>) {
    for cause in Cause::ALL {
        let count = state.failures[cause.index()];
        if let (true, Some(label)) = (count > 0 || state.shape.reaches(*cause), word(*cause)) {
            out.push(text(label, count));
        }
    }
}

/// The phases that this hop has; first_byte is what the histogram holds.
fn phases(state: &State) -> impl Iterator<Item = (&'static str, Total)> {
    let first_byte = Total {
        time: state.first_byte.sum,
        count: state.first_byte.count(),
    };
    [
        ("dns", state.dns, state.shape.resolves),
        ("connect", state.connect, true),
        ("tls", state.tls, state.shape.tls),
        ("first_byte", first_byte, true),
        ("body", state.body, true),
    ]
    .into_iter()
    .filter(|(_, total, reached)| *reached || total.count > 0)
    .map(|(phase, total, _)| (phase, total))
}

/// Everything but the one family with exemplars, as it is when written.
pub(super) struct Collected {
    pub(super) tables: Arc<Tables>,
    pub(super) process: Arc<Process>,
    pub(super) now_seconds: u64,
}

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.process.encode(&mut encoder, self.tables.pending())?;
        let of_upstreams = super::upstreams::UPSTREAM_FAMILIES.iter();
        for upstream_family in of_upstreams.chain(super::verdicts::VERDICT_FAMILIES) {
            upstream_family(&self.tables, &mut encoder)?;
        }
        let mut copied = Vec::new();
        for (family, copy) in HOP_FAMILIES {
            self.encode_family(&mut encoder, family, *copy, &mut copied)?;
        }
        addresses::encode(&self.tables, &mut encoder)?;
        super::versions::encode(&self.tables, &mut encoder)?;
        super::origins::encode(&self.tables, &mut encoder)?;
        super::prevention::encode(&self.tables, &mut encoder)?;
        super::gateways::encode(&self.tables, self.now_seconds, &mut encoder)
    }
}

impl Collected {
    fn encode_family(
        &self,
        encoder: &mut DescriptorEncoder,
        family: &Family,
        copy: Copy,
        copied: &mut Vec<(Value<'static>, Number)>,
    ) -> fmt::Result {
        let mut metric = family.describe(encoder)?;
        let third = family.labels.get(2);
        for hop in self.tables.hops() {
            copied.clear();
            copy(&hop.state(), self.now_seconds, copied);
            for (value, number) in copied.iter() {
                let further = third.map(|name| [(*name, *value)]);
                let labels = Labels {
                    ready: &hop.labels,
                    further: further.as_ref().map_or(&[], |one| one),
                };
                sample(&mut metric.encode_family(&labels)?, family, *number)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}
