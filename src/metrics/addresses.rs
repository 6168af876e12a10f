//! Families with more than three labels: those of single addresses, and the TLS session of a hop.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::DescriptorEncoder;

use super::Tables;
use super::catalogue::{self, Family};
use super::collect::{Number, sample};
use super::labels::{Labels, Ready, Value};
use super::state::{Place, State};
use crate::cause::Cause;
use crate::finding::Confirmed;
use crate::observation::CertificateProblem;

/// The labels of one series beyond `upstream` and `hop`, copied out of the table, and its value.
struct Row {
    address: Arc<str>,
    path: Option<Arc<str>>,
    /// The last label: cause or problem.
    word: Option<&'static str>,
    value: Number,
}

impl Row {
    /// Pairs the values it has with the names of the family; returns their number.
    fn fill<'a>(&'a self, names: &[&'static str], further: &mut [(&'static str, Value<'a>); 3]) -> usize {
        let values = [Some(&*self.address), self.path.as_deref(), self.word];
        let pairs = names.iter().zip(values.into_iter().flatten());
        for (place, (name, value)) in further.iter_mut().zip(pairs) {
            *place = (name, Value::Text(value));
        }
        names.len()
    }
}

/// Copies what one family shows of one address.
type Copy = fn(&Place, &mut Vec<Row>);

const ADDRESS_FAMILIES: &[(Family, Copy)] = &[
    (catalogue::PROBE_SUCCESS, |place, out| {
        out.extend(place.paths.iter().map(|(path, confirmed)| Row {
            address: Arc::clone(&place.text),
            path: Some(Arc::clone(path)),
            word: None,
            value: Number::Int(u64::from(*confirmed == Confirmed::Healthy)),
        }));
    }),
    (catalogue::PROBE_FAILING, |place, out| {
        out.extend(place.paths.iter().filter_map(|(path, confirmed)| {
            Some(Row {
                address: Arc::clone(&place.text),
                path: Some(Arc::clone(path)),
                word: Some(failing(*confirmed)?.label()),
                value: Number::Int(1),
            })
        }));
    }),
    (catalogue::CERTIFICATE_EXPIRY, |place, out| {
        out.extend(place.certificate.map(|certificate| Row {
            address: Arc::clone(&place.text),
            path: None,
            word: None,
            value: Number::Float(certificate.expiry as f64),
        }));
    }),
    (catalogue::CERTIFICATE_PROBLEM, |place, out| {
        let differs = place.certificate_differs.then_some("differs");
        let problem = place.certificate_problem.map(CertificateProblem::label);
        // One series for each address.
        out.extend(differs.or(problem).map(|problem| Row {
            address: Arc::clone(&place.text),
            path: None,
            word: Some(problem),
            value: Number::Int(1),
        }));
    }),
];

/// Writes them all.
pub(super) fn encode(tables: &Tables, encoder: &mut DescriptorEncoder) -> fmt::Result {
    encode_tls_info(tables, encoder)?;
    let mut rows = Vec::new();
    for (family, copy) in ADDRESS_FAMILIES {
        let mut metric = family.describe(encoder)?;
        for upstream in &tables.upstreams {
            for hop in &upstream.hops {
                rows.clear();
                copy_rows(&hop.state(), *copy, &mut rows);
                if rows.is_empty() {
                    continue;
                }
                // Built when something fails: ready text for it would lie idle in every healthy hop.
                let configured = (family.name == catalogue::PROBE_FAILING.name && !upstream.config.labels.is_empty())
                    .then(|| {
                        let labels = upstream
                            .config
                            .labels
                            .iter()
                            .map(|(name, value)| (name.as_str(), value.as_str()));
                        Ready::new(labels.chain([("upstream", &*upstream.config.name)]), ("hop", &hop.name))
                    });
                for row in &rows {
                    let mut further = [("", Value::Text("")); 3];
                    let count = row.fill(&family.labels[2..], &mut further);
                    let ready = configured.as_ref().unwrap_or(&hop.labels);
                    let labels = Labels {
                        ready,
                        further: &further[..count],
                    };
                    sample(&mut metric.encode_family(&labels)?, family, row.value)?;
                }
            }
        }
    }
    Ok(())
}

fn copy_rows(state: &State, copy: Copy, rows: &mut Vec<Row>) {
    state.places.iter().for_each(|place| copy(place, rows));
}

fn failing(confirmed: Confirmed) -> Option<Cause> {
    match confirmed {
        Confirmed::Failing(cause) => Some(cause),
        Confirmed::Healthy => None,
    }
}

/// TLS version and cipher of each hop that has finished a handshake.
fn encode_tls_info(tables: &Tables, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let mut metric = catalogue::TLS_INFO.describe(encoder)?;
    for hop in tables.hops() {
        let session = hop.state().tls_session;
        if let Some((version, cipher)) = session {
            let further = [("version", Value::Text(version)), ("cipher", Value::Text(cipher))];
            metric.encode_info(&Labels {
                ready: &hop.labels,
                further: &further,
            })?;
        }
    }
    Ok(())
}
