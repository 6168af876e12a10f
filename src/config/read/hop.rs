//! Hops and the settings that may stand on them.

use super::{request, secret};
use crate::config::file::{HopEntry, HopSettings, HostEntry};
use crate::config::reader::{Cursor, Fields};
use crate::config::{number, url, value};
use crate::upstream::{AddressChoice, Family, HttpVersion, Redirects};
use http::HeaderValue;

/// An entry of `origin`: a URL, or a map with `url`.
pub fn origin_entry(cursor: &Cursor<'_>) -> Option<HopEntry> {
    if cursor.is_map() {
        let mut fields = cursor.fields()?;
        let entry = entry(&mut fields, cursor);
        fields.elsewhere("gateway", "belongs in an entry of via; origin is reached directly");
        fields.finish();
        return Some(entry);
    }
    Some(HopEntry {
        place: cursor.place(),
        gateway: None,
        url: url::read(cursor),
        settings: HopSettings::default(),
    })
}

/// An entry of `via`: a map with `gateway` and `url`.
pub fn via_entry(cursor: &Cursor<'_>) -> Option<HopEntry> {
    if !cursor.is_map() {
        cursor.problem("expected a map; write { gateway: NAME, url: URL }");
        return None;
    }
    let mut fields = cursor.fields()?;
    let gateway = fields.get("gateway").and_then(|name| name.string());
    let mut entry = entry(&mut fields, cursor);
    entry.gateway = gateway;
    fields.elsewhere("name", "is the gateway's; write gateway: NAME");
    fields.finish();
    Some(entry)
}

fn entry(fields: &mut Fields<'_>, cursor: &Cursor<'_>) -> HopEntry {
    let entry = HopEntry {
        place: cursor.place(),
        gateway: None,
        url: fields
            .required("url", "http://host:port/path")
            .and_then(|text| url::read(&text)),
        settings: settings(fields),
    };
    for key in ["paths", "interval", "labels", "confirm", "max_rate", "module"] {
        fields.elsewhere(key, "belongs on the upstream: it holds for all its hops");
    }
    entry
}

/// A hop's own keys without `url`.
pub fn settings(fields: &mut Fields<'_>) -> HopSettings {
    HopSettings {
        host: fields.get("host").and_then(|text| text.parse(host)),
        server_name: fields.get("server_name").and_then(|text| text.parse(server_name)),
        method: fields.get("method").and_then(|text| text.parse(value::method)),
        headers: fields
            .get("headers")
            .map(|map| request::headers(&map))
            .unwrap_or_default(),
        body: fields
            .get("body")
            .and_then(|text| text.parse_secret(|text| Ok(bytes::Bytes::from(text.to_owned())))),
        http_version: fields
            .get("http_version")
            .and_then(|word| word.choice(&[("1.1", HttpVersion::Http1), ("2", HttpVersion::Http2)])),
        family: fields
            .get("family")
            .and_then(|word| word.choice(&[("any", Family::Any), ("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)])),
        source_address: fields.get("source_address").and_then(|text| text.parse(value::ip)),
        redirects: fields.get("redirects").and_then(|entry| redirects(&entry)),
        max_head: fields
            .get("max_head")
            .and_then(|text| text.parse(number::size_within(1024..=16 << 20))),
        max_body: fields
            .get("max_body")
            .and_then(|text| text.parse(number::size_within(0..=1 << 30))),
        resolvers: fields.get("resolvers").map(|list| {
            let items = list.one_or_more().into_iter();
            let resolvers = items.filter_map(|text| text.parse(value::resolver));
            list.at(resolvers.map(|resolver| resolver.value).collect())
        }),
        addresses: fields
            .get("addresses")
            .and_then(|word| word.choice(&[("all", AddressChoice::All), ("one", AddressChoice::One)])),
        max_addresses: fields.get("max_addresses").and_then(|number| number.number(1..=1024)),
        timeout: fields.get("timeout").and_then(|text| text.parse(number::probe_timeout)),
        expect: fields
            .get("expect")
            .map(|map| request::expect(&map))
            .unwrap_or_default(),
        auth: fields.get("auth").and_then(|map| secret::auth(&map)),
        tls: fields.get("tls").map(|map| secret::tls(&map)).unwrap_or_default(),
    }
}

/// A host with or without port.
pub fn host(text: &str) -> Result<HostEntry, String> {
    const WRONG: &str = "is not a host; write shop.example.com or shop.example.com:8443";
    if text.contains(['/', '@', '?', '#']) {
        return Err(WRONG.into());
    }
    let location = url::parse(&format!("http://{text}")).map_err(|_| WRONG)?;
    Ok(HostEntry {
        header: HeaderValue::from_str(text).map_err(|_| WRONG)?,
        name: bare(&location.host),
    })
}

/// A host without brackets or a final dot: as SNI and certificates have it.
pub fn bare(host: &crate::upstream::Host) -> String {
    match host {
        crate::upstream::Host::Ip(ip) => ip.to_string(),
        crate::upstream::Host::Name(name) => name.strip_suffix('.').unwrap_or(name).to_owned(),
        crate::upstream::Host::Unix(_) => "localhost".into(),
    }
}

fn server_name(text: &str) -> Result<String, String> {
    match rustls::pki_types::ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("is not a name a certificate can hold; write shop.example.com".into()),
    }
}

/// A number, or a map with `max` and `hosts`.
fn redirects(cursor: &Cursor<'_>) -> Option<crate::config::reader::At<Redirects>> {
    if !cursor.is_map() {
        let max = cursor.parse(|text| {
            text.parse::<u32>().ok().filter(|max| *max <= 20).ok_or_else(|| {
                "is not a number of redirects; write 0 to 20, or { max: 3, hosts: [login.example.com] }".into()
            })
        })?;
        return Some(max.map(|max| Redirects { max, hosts: Vec::new() }));
    }
    let mut fields = cursor.fields()?;
    let max = fields.get("max").and_then(|number| number.number(0..=20));
    let hosts = fields
        .get("hosts")
        .map(|list| list.one_or_more())
        .unwrap_or_default()
        .iter()
        .filter_map(|text| text.parse(host_pattern))
        .map(|host| host.value)
        .collect();
    fields.finish();
    let max = max.map_or(3, |max| max.value as u32);
    Some(cursor.at(Redirects { max, hosts }))
}

/// A name, or `*.suffix`.
pub fn host_pattern(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    match url::domain(name) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("is not a host; write login.example.com or *.example.com".into()),
    }
}
