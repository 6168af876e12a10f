//! Reading one DNS message as the answer to one question. Pure.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::observation::DnsFault;

/// CNAMEs followed in one answer; public resolvers stop at 8 to 16.
const MAX_CNAMES: usize = 16;

/// A host and port that an SRV record names (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// The name, without final dot.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The addresses of one family, or the services of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// In the order of the answer.
    pub addresses: Vec<IpAddr>,
    /// In the order of the answer; only where SRV was asked for.
    pub services: Vec<Service>,
    /// Names of the zone's own servers, without final dot, in the order of the answer; only where NS was asked for.
    pub name_servers: Vec<String>,
    /// Names passed on the way.
    pub cname_chain: Vec<String>,
    /// Lowest time to live of the records used.
    pub ttl: Option<Duration>,
}

/// What a message says besides its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The server says that the name is in a zone of its own (RFC 1035, 4.1.1, AA).
    pub authoritative: bool,
    /// Where the aliases of the answer lead, also where the answer has no address for that.
    pub alias: Option<String>,
    /// The server passes on to others: a zone below its own, and that zone's servers (RFC 1034, 4.2.1).
    pub delegation: Option<(String, Vec<String>)>,
}

/// What one datagram is to the one who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Not an answer to our question: another id, or no response at all. Wait on.
    NotOurs,
    /// Cut to fit a datagram: ask again over TCP (RFC 1035, 4.2.1).
    Truncated,
    /// An answer, or why there is none, and what is said besides.
    Answer(Result<Answer, DnsFault>, Standing),
}

/// Reads a message that arrived from the resolver asked.
pub fn read(bytes: &[u8], id: u16, name: &Name, kind: RecordType) -> Reply {
    match bytes {
        [high, low, ..] if u16::from_be_bytes([*high, *low]) == id => {}
        _ => return Reply::NotOurs,
    }
    let Ok(message) = Message::from_vec(bytes) else {
        return malformed("the answer cannot be read");
    };
    if message.metadata.message_type != MessageType::Response {
        return Reply::NotOurs;
    }
    let code = message.metadata.response_code;
    let asked = message
        .queries
        .iter()
        .any(|query| query.query_type == kind && query.name.eq_ignore_root(name));
    // Servers that could not even read a question may leave it out of their answer.
    if !asked && (code == ResponseCode::NoError || !message.queries.is_empty()) {
        return malformed("the answer is to another question");
    }
    if message.metadata.truncation {
        return Reply::Truncated;
    }
    let answer = match code {
        ResponseCode::NoError => addresses(&message.answers, name, kind),
        ResponseCode::NXDomain => Err(DnsFault::NxDomain),
        ResponseCode::Refused => Err(DnsFault::Refused),
        other => Err(DnsFault::ServFail(other.into())),
    };
    let standing = Standing {
        authoritative: message.metadata.authoritative,
        alias: aliases(&message.answers, name).and_then(|(chain, _, _)| chain.last().cloned()),
        delegation: delegation(&message, name),
    };
    Reply::Answer(answer, standing)
}

fn malformed(how: &'static str) -> Reply {
    Reply::Answer(Err(DnsFault::Malformed(how)), Standing::default())
}

/// The names the CNAMEs of a name lead over, the lowest time to live of these, and the name they end at; `None` where
/// they run in a circle.
fn aliases(records: &[Record], name: &Name) -> Option<(Vec<String>, Option<u32>, Name)> {
    let mut owner = name.clone();
    let mut ttl: Option<u32> = None;
    let mut chain = Vec::new();
    while let Some((record, target)) = cname_of(records, &owner) {
        if chain.len() == MAX_CNAMES {
            return None;
        }
        ttl = ttl.into_iter().chain([record.ttl]).min();
        chain.push(plain(target));
        owner = target.clone();
    }
    Some((chain, ttl, owner))
}

/// An answer without records, not of the server's own zone, that names the servers of a zone the name lies in.
fn delegation(message: &Message, name: &Name) -> Option<(String, Vec<String>)> {
    if message.metadata.authoritative || !message.answers.is_empty() {
        return None;
    }
    let servers = message.authorities.iter().filter_map(|record| match &record.data {
        RData::NS(server) if !record.name.is_root() && record.name.zone_of(name) => {
            Some((&record.name, plain(&server.0)))
        }
        _ => None,
    });
    let (zones, mut servers): (Vec<_>, Vec<_>) = servers.unzip();
    servers.sort();
    servers.dedup();
    zones.first().map(|zone| (plain(zone), servers))
}

fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

