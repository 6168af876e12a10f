//! The pages and the API: what comes first, what stays text, who sees what.

use super::*;

#[tokio::test]
async fn what_fails_comes_first_and_explains_itself() {
    let upstreams = vec![
        upstream("a-good-one", HopState::Healthy),
        upstream("new-one", HopState::Pending),
        upstream("check<out", failing(Cause::ConnectRefused)),
    ];
    let server = start(upstreams).await;
    let (_, page) = server.get("/").await;
    assert!(page.find("check&lt;out").unwrap() < page.find("a-good-one").unwrap());
    for text in [
        "Users feel a fault of one upstream",
        "… not judged yet 1",
        "connect_refused",
        "origin_down",
        "✕ users feel it",
        "The origin accepts no connections: connect_refused",
        "href=\"upstreams/check%3Cout\"",
        "secret &lt;evidence&gt;",
        "href=\"metrics\"",
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "script-src 'sha256-",
    ] {
        assert!(page.contains(text), "{text} is missing:\n{page}");
    }
    assert_eq!(page.matches("<script").count(), 1, "our own");
    assert!(!page.contains(" style=") && !page.contains(" onclick="));
    let (_, found) = server.get("/?q=REFUSED").await;
    assert!(found.contains("check&lt;out") && !found.contains("a-good-one"));
    let (_, found) = server.get("/?impact=none").await;
    assert!(!found.contains("check&lt;out") && found.contains("a-good-one"));
    let (_, found) = server.get("/?q=%22%3E%3Cscript%3E").await;
    assert_eq!(found.matches("<script").count(), 1);
    assert!(found.contains("value=\"&quot;&gt;&lt;script&gt;\""));
}

#[tokio::test]
async fn what_users_feel_comes_first() {
    let quiet = |name: &str, verdict| {
        let mut quiet = upstream(name, HopState::Healthy);
        let said = Arc::make_mut(&mut quiet.diagnosis);
        (said.verdict, said.impact) = (verdict, Impact::Redundancy);
        quiet
    };
    let upstreams = vec![
        quiet("a-flaky-one", Verdict::Intermittent),
        upstream("z-down", failing(Cause::ConnectRefused)),
    ];
    let (_, page) = start(upstreams).await.get("/").await;
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is missing:\n{page}"));
    assert!(at("✕ users feel it") < at("▲ redundancy lost"));
    assert!(at("z-down") < at("a-flaky-one"));
}

#[tokio::test]
async fn thousands_of_upstreams_come_page_by_page() {
    let upstreams = (0..5000)
        .map(|number| upstream(&format!("upstream-{number:04}"), HopState::Healthy))
        .collect();
    let server = start(upstreams).await;
    let (_, page) = server.get("/").await;
    assert!(page.contains("upstream-0099") && !page.contains("upstream-0100"));
    assert!(page.contains("Page 1 of 50") && page.contains("href=\"?page=2\""));
    assert!(page.len() < 200_000, "{}", page.len());
    assert!(server.get("/?page=50").await.1.contains("upstream-4999"));
    assert!(server.get("/?page=999").await.1.contains("Page 50 of 50"));
    assert!(server.get("/?q=upstream-1999").await.1.contains("upstream-1999"));
}

#[tokio::test]
async fn other_hosts_see_no_evidence() {
    let server = start(vec![upstream("checkout", failing(Cause::BadGateway))]).await;
    let elsewhere = "X-Forwarded-For: 10.0.0.1\r\n";
    let (status, page) = server.ask("GET", "/", elsewhere).await;
    assert_eq!(status, 200);
    assert!(page.contains("bad_gateway") && !page.contains("evidence"));
    assert_eq!(server.ask("GET", "/logs", elsewhere).await.0, 403);
    assert_eq!(server.ask("GET", "/config", elsewhere).await.0, 403);
    assert_eq!(server.ask("GET", "/metrics", elsewhere).await.0, 200);
    assert_eq!(server.ask("GET", "/-/ready", elsewhere).await.0, 200);
}

