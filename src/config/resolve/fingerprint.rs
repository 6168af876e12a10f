//! One number for everything an upstream resolved to, secrets and file contents included.
//!
//! Every struct is taken apart without `..`, so that a new field cannot be forgotten. Stable within a process; never stored.

use std::hash::{DefaultHasher, Hash as _, Hasher};

use crate::upstream::{
    AddressChoice, Auth, BodyRule, ClientCertificate, Confirm, EvidencePolicy, Expectation, Family, Gateway, Hop,
    HttpVersion, LimitKind, Limits, Redirects, Request, Spike, Target, TlsPolicy, TlsVersion, Upstream,
};

/// The fingerprint of an upstream; its own field is left out.
pub fn of(upstream: &Upstream) -> u64 {
    let mut state = DefaultHasher::new();
    let Upstream {
        name,
        labels,
        hops,
        interval,
        confirm,
        max_rate,
        objective,
        spike,
        evidence,
        version_header,
        fingerprint: _,
    } = upstream;
    (name, labels, interval, max_rate.to_bits(), objective.map(f64::to_bits)).hash(&mut state);
    let Confirm {
        retries,
        delay,
        recheck,
        recover_after,
    } = confirm;
    (retries, delay, recheck, recover_after).hash(&mut state);
    let Spike {
        ratio,
        window,
        minimum_requests,
    } = spike;
    (
        ratio.to_bits(),
        window,
        minimum_requests,
        *evidence == EvidencePolicy::Full,
        version_header.as_ref().map(http::HeaderName::as_str),
    )
        .hash(&mut state);
    hops.len().hash(&mut state);
    hops.iter().for_each(|each| hop(each, &mut state));
    state.finish()
}

fn hop(hop: &Hop, state: &mut DefaultHasher) {
    let Hop {
        name,
        gateway,
        user_view,
        limits,
        kept_idle,
        health_check,
        targets,
    } = hop;
    (name, user_view, kept_idle, targets.len()).hash(state);
    // Plain data without secrets: what it prints is what it is.
    format!("{health_check:?}").hash(state);
    self::limits(limits, state);
    if let Some(gateway) = gateway {
        let Gateway {
            name,
            kind,
            limits,
            sources,
        } = &**gateway;
        sources.hash(state);
        (name, kind).hash(state);
        self::limits(limits, state);
    }
    targets.iter().for_each(|each| target(each, state));
}

fn limits(limits: &Limits, state: &mut DefaultHasher) {
    for kind in LimitKind::ALL {
        (limits.time(kind), limits.size(kind)).hash(state);
    }
}

fn target(target: &Target, state: &mut DefaultHasher) {
    let Target {
        scheme,
        host,
        port,
        requests,
        stable,
        host_header,
        server_name,
        method,
        headers,
        body,
        http_version,
        family,
        source_address,
        redirects,
        max_head,
        max_body,
        resolvers,
        addresses,
        max_addresses,
        timeout,
        expect,
        auth,
        tls,
    } = target;
    (
        scheme,
        host.to_string(),
        port,
        host_header.as_bytes(),
        server_name,
        method.as_str(),
    )
        .hash(state);
    stable.len().hash(state);
    for Request { label, path } in requests.iter().chain(stable) {
        (label, path).hash(state);
    }
    for (name, value) in headers {
        (name.as_str(), value.as_bytes()).hash(state);
    }
    let version = *http_version == HttpVersion::Http2;
    let family = match family {
        Family::Any => 0_u8,
        Family::Ipv4 => 4,
        Family::Ipv6 => 6,
    };
    (
        headers.len(),
        body,
        version,
        family,
        source_address,
        max_head,
        max_body,
        resolvers,
    )
        .hash(state);
    let Redirects { max, hosts } = redirects;
    (max, hosts, *addresses == AddressChoice::All, max_addresses, timeout).hash(state);
    expectation(expect, state);
    match auth {
        None => 0_u8.hash(state),
        Some(Auth::Basic { username, password }) => (1_u8, username, password.reveal()).hash(state),
        Some(Auth::Bearer(token)) => (2_u8, token.reveal()).hash(state),
    }
    tls_policy(tls, state);
}

fn expectation(expect: &Expectation, state: &mut DefaultHasher) {
    let Expectation {
        status,
        body,
        addresses,
    } = expect;
    (status, addresses).hash(state);
    match body {
        None => 0_u8.hash(state),
        Some(BodyRule::Contains(text)) => (1_u8, text).hash(state),
        Some(BodyRule::Matches(regex)) => (2_u8, regex.as_str()).hash(state),
        Some(BodyRule::Json { pointer, equals }) => (3_u8, pointer, equals.to_string()).hash(state),
    }
}

fn tls_policy(tls: &TlsPolicy, state: &mut DefaultHasher) {
    let TlsPolicy {
        verify,
        ca,
        ca_only,
        client,
        min_version,
    } = tls;
    (verify, ca, ca_only, *min_version == TlsVersion::Tls13).hash(state);
    if let Some(ClientCertificate { chain, key }) = client {
        (chain, key.reveal()).hash(state);
    }
}
