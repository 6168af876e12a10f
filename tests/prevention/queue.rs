//! A2: a server that does not keep up with its connections: they wait in its queue until that is full.

use serde_json::json;

use crate::origins::{Origin, origin, words};
use crate::support::daemon::scratch;
use crate::support::gateways::nginx_of;
use crate::support::programs;
use crate::users::Users;
use crate::watch::{Watch, fails, folder, upstream};

/// A page that is a tenth of a second of work.
const WSGI: &str = "import time
def app(environ, start_response):
    if environ['PATH_INFO'] == '/work':
        time.sleep(0.1)
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
";

#[test]
fn the_queue_of_a_server_fills() {
    if !programs::have(&["nginx", "gunicorn", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    std::fs::write(scratch.join("wsgi.py"), WSGI).expect("written");
    // One process that works on one request at a time, as is its default.
    let gunicorn = |more: &[&str]| -> Origin {
        let folder = scratch.to_str().expect("plain");
        origin("gunicorn", |ip, port| {
            let at = format!("{ip}:{port}");
            let arguments = ["--chdir", folder, "-b", &at];
            words(&[&arguments, more, &["wsgi:app"]].concat())
        })
    };
    let (short, plain) = (gunicorn(&["--backlog", "20"]), gunicorn(&[]));
    let nginx = |name: &str, server: &Origin, more: &str| {
        let site = format!(
            "access_log off; server {{ listen $LISTEN; location / {{ proxy_pass http://{}; {more} }} }}",
            server.listen
        );
        nginx_of(&folder(&scratch, name), &site)
    };
    let busy = nginx("queue-busy", &short, "proxy_connect_timeout 1s;");
    let well = nginx("queue-default", &plain, "");
    let all = [("queue-busy", &busy, &short), ("queue-default", &well, &plain)];
    let gateways = all.map(|(name, _, _)| json!({ "name": name, "kind": "nginx" }));
    let upstreams = all.map(|(name, gateway, server)| {
        let mut upstream = upstream(name, server.listen, (name, gateway), "/");
        // They wait in the same queue.
        upstream["timeout"] = json!("5s");
        upstream
    });
    let watch = Watch::start(&scratch, json!(gateways), json!(upstreams));
    let few = Users::ask(well.listen, "/work", 2);
    watch.stay_silent(all.map(|(name, ..)| name), |name| {
        format!("badgateway_rounds_total{{upstream={name:?}, hop={name:?}}} > 1")
    });
    if !watch.daemon.scrape().has("accept_queue_limit", &[]) {
        programs::skip("the kernel does not tell of its listeners (sock_diag)");
        return;
    }
    let many = Users::ask(busy.listen, "/work", 18);
    let labels = watch.warns("BadGatewayAcceptQueueFilling", "queue-busy", || {
        many.worst().or(Some(200))
    });
    assert_eq!(labels["address"], short.listen.to_string(), "{labels}");
    let more = Users::ask(busy.listen, "/work", 30);
    assert_eq!(fails(&[504], || more.worst()), 504);
    // Nobody is left waiting.
    drop(busy);
    drop((many, more));

    assert_eq!(few.worst(), Some(200));
    watch.stays_silent(
        "queue-default",
        "badgateway_accept_queue_limit{upstream=\"queue-default\"} > 20",
    );
}