fn addresses(records: &[Record], name: &Name, kind: RecordType) -> Result<Answer, DnsFault> {
    let Some((cname_chain, mut ttl, owner)) = aliases(records, name) else {
        return Err(DnsFault::Malformed("the CNAMEs run in a circle"));
    };
    let (mut addresses, mut services, mut name_servers) = (Vec::new(), Vec::new(), Vec::new());
    for record in records.iter().filter(|record| record.name.eq_ignore_root(&owner)) {
        let ip = match &record.data {
            RData::A(ip) if kind == RecordType::A => IpAddr::V4(ip.0),
            RData::AAAA(ip) if kind == RecordType::AAAA => IpAddr::V6(ip.0),
            RData::SRV(service) if kind == RecordType::SRV => {
                // The root as target means that the service is decidedly not available (RFC 2782).
                if !service.target.is_root() {
                    services.push(Service {
                        host: plain(&service.target),
                        port: service.port,
                    });
                }
                continue;
            }
            RData::NS(server) if kind == RecordType::NS => {
                name_servers.push(plain(&server.0));
                continue;
            }
            _ => continue,
        };
        ttl = ttl.into_iter().chain([record.ttl]).min();
        addresses.push(ip);
    }
    match addresses.is_empty() && services.is_empty() && name_servers.is_empty() {
        true => Err(DnsFault::NoData),
        false => Ok(Answer {
            addresses,
            services,
            name_servers,
            cname_chain,
            ttl: ttl.map(|ttl| Duration::from_secs(ttl.into())),
        }),
    }
}

fn cname_of<'a>(records: &'a [Record], owner: &Name) -> Option<(&'a Record, &'a Name)> {
    records.iter().find_map(|record| match &record.data {
        RData::CNAME(target) if record.name.eq_ignore_root(owner) => Some((record, &target.0)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{OpCode, Query};
    use hickory_proto::rr::rdata;
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        let mut name = Name::from_ascii(text).expect("a name");
        name.set_fqdn(true);
        name
    }

    fn a(owner: &str, ttl: u32, ip: [u8; 4]) -> Record {
        Record::from_rdata(name(owner), ttl, RData::A(rdata::A(ip.into())))
    }

    fn cname(owner: &str, ttl: u32, target: &str) -> Record {
        Record::from_rdata(name(owner), ttl, RData::CNAME(rdata::CNAME(name(target))))
    }

    fn reply(code: ResponseCode, answers: Vec<Record>) -> Reply {
        let mut message = Message::response(7, OpCode::Query);
        message.metadata.response_code = code;
        message.add_query(Query::query(name("shop.example"), RecordType::A));
        message.answers = answers;
        read(
            &message.to_vec().expect("it encodes"),
            7,
            &name("shop.example"),
            RecordType::A,
        )
    }

    #[test]
    fn addresses_are_found_behind_cnames() {
        let records = vec![
            cname("Shop.example", 300, "lb.example"),
            cname("lb.example", 20, "x.cdn"),
            a("x.cdn", 60, [192, 0, 2, 1]),
            a("other.example", 5, [192, 0, 2, 9]),
        ];
        assert_eq!(
            reply(ResponseCode::NoError, records),
            Reply::Answer(
                Ok(Answer {
                    addresses: vec![[192, 0, 2, 1].into()],
                    cname_chain: vec!["lb.example".into(), "x.cdn".into()],
                    ttl: Some(Duration::from_secs(20)),
                    ..Answer::default()
                }),
                Standing {
                    authoritative: false,
                    alias: Some("x.cdn".into()),
                    delegation: None,
                },
            )
        );
    }

    #[test]
    fn every_way_to_have_no_address_is_told_apart() {
        let circle = vec![
            cname("shop.example", 1, "b.example"),
            cname("b.example", 1, "shop.example"),
        ];
        let cases = [
            (ResponseCode::NXDomain, vec![], DnsFault::NxDomain),
            (ResponseCode::NoError, vec![], DnsFault::NoData),
            (
                ResponseCode::NoError,
                vec![cname("shop.example", 1, "b.example")],
                DnsFault::NoData,
            ),
            (ResponseCode::ServFail, vec![], DnsFault::ServFail(2)),
            (ResponseCode::NotImp, vec![], DnsFault::ServFail(4)),
            (ResponseCode::Refused, vec![], DnsFault::Refused),
            (
                ResponseCode::NoError,
                circle,
                DnsFault::Malformed("the CNAMEs run in a circle"),
            ),
        ];
        for (code, records, fault) in cases {
            assert!(matches!(reply(code, records), Reply::Answer(Err(seen), _) if seen == fault));
        }
    }

    #[test]
    fn other_peoples_answers_are_no_answers() {
        let mut message = Message::response(7, OpCode::Query);
        message.add_query(Query::query(name("other.example"), RecordType::A));
        let bytes = message.to_vec().expect("it encodes");
        let shop = name("shop.example");
        assert_eq!(read(&bytes, 8, &shop, RecordType::A), Reply::NotOurs);
        assert_eq!(
            read(&bytes, 7, &shop, RecordType::A),
            malformed("the answer is to another question")
        );
        assert_eq!(
            read(&bytes[..7], 7, &shop, RecordType::A),
            malformed("the answer cannot be read")
        );
        assert_eq!(read(b"", 7, &shop, RecordType::A), Reply::NotOurs);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>) {
            let _ = read(&bytes, 0, &Name::root(), RecordType::A);
            bytes.splice(0..0, [0, 7, 0x81, 0x80, 0, 1, 0, 1]);
            let _ = read(&bytes, 7, &Name::root(), RecordType::AAAA);
        }
    }
}
