//! `badgateway diagnose` before real gateways, resolvers and caches: what it finds, says and advises.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::daemon::scratch;
use support::peers::http1::{self, OK, answer, answers};
use support::peers::tls::Tls;
use support::peers::{serve, tcp};
use support::pki::{Flaw, Pki};
use support::{dns, gateways, netns, programs};

fn diagnose(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_badgateway"))
        .arg("diagnose")
        .args(arguments)
        .output()
        .expect("it starts")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The look at the one upstream of this configuration.
fn look(config: &Value, more: &[&str]) -> (Value, String) {
    let folder = scratch();
    let file = folder.join("badgateway.yml");
    std::fs::write(&file, config.to_string()).expect("written");
    let name = config["upstreams"][0]["name"].as_str().expect("a name");
    let common = ["--upstream", name, "--config.file", file.to_str().expect("plain")];
    let machine = diagnose(&[&common[..], more, &["--json"]].concat());
    let person = diagnose(&[&common[..], more].concat());
    std::fs::remove_dir_all(folder).expect("removed");
    let report = serde_json::from_slice(&machine.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&machine)));
    (report, text(&person))
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn a_dead_origin_behind_a_real_nginx_comes_with_the_commands_for_it() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let folder = scratch();
    let (refusing, _socket) = tcp::refusing();
    let site = format!("server {{ listen $LISTEN; location / {{ proxy_pass http://{refusing}; }} }}");
    let gateway = gateways::nginx(&folder, &site);
    let origin = format!("http://{refusing}/");
    let via = format!("http://{}/=edge", gateway.listen);
    let output = diagnose(&[&origin, "--via", &via, "--kind", "nginx"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    contains(
        &text,
        &[
            "written by nginx",
            "origin_down: ",
            "impact: users feel it",
            "asked past any cache it fails too",
            &format!("curl -sv -o /dev/null --connect-to '::{refusing}' '{origin}'"),
            &format!("grep -F '{refusing}' /var/log/nginx/error.log"),
        ],
    );
}

/// nginx ignores `Cache-Control` of requests, so that only a query of its own passes its cache.
#[test]
fn a_cached_502_of_a_real_nginx_is_told_from_a_fresh_one() {
    if !programs::have(&["nginx"]) {
        return;
    }
    for shown in [true, false] {
        let folder = scratch();
        let bad = Arc::new(AtomicUsize::new(1));
        let origin = {
            let bad = bad.clone();
            let (well, ill) = (answers(OK), http1::status("502 Bad Gateway"));
            serve(move |wire| match bad.load(Ordering::SeqCst) {
                0 => well(wire),
                _ => ill(wire),
            })
        };
        let header = if shown {
            "add_header X-Cache-Status $upstream_cache_status always;"
        } else {
            ""
        };
        let site = format!(
            "proxy_cache_path {}/cache keys_zone=c:1m;
             server {{ listen $LISTEN; location / {{ proxy_pass http://{origin}; proxy_cache c; proxy_cache_valid 502 10m; {header} }} }}",
            folder.display()
        );
        let gateway = gateways::nginx(&folder, &site);
        assert_eq!(gateway.ask("/"), Some(502));
        bad.store(0, Ordering::SeqCst);
        let config = json!({
            "gateways": [{ "name": "edge", "kind": "nginx" }],
            "upstreams": [{
                "name": "shop",
                "origin": format!("http://{origin}/"),
                "via": [{ "gateway": "edge", "url": format!("http://{}/", gateway.listen) }],
            }],
        });
        let (report, text) = look(&config, &[]);
        let seen = &report["hops"][0]["past_cache"];
        let asked: Vec<_> = seen["requests"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| &one["how"])
            .collect();
        match shown {
            true => {
                assert_eq!(seen["says"], "cached_error", "{seen}");
                assert_eq!(asked, ["no_cache", "query"], "{seen}");
                assert_eq!(report["verdict"]["verdict"], "gateway_cached_error");
                contains(
                    &text,
                    &["the error comes from a cache; asked past it the answer is well"],
                );
            }
            false => {
                assert_eq!(seen["says"], "hidden_cache", "{seen}");
                assert_eq!(asked, ["no_cache", "query", "plain"], "{seen}");
                assert_eq!(report["verdict"]["verdict"], "gateway_fault");
                contains(&text, &["warning: hop edge: probably a cache serves the error"]);
            }
        }
        assert_eq!(report["hops"][1]["healthy"], true);
    }
}

#[test]
fn a_request_that_may_change_something_is_not_made_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let well = answers(OK);
    let origin = serve(move |wire| {
        count.fetch_add(1, Ordering::SeqCst);
        well(wire);
    });
    let config = json!({ "upstreams": [{ "name": "shop", "origin": { "url": format!("http://{origin}/"), "method": "POST" } }] });
    let (report, _) = look(&config, &[]);
    assert_eq!(report["hops"][0]["past_cache"]["says"], "not_safe");
    assert_eq!(
        asked.load(Ordering::SeqCst),
        2,
        "one look for machines and one for people"
    );
}

#[test]
fn what_is_seen_is_held_against_the_limits_of_the_gateway() {
    for (padding, near, beyond) in [(100, false, false), (3500, true, false), (5000, true, true)] {
        let head = format!("X-Padding: {}\r\n", "x".repeat(padding));
        let origin = serve(answers(answer("200 OK", &head, "hello")));
        let gateway = serve(answers(OK));
        let config = json!({
            "gateways": [{ "name": "edge", "kind": "nginx", "limits": { "connect": "1m" } }],
            "upstreams": [{
                "name": "shop",
                "origin": format!("http://{origin}/"),
                "via": [{ "gateway": "edge", "url": format!("http://{gateway}/") }],
            }],
        });
        let (report, text) = look(&config, &[]);
        let hop = &report["hops"][1];
        assert_eq!(hop["limits_of"], "edge");
        let limits = hop["limits"].as_array().expect("a list");
        let header = limits
            .iter()
            .find(|limit| limit["limit"] == "response_header")
            .expect("it has one");
        assert_eq!(
            (&header["near"], &header["beyond"]),
            (&near.into(), &beyond.into()),
            "{header}"
        );
        assert_eq!((&header["value"], &header["unit"]), (&4096.into(), &"bytes".into()));
        assert_eq!(header["from"], "default of nginx");
        let connect = limits
            .iter()
            .find(|limit| limit["limit"] == "connect")
            .expect("it has one");
        assert_eq!(connect["from"], "limits in the configuration");
        assert!(text.contains("(default of nginx)"), "{text}");
        let share = header["share"].as_f64().expect("a number");
        assert!((share - header["seen"].as_f64().expect("a number") / 4096.0).abs() < 1e-9);
        assert_eq!(text.contains("warning: hop origin: response_header is"), near, "{text}");
        assert_eq!(text.contains("beyond it edge gives up"), beyond, "{text}");
        assert_eq!(report["healthy"], true, "a limit that is near is no fault yet");
    }
}

#[test]
fn what_a_peer_repeats_of_our_secrets_is_struck_out() {
    let echo = answer(
        "502 Bad Gateway",
        "Server: saw tok-5ecret and key-5ecret",
        "you sent tok-5ecret to /pay?key=key-5ecret",
    );
    let origin = serve(answers(echo));
    let upstream = json!({
        "name": "shop",
        "origin": { "url": format!("http://{origin}/pay?key=key-5ecret"), "auth": { "bearer": "tok-5ecret" } },
    });
    let (machine, person) = look(&json!({ "upstreams": [upstream] }), &[]);
    for told in [machine.to_string(), person] {
        contains(&told, &["saw *** and ***"]);
        assert!(!told.contains("5ecret"), "{told}");
    }
}

#[test]
fn a_time_of_ones_own_ends_a_probe_that_hangs() {
    let silent = serve(|wire| support::peers::drain(wire));
    let output = diagnose(&["--timeout", "200ms", "--json", &format!("http://{silent}/")]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let probe = &report["hops"][0]["targets"][0]["probes"][0];
    assert_eq!(probe["cause"], "response_timeout");
    assert!(
        probe["seconds"]["total"]
            .as_f64()
            .is_some_and(|total| (0.2..5.0).contains(&total)),
        "{probe}"
    );
    assert_eq!(report["hops"][0]["past_cache"]["says"], "no_answer");
    assert_eq!(
        diagnose(&["--timeout", "soon", "http://127.0.0.1/"]).status.code(),
        Some(2)
    );
    assert_eq!(
        diagnose(&["--kind", "ngnix", "--via", "http://127.0.0.1/", "http://127.0.0.1/"])
            .status
            .code(),
        Some(2)
    );
}

/// In a namespace of its own a host has no route to anywhere.
#[test]
fn a_look_that_our_own_side_prevents_is_neither_well_nor_a_fault() {
    netns::inside(
        "a_look_that_our_own_side_prevents_is_neither_well_nor_a_fault",
        "",
        "",
        || {
            let gateway = serve(answers(OK));
            let origin = "http://[2001:db8::1]/";
            let output = diagnose(&[origin, "--via", &format!("http://{gateway}/=edge")]);
            assert_eq!(output.status.code(), Some(2), "{}", text(&output));
            contains(&text(&output), &["error: hop origin could not be asked: skipped"]);
            let output = diagnose(&[origin, "--json"]);
            let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert_eq!(
                (&report["healthy"], &report["verdict"]["verdict"]),
                (&false.into(), &"unknown".into())
            );
        },
    );
}

#[test]
fn a_certificate_is_shown_with_its_names_issuer_and_end() {
    let folder = scratch();
    let pki = Pki::new(&folder);
    for (flaw, problem) in [(Flaw::None, Value::Null), (Flaw::Expired, "expired".into())] {
        let origin = Tls::new(pki.server(flaw)).serve(answers(OK));
        let config = json!({ "upstreams": [{ "name": "shop", "origin": {
            "url": format!("https://{origin}/"),
            "server_name": "peer.test",
            "tls": { "ca_file": pki.ca_file(), "ca_only": true },
        } }] });
        let (report, text) = look(&config, &[]);
        let tls = &report["hops"][0]["targets"][0]["probes"][0]["tls"];
        assert_eq!(tls["problem"], problem, "{tls}");
        contains(&text, &["certificate ", " for peer.test", "issued by "]);
        match problem.is_null() {
            true => contains(&text, &["it ends in "]),
            false => contains(
                &text,
                &["it ended ", "does not verify: expired", "openssl s_client -connect '"],
            ),
        }
    }
    std::fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn resolvers_are_asked_one_by_one_and_their_differences_pointed_out() {
    let origin = serve(answers(OK));
    let well = dns::serve(|question| vec![question.addresses(&["127.0.0.1"]).bytes()]);
    let other = dns::serve(|question| vec![question.addresses(&["127.0.0.9"]).bytes()]);
    let missing = dns::serve(|question| vec![question.answer().code(dns::NXDOMAIN).bytes()]);
    let config = json!({ "upstreams": [{ "name": "shop", "origin": {
        "url": format!("http://shop.test:{}/", origin.port()),
        "resolvers": [well, other, missing],
    } }] });
    let (report, text) = look(&config, &[]);
    let name = &report["hops"][0]["names"][0];
    let resolvers = name["resolvers"].as_array().expect("a list");
    assert_eq!(resolvers.len(), 3, "{name}");
    assert_eq!(
        (&resolvers[0]["addresses"][0], &resolvers[0]["ttl_seconds"]),
        (&"127.0.0.1".into(), &60.into())
    );
    assert_eq!(resolvers[1]["addresses"][0], "127.0.0.9");
    assert_eq!(
        (&resolvers[2]["addresses"], &resolvers[2]["fault"]),
        (&Value::Null, &"NXDOMAIN".into())
    );
    assert_eq!(name["zones"], Value::Null, "not asked for");
    contains(
        &text,
        &[
            &format!("warning: hop origin: {other} and {well} give different addresses"),
            &format!("warning: hop origin: {missing} gives no address (NXDOMAIN), {well} does"),
        ],
    );
}

/// Servers of a zone listen on port 53: a network namespace has one to give away.
#[test]
fn the_zones_own_servers_are_found_and_asked_directly() {
    netns::inside("the_zones_own_servers_are_found_and_asked_directly", "", "", || {
        let origin = serve(answers(OK));
        // The resolver knows the zone's servers and still gives the old address.
        let resolver = dns::serve(|question| {
            let said = match (question.name.as_str(), question.kind) {
                ("zone.test", dns::NS) => question
                    .answer()
                    .name_server("zone.test", "ns1.zone.test")
                    .name_server("zone.test", "ns2.zone.test"),
                ("ns1.zone.test", _) => question.addresses(&["127.0.0.2"]),
                ("ns2.zone.test", _) => question.addresses(&["127.0.0.3"]),
                ("shop.zone.test", dns::A) => question.addresses(&["127.0.0.1"]),
                _ => question.answer(),
            };
            vec![said.bytes()]
        });
        dns::serve_at("127.0.0.2:53".parse().expect("an address"), |question| {
            assert!(!question.recursion, "the server is asked for its own zone alone");
            vec![question.addresses(&["127.0.0.7"]).authoritative().bytes()]
        });
        dns::serve_at("127.0.0.3:53".parse().expect("an address"), |question| {
            vec![question.answer().code(dns::REFUSED).bytes()]
        });
        let config = json!({ "upstreams": [{ "name": "shop", "origin": {
            "url": format!("http://shop.zone.test:{}/", origin.port()),
            "resolvers": [resolver],
        } }] });
        let (report, text) = look(&config, &["--authoritative"]);
        let zone = &report["hops"][0]["names"][0]["zones"][0];
        assert_eq!(zone["zone"], "zone.test", "{zone}");
        let (first, second) = (&zone["servers"][0], &zone["servers"][1]);
        assert_eq!(
            (&first["authoritative"], &first["addresses"][0]),
            (&true.into(), &"127.0.0.7".into())
        );
        assert_eq!(
            (&second["authoritative"], &second["fault"]),
            (&false.into(), &"REFUSED".into())
        );
        contains(
            &text,
            &[
                "ns2.zone.test is named as a server of the zone and has not got it",
                &format!(
                    "{resolver} still gives 127.0.0.1, which the zone's own servers do not; it may for another 60 s"
                ),
            ],
        );
    });
}

/// A resolver can only say SERVFAIL where all servers of a zone are broken; the zone above says which they are.
#[test]
fn a_broken_zone_is_found_from_the_one_above() {
    netns::inside("a_broken_zone_is_found_from_the_one_above", "", "", || {
        let resolver = dns::serve(|question| {
            let said = match (question.name.as_str(), question.kind) {
                ("test", dns::NS) => question.answer().name_server("test", "ns.test"),
                ("ns.test", _) => question.addresses(&["127.0.0.2"]),
                ("ns.elsewhere.example", _) => question.addresses(&["127.0.0.3"]),
                _ => question.answer().code(dns::SERVFAIL),
            };
            vec![said.bytes()]
        });
        dns::serve_at("127.0.0.2:53".parse().expect("an address"), |question| {
            vec![question.answer().delegates("zone.test", "ns.elsewhere.example").bytes()]
        });
        dns::serve_at("127.0.0.3:53".parse().expect("an address"), |question| {
            vec![question.answer().code(dns::REFUSED).bytes()]
        });
        let config = json!({ "upstreams": [{ "name": "shop", "origin": {
            "url": "http://shop.zone.test/",
            "resolvers": [resolver],
        } }] });
        let (report, text) = look(&config, &["--authoritative"]);
        let zones = &report["hops"][0]["names"][0]["zones"];
        assert_eq!(
            (&zones[0]["zone"], &zones[1]["zone"]),
            (&"test".into(), &"zone.test".into()),
            "{zones}"
        );
        assert_eq!(zones[0]["servers"][0]["delegates"], "zone.test");
        assert_eq!(zones[1]["servers"][0]["fault"], "REFUSED");
        contains(
            &text,
            &[
                "ns.elsewhere.example is named as a server of the zone and has not got it",
                "dns_servfail",
            ],
        );
        assert!(!text.contains("ns.test is named as a server"), "{text}");
    });
}

/// Each key with what it holds, lists merged: the shape that scripts rely on.
fn shape(value: &Value, path: &str, lines: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let dot = if path.is_empty() { "" } else { "." };
            shape(value, &format!("{path}{dot}{key}"), lines);
        }),
        Value::Array(items) if !path.ends_with("headers") => {
            lines.insert(format!("{path}[]"));
            items.iter().for_each(|item| shape(item, &format!("{path}[]"), lines));
        }
        _ => {
            lines.insert(path.to_owned());
        }
    }
}

/// The keys of a look that has everything to show.
fn keys() -> BTreeSet<String> {
    let folder = scratch();
    let pki = Pki::new(&folder);
    let origin = Tls::new(pki.server(Flaw::Expired)).serve(answers(OK));
    let gateway = serve(http1::status("502 Bad Gateway"));
    let resolver = dns::serve(|question| {
        let said = match (question.name.as_str(), question.kind) {
            ("test", dns::NS) => question.answer().name_server("test", "ns.test"),
            ("ns.test", _) => question.answer().code(dns::NXDOMAIN),
            _ => question.addresses(&["127.0.0.1"]),
        };
        vec![said.bytes()]
    });
    let config = json!({
        "gateways": [{ "name": "edge", "kind": "nginx", "limits": { "total": "1m" } }],
        "upstreams": [{
            "name": "shop",
            "origin": {
                "url": format!("https://shop.test:{}/", origin.port()),
                "resolvers": [resolver],
                "tls": { "ca_file": pki.ca_file(), "ca_only": true, "verify": true },
            },
            "via": [{ "gateway": "edge", "url": format!("http://{gateway}/") }],
        }],
    });
    let (report, _) = look(&config, &["--authoritative"]);
    std::fs::remove_dir_all(folder).expect("removed");
    let mut lines = BTreeSet::new();
    shape(&report, "", &mut lines);
    // A list says what it holds by its items; one of plain values by itself.
    let held: Vec<_> = lines.iter().filter(|line| line.ends_with("[]")).cloned().collect();
    for list in held {
        let has_items = lines.iter().any(|line| line.starts_with(&format!("{list}.")));
        if has_items {
            lines.remove(&list);
        }
    }
    lines
}

#[test]
fn the_readme_documents_every_field_of_the_json_and_no_other() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("readable");
    let table = readme.split("<!-- diagnose -->").nth(1).expect("the table");
    let table = table.split("<!-- /diagnose -->").next().expect("its end");
    let mut documented = BTreeSet::new();
    for row in table.lines().filter(|row| row.starts_with("| `")) {
        let mut columns = row.split('|').skip(1);
        let prefix_and_keys = columns.next().expect("a first column");
        let meaning = columns.next().expect("a second column");
        assert!(meaning.trim().len() > 2, "{row}");
        for key in prefix_and_keys.split('`').skip(1).step_by(2) {
            assert!(documented.insert(key.to_owned()), "{key} twice");
        }
    }
    let found = keys();
    let missing: Vec<_> = found.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&found).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not documented: {missing:#?}\nnot there: {gone:#?}"
    );
}

/// The commands of a kind, as its file has them.
fn lines(kind: &str) -> Vec<&'static str> {
    let kind = badgateway::gateway::kind(kind).expect("a kind");
    kind.commands.iter().map(|command| command.line).collect()
}