#[tokio::test]
async fn an_upstream_has_its_page_and_its_json() {
    let server = start(vec![upstream("check<out", failing(Cause::ConnectRefused))]).await;
    let (status, page) = server.get("/upstreams/check%3Cout").await;
    assert_eq!(status, 200);
    for text in [
        "<h1>check&lt;out</h1>",
        "&lt;script&gt;alert(1)",
        "../runbooks/BadGatewayUpstreamConnectRefused",
        "Summary for chat",
    ] {
        assert!(page.contains(text), "{text} is missing:\n{page}");
    }
    assert_eq!(page.matches("<script").count(), 1, "our own");
    assert_eq!(server.get("/upstreams/nothing").await.0, 404);
    assert_eq!(
        server.get("/upstreams/%3Cscript%3E").await.1.matches("<script").count(),
        0
    );

    let json = |answer: &str| -> serde_json::Value {
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).expect("it is JSON")
    };
    let (status, answer) = server.get("/api/v1/upstreams/check%3Cout").await;
    assert_eq!(status, 200);
    assert!(answer.contains("content-type: application/json\r\n"), "{answer}");
    let value = json(&answer);
    assert_eq!(value["verdict"], "origin_down");
    assert_eq!(value["failures"][0]["cause"], "bad_gateway");
    let (status, answer) = server.get("/api/v1/upstreams/nothing").await;
    assert_eq!(status, 404);
    assert_eq!(json(&answer)["error"], "no upstream is called \"nothing\"");
    assert_eq!(
        json(&server.get("/api/v1/upstreams").await.1)["upstreams"][0]["upstream"],
        "check<out"
    );
}

#[tokio::test]
async fn changes_are_told_and_shown() {
    let server = start(vec![upstream("checkout", HopState::Healthy)]).await;
    let tell = async |body: &str, headers: &str| {
        let headers = format!("Content-Length: {}\r\n{headers}", body.len());
        let request =
            format!("POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n{body}");
        let (status, answer) = server.raw(&request).await;
        (status, String::from_utf8_lossy(&answer).into_owned())
    };
    let (status, answer) = tell(r#"{"text": "checkout <1.2>", "upstream": "checkout"}"#, "").await;
    assert_eq!(status, 201, "{answer}");
    assert!(
        server
            .get("/upstreams/checkout")
            .await
            .1
            .contains("checkout &lt;1.2&gt;")
    );
    assert_eq!(tell("{}", "").await.0, 400);
    assert_eq!(tell(&"x".repeat(20_000), "").await.0, 413);
    assert_eq!(tell(r#"{"text": "x"}"#, "Sec-Fetch-Site: cross-site\r\n").await.0, 403);
    assert_eq!(tell(r#"{"text": "x"}"#, "X-Forwarded-For: 192.0.2.1\r\n").await.0, 403);
    assert_eq!(server.get("/api/v1/events").await.0, 405);
}

#[tokio::test]
async fn incidents_are_listed_by_time_and_upstream() {
    let server = start(vec![]).await;
    for (path, status) in [
        ("/api/v1/incidents", 200),
        ("/api/v1/incidents?since=24h&upstream=checkout&limit=5", 200),
        ("/api/v1/incidents?since=2026-11-20T12:00:00Z", 200),
        ("/api/v1/incidents?since=yesterday", 400),
        ("/api/v1/incidents?limit=many", 400),
        ("/incidents", 200),
    ] {
        assert_eq!(server.get(path).await.0, status, "{path}");
    }
    for path in ["/api/v1/incidents", "/api/v1/upstreams", "/incidents", "/upstreams/a"] {
        assert_eq!(
            server.ask("GET", path, "X-Forwarded-For: 192.0.2.1\r\n").await.0,
            403,
            "{path}"
        );
    }
}
