//! Sources as they are met: an HTTP server and a resolver on loopback, a file on disk.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, rdata};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::config::Config;
use crate::config::operation::RecordType;
use crate::metrics::Build;

fn config(discovery: &str) -> Config {
    let text = format!("discovery: [{discovery}]");
    crate::config::from_str(&text, "t.yml", Path::new("/"), &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

fn means(config: &Config) -> (Means, mpsc::Receiver<List>) {
    let (lists, found) = mpsc::channel(QUEUED_LISTS);
    let means = Means {
        prober: Arc::new(Prober::new(0.0)),
        modules: config.modules.clone(),
        metrics: Metrics::new(Build::default()),
        lists,
    };
    (means, found)
}

/// Gives the answers one after the other, the last one for ever.
async fn server(answers: Vec<String>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            seen.lock()
                .unwrap()
                .push(String::from_utf8_lossy(&request[..length]).into_owned());
            let answer = &answers[number.min(answers.len() - 1)];
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn lists_are_taken_from_an_http_server() {
    let good = r#"[{"targets": ["10.0.0.1:80"], "labels": {"team": "shop"}}]"#;
    let (address, asked) = server(vec![
        answer("200 OK", good),
        answer("503 Service Unavailable", ""),
        answer("200 OK", "{}"),
        answer("200 OK", good)[..60].to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n[".to_owned(),
    ])
    .await;
    let config = config(&format!(
        "{{ http: {{ url: 'http://u:hunter@{address}/sd?key=hunter', refresh: 30s }} }}"
    ));
    let Discovery::Http { url, refresh } = &config.discovery[0] else {
        panic!("an http source");
    };
    let (means, _found) = means(&config);
    let groups = http::ask(url, *refresh, &means).await.unwrap();
    assert_eq!(
        (groups[0].targets[0].as_str(), groups[0].labels["team"].as_str()),
        ("10.0.0.1:80", "shop")
    );
    let request = asked.lock().unwrap()[0].to_ascii_lowercase();
    for line in [
        "get /sd?key=hunter http/1.1",
        "authorization: basic",
        "x-prometheus-refresh-interval-seconds: 30",
    ] {
        assert!(request.contains(line), "{request}");
    }
    for expected in [
        "service_unavailable",
        "no list of target groups",
        "response_truncated",
        "response_truncated",
    ] {
        let failed = http::ask(url, *refresh, &means).await.unwrap_err();
        assert!(
            failed.why.contains(expected) && !failed.why.contains("hunter"),
            "{failed:?}"
        );
    }
}

#[tokio::test]
async fn a_list_over_the_bound_is_refused() {
    let body = format!("[{}]", " ".repeat(crate::config::MAX_GROUPS_SIZE));
    let (address, _) = server(vec![answer("200 OK", &body)]).await;
    let config = config(&format!("{{ http: {{ url: 'http://{address}/' }} }}"));
    let Discovery::Http { url, refresh } = &config.discovery[0] else {
        panic!("an http source");
    };
    let failed = http::ask(url, *refresh, &means(&config).0).await.unwrap_err();
    assert!(failed.why.contains("larger than 16 MiB"), "{failed:?}");
}

#[tokio::test]
async fn a_failing_server_removes_nothing() {
    let good = r#"[{"targets": ["a:1"]}]"#;
    let other = r#"[{"targets": ["b:1"]}]"#;
    let answers = vec![
        answer("200 OK", good),
        answer("500 Internal Server Error", ""),
        answer("200 OK", good),
        answer("200 OK", other),
    ];
    let (address, _) = server(answers).await;
    let config = config(&format!("{{ http: {{ url: 'http://{address}/', refresh: 1s }} }}"));
    let (means, mut found) = means(&config);
    let metrics = means.metrics.clone();
    let task = tokio::spawn(run(7, config.discovery[0].clone(), means));
    let list = found.recv().await.unwrap();
    assert_eq!((list.source, list.groups[0].targets[0].as_str()), (7, "a:1"));
    // Neither the failure nor the same list again is worth a message.
    assert_eq!(found.recv().await.unwrap().groups[0].targets, ["b:1"]);
    let mut page = String::new();
    metrics
        .encode(crate::metrics::Format::Prometheus, crate::clock::now(), &mut |chunk| {
            page.push_str(chunk);
            Ok(())
        })
        .unwrap();
    assert!(page.contains("\nbadgateway_discovery_failures_total 1\n"), "{page}");
    drop(found);
    task.await.unwrap();
}

#[tokio::test]
async fn a_file_is_a_source() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("targets.json");
    std::fs::write(&path, r#"[{"targets": ["a:1"]}]"#).unwrap();
    let config = config(&format!("{{ file: {} }}", path.display()));
    let (means, mut found) = means(&config);
    let task = tokio::spawn(run(1, config.discovery[0].clone(), means));
    assert_eq!(found.recv().await.unwrap().groups[0].targets, ["a:1"]);
    std::fs::write(&path, r#"[{"targets": ["a:1", "b:2"]}]"#).unwrap();
    assert_eq!(found.recv().await.unwrap().groups[0].targets, ["a:1", "b:2"]);
    task.abort();
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

/// A resolver with one script: what it is asked decides what it says.
async fn resolver() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut datagram = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            let asked = Message::from_vec(&datagram[..length]).unwrap();
            let query = asked.queries[0].clone();
            let mut reply = Message::response(asked.metadata.id, OpCode::Query);
            let srv = |port, host| {
                Record::from_rdata(
                    query.name.clone(),
                    30,
                    RData::SRV(rdata::SRV::new(1, 1, port, name(host))),
                )
            };
            match (query.name.to_ascii().as_str(), query.query_type) {
                ("_http._tcp.shop.test.", hickory_proto::rr::RecordType::SRV) => {
                    reply.answers = vec![srv(8081, "b.shop.test"), srv(8080, "a.shop.test"), srv(9, ".")];
                }
                ("shop.test.", hickory_proto::rr::RecordType::A) => {
                    reply.answers = vec![Record::from_rdata(
                        query.name.clone(),
                        30,
                        RData::A(rdata::A([192, 0, 2, 7].into())),
                    )];
                }
                ("broken.test.", _) => reply.metadata.response_code = ResponseCode::ServFail,
                _ => reply.metadata.response_code = ResponseCode::NXDomain,
            }
            reply.add_query(query.clone());
            let _ = socket.send_to(&reply.to_vec().unwrap(), from).await;
        }
    });
    address
}

#[tokio::test]
async fn records_are_targets() {
    let (prober, resolvers) = (Prober::new(0.0), [resolver().await]);
    let ask = async |name, record, port| dns::ask(&prober, name, record, port, &resolvers).await;
    let found = ask("_http._tcp.shop.test", RecordType::Srv, None).await.unwrap();
    assert_eq!(found[0].targets, ["a.shop.test:8080", "b.shop.test:8081"]);
    let found = ask("shop.test", RecordType::A, Some(8080)).await.unwrap();
    assert_eq!(found[0].targets, ["192.0.2.7:8080"]);
    assert_eq!(
        ask("_none._tcp.shop.test", RecordType::Srv, None)
            .await
            .unwrap_err()
            .why,
        "NXDOMAIN"
    );
    assert_eq!(
        ask("broken.test", RecordType::Srv, None).await.unwrap_err().why,
        "SERVFAIL"
    );
}