fn shell(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).output().expect("a shell")
}

#[test]
fn nginx_shows_its_backends_by_the_line_to_paste() {
    if !programs::have(&["nginx"]) {
        return;
    }
    let folder = scratch();
    let site = "server { listen $LISTEN; location / { proxy_pass http://127.0.0.1:9; proxy_connect_timeout 3s; } }";
    let _gateway = gateways::nginx(&folder, site);
    let program = programs::find("nginx").expect("have it");
    let ours = format!("{} -c {}/nginx.conf -T -e stderr", program.display(), folder.display());
    let line = lines("nginx")[0];
    assert!(line.starts_with("nginx -T "), "{line}");
    let output = shell(&line.replacen("nginx -T", &ours, 1));
    contains(
        &text(&output),
        &["proxy_pass http://127.0.0.1:9", "proxy_connect_timeout 3s"],
    );
}

/// What is echoed into the socket is a command of a real HAProxy, and the columns that are cut out are the ones meant.
#[test]
fn haproxy_knows_the_commands_to_paste() {
    use std::io::{Read, Write};
    if !programs::have(&["haproxy"]) {
        return;
    }
    let folder = scratch();
    let socket = folder.join("admin.sock");
    let config = format!(
        "global\nstats socket {}\ndefaults\nmode http\ntimeout connect 1s\ntimeout client 1s\ntimeout server 1s\n\
         frontend edge\nbind {}\ndefault_backend shop\nbackend shop\nserver one 127.0.0.1:9 check inter 100ms fall 1\n",
        socket.display(),
        support::stack::address(7)
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, config).expect("written");
    let program = programs::find("haproxy").expect("have it");
    let _process = support::process::Process::start(&program, &["-db", "-f", file.to_str().expect("plain")]);
    let ask = |words: &str| {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).ok()?;
        stream.write_all(format!("{words}\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    };
    for line in lines("haproxy") {
        let words = line.split('\'').nth(1).expect("quoted words");
        let known = |answer: &String| match words {
            "show stat" => answer
                .lines()
                .any(|row| row.starts_with("shop,one,") && row.contains("DOWN")),
            _ => !answer.is_empty(),
        };
        let answer = support::stack::wait_until(line, || ask(words).filter(known));
        assert!(!answer.contains("Unknown command"), "{words}: {answer}");
        if let Some(cut) = line.split("cut -d, -f").nth(1) {
            let header: Vec<_> = answer.lines().next().expect("a header").split(',').collect();
            let columns = cut
                .split(',')
                .map(|number| header[number.parse::<usize>().expect("a number") - 1]);
            let columns: Vec<_> = columns.collect();
            assert_eq!(
                columns,
                ["# pxname", "svname", "status", "check_status", "check_code", "last_chk"]
            );
        }
    }
    std::fs::remove_dir_all(folder).expect("removed");
}
