//! A13: a server that closes idle connections sooner than the gateway reuses them.

use std::path::Path;

use serde_json::{Value, json};

use crate::origins::{self, Origin, words};
use crate::support::daemon::{Daemon, scratch};
use crate::support::gateways::{self, Gateway};
use crate::support::stack::wait_until;
use crate::support::{http, programs};
use crate::watch::{LOG, Watch, fails, folder, said, upstream, yes_or};

const ALERT: &str = "BadGatewayKeepAliveTooShort";

/// A server that keeps connections for `$3` seconds, or, with `1.0`, none at all.
const PYTHON: &str = r#"
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.0' if sys.argv[3] == '1.0' else 'HTTP/1.1'
    timeout = float(sys.argv[3])
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(b'ok')
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"#;

/// A server whose close always meets the next request: after 0.4 seconds of silence it only closes once one comes.
const RACING: &str = r#"
import socket, sys, threading, time
def serve(client):
    with client:
        while True:
            since, data = time.monotonic(), b''
            while b'\r\n\r\n' not in data:
                more = client.recv(4096)
                if not more or not data and time.monotonic() - since > 0.4:
                    return
                data += more
            client.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

/// A server that closes after two seconds of silence, and whose close meets the second request for `/race` on a connection.
const SOMETIMES: &str = r#"
import socket, sys, threading
def serve(client):
    with client:
        client.settimeout(2)
        asked = 0
        while True:
            data = b''
            while b'\r\n\r\n' not in data:
                try:
                    more = client.recv(4096)
                except TimeoutError:
                    return
                if not more:
                    return
                data += more
            asked += 1
            if asked > 1 and b' /race' in data:
                return
            client.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

const NODE: &str = r#"
const [host, port] = process.argv.slice(1);
require('http').createServer((_, answer) => answer.end('ok')).listen(Number(port), host);
"#;

const WSGI: &str = "def app(environ, start_response):
    start_response('200 OK', [('Content-Length', '2')])
    return [b'ok']
";

/// A server of the test by its name.
struct Named {
    name: &'static str,
    origin: Origin,
}

fn origin(name: &'static str, program: &str, arguments: impl Fn(&str, &str) -> Vec<String>) -> Named {
    Named {
        name,
        origin: origins::origin(program, arguments),
    }
}

fn python(name: &'static str, kept: &'static str) -> Named {
    origin(name, "python3", |ip, port| words(&["-c", PYTHON, ip, port, kept]))
}

/// Debian's nginx as an origin.
fn nginx_origin(name: &'static str, folder: &Path, kept: &str) -> Named {
    let folder = folder.join(name);
    std::fs::create_dir(&folder).expect("created");
    origin(name, "nginx", |ip, port| {
        let folder = folder.display();
        let config = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log stderr error; events {{}}
             http {{
                 access_log off; keepalive_timeout {kept};
                 client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
                 uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
                 server {{ listen {ip}:{port}; return 200 ok; }}
             }}"
        );
        let file = format!("{folder}/nginx.conf");
        std::fs::write(&file, config).expect("written");
        words(&["-c", &file, "-e", "stderr"])
    })
}

/// Debian's httpd as an origin.
fn apache_origin(folder: &Path) -> Named {
    let folder = folder.join("apache");
    std::fs::create_dir(&folder).expect("created");
    std::fs::write(folder.join("page"), "ok").expect("written");
    origin("apache", "apache2", |ip, port| {
        let folder = folder.display();
        let modules = ["mpm_event", "authz_core"]
            .map(|module| format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"))
            .concat();
        let config = format!(
            "ServerRoot {folder}\nServerName localhost\nDefaultRuntimeDir {folder}\nPidFile {folder}/pid\n\
             Listen {ip}:{port}\n{modules}User nobody\nGroup nogroup\nErrorLog {folder}/error.log\n\
             DocumentRoot {folder}\nKeepAliveTimeout 3\nServerLimit 1\nStartServers 1\n"
        );
        let file = format!("{folder}/httpd.conf");
        std::fs::write(&file, config).expect("written");
        words(&["-DFOREGROUND", "-f", &file])
    })
}

/// Four threads, so that kept connections keep nobody waiting; what is idle is closed after two seconds, as is the default.
fn gunicorn(name: &'static str, folder: &Path) -> Named {
    std::fs::write(folder.join("wsgi.py"), WSGI).expect("written");
    let folder = folder.to_str().expect("plain");
    let threads = ["-k", "gthread", "--threads", "4"];
    origin(name, "gunicorn", |ip, port| {
        let at = format!("{ip}:{port}");
        words(&[&["--chdir", folder, "-b", &at], &threads[..], &["wsgi:app"]].concat())
    })
}

#[test]
fn idle_connections_are_measured_where_a_gateway_reuses_them() {
    if !programs::have(&["python3", "nginx", "apache2", "node", "gunicorn"]) {
        return;
    }
    let folder = scratch();
    let (apache, node) = (
        apache_origin(&folder),
        origin("node", "node", |ip, port| words(&["-e", NODE, ip, port])),
    );
    let (old, lasting) = (python("old", "1.0"), nginx_origin("lasting", &folder, "75s"));
    // Their documented values, give or take what a busy machine does to a clock; Node adds a second of its own since 2025.
    let measured = [
        (python("python", "2"), 1.5..3.0),
        (nginx_origin("nginx", &folder, "4s"), 3.5..5.0),
        (apache, 2.5..4.0),
        (node, 4.5..7.0),
        (gunicorn("gunicorn", &folder), 1.5..4.0),
    ];
    let of = |origin: &Named, gateway: &str| {
        let path = if origin.name == "apache" { "page" } else { "" };
        json!({
            "name": origin.name,
            "origin": format!("http://{}/{path}", origin.origin.listen),
            "via": [{ "gateway": gateway, "url": format!("http://{}/", origin.origin.listen), "expect": { "status": ["200-499"] } }],
        })
    };
    let mut upstreams: Vec<Value> = measured.iter().map(|(origin, _)| of(origin, "written")).collect();
    upstreams.extend([of(&old, "written"), of(&lasting, "written")]);
    let mut alone = of(&lasting, "default");
    alone["name"] = json!("default");
    upstreams.push(alone);
    let daemon = Daemon::start(
        &scratch(),
        &json!({
            "defaults": { "interval": "1s", "timeout": "1s" },
            "gateways": [
                { "name": "written", "kind": "nginx", "limits": { "idle": "8s" } },
                { "name": "default", "kind": "nginx" },
            ],
            "upstreams": upstreams,
        }),
    );
    for (origin, expected) in &measured {
        let found = daemon.wait_until(origin.name, |metrics| {
            let known = metrics.has(
                "keepalive_idle_seconds",
                &[("address", &origin.origin.listen.to_string())],
            );
            yes_or(known, format!("not measured; {}", origin.origin.process.output("", 5)))
        });
        let found = found.sum("keepalive_idle_seconds", &[]);
        assert!(
            expected.contains(&found),
            "{}: {found} s, not within {expected:?}",
            origin.name
        );
    }
    let lasting = daemon.wait_until("lasting", |metrics| {
        yes_or(metrics.has("keepalive_idle_lower_bound_seconds", &[]), "no lower bound")
    });
    assert_eq!(lasting.sum("keepalive_idle_lower_bound_seconds", &[]), 8.0);
    assert!(!lasting.has("keepalive_idle_seconds", &[]));
    // What is not kept cannot be reused too late, and where nothing says that connections are reused none is left idle.
    let old = daemon.scrape_upstream("old");
    assert!(
        old.sum("extra_probes_total", &[("purpose", "keepalive")]) >= 2.0,
        "{}",
        old.show("extra")
    );
    let default = daemon.scrape_upstream("default");
    for metrics in [&old, &default] {
        assert!(!metrics.has("keepalive_idle_seconds", &[]));
        assert!(!metrics.has("keepalive_idle_lower_bound_seconds", &[]));
    }
    assert!(
        !default.has("extra_probes_total", &[("purpose", "keepalive")]),
        "{}",
        default.show("extra")
    );
}

/// The silence that the racing server does not bear: what is asked after it meets the close.
fn after_a_silence<T>(ask: impl Fn() -> T) -> T {
    std::thread::sleep(std::time::Duration::from_millis(600));
    ask()
}

#[test]
fn a_request_meets_the_close_of_an_idle_connection() {
    if !programs::have(&["python3", "nginx", "varnishd", "gunicorn", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    let racing = origin("racing", "python3", |ip, port| words(&["-c", RACING, ip, port])).origin;
    let gunicorn = gunicorn("gunicorn", &scratch).origin;
    // It reuses connections by its own configuration, which says so and nothing else does.
    let nginx = gateways::nginx_of(
        &folder(&scratch, "nginx"),
        &format!(
            "log_format ours '{LOG}'; access_log $ACCESS ours;
             upstream app {{ server {}; keepalive 4; keepalive_timeout 4s; }}
             server {{ listen $LISTEN; location / {{
                 proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";
             }} }}",
            racing.listen
        ),
    );
    let varnish = gateways::varnish(
        &folder(&scratch, "varnish"),
        &[("app", gunicorn.listen), ("racing", racing.listen)],
        "sub vcl_recv { if (req.url ~ \"^/racing\") { set req.backend_hint = racing; } return (pass); }",
    );
    let plain = gateways::nginx_of(
        &folder(&scratch, "plain"),
        &format!(
            "access_log off; server {{ listen $LISTEN; location / {{ proxy_pass http://{}; }} }}",
            gunicorn.listen
        ),
    );
    let gateways = json!([
        {
            "name": "idle-nginx", "kind": "nginx", "config_file": nginx.config_file(),
            "access_log": nginx.access, "error_log": nginx.error,
        },
        // Its own default, written down: it keeps what it may reuse for a minute.
        { "name": "idle-varnish", "kind": "varnish", "limits": { "idle": "60s" } },
        { "name": "idle-default", "kind": "nginx" },
    ]);
    let upstreams = json!([
        upstream("idle-nginx", racing.listen, ("idle-nginx", &nginx), "/"),
        upstream("idle-varnish", gunicorn.listen, ("idle-varnish", &varnish), "/"),
        upstream("idle-default", gunicorn.listen, ("idle-default", &plain), "/"),
    ]);
    let watch = Watch::start(&scratch, gateways, upstreams);
    let ask = || nginx.ask("/");
    let labels = watch.warns(ALERT, "idle-nginx", ask);
    assert_eq!(labels["address"], racing.listen.to_string(), "{labels}");
    let labels = watch.warns(ALERT, "idle-varnish", || varnish.ask("/"));
    assert_eq!(labels["severity"], "info", "{labels}");
    assert!(
        said(&watch.daemon, "idle-nginx")
            .to_string()
            .contains("idle connections of idle-nginx to ")
    );
    // What may be asked twice is, and nobody feels the race; the log shows it, and then it is more than context.
    wait_until("the race is seen", || {
        assert_eq!(after_a_silence(ask), Some(200));
        let labels = watch.holds(ALERT, "idle-nginx")?;
        (labels["severity"] == "warning").then_some(())
    });
    // What may not be asked twice is a 502; of Varnish it is a 503.
    let post = |gateway: &Gateway, path: &str| {
        let answer = http::ask(gateway.listen, "POST", path, &[], b"x").expect("an answer");
        Some(answer.status)
    };
    assert_eq!(fails(&[502], || after_a_silence(|| post(&nginx, "/"))), 502);
    assert_eq!(fails(&[503], || after_a_silence(|| post(&varnish, "/racing"))), 503);
    watch.stay_silent(["idle-varnish", "idle-default"], |name| {
        format!("badgateway_rounds_total{{upstream={name:?}, hop={name:?}}} > 3")
    });
    assert!(
        !watch
            .daemon
            .scrape_upstream("idle-default")
            .has("keepalive_idle_seconds", &[]),
        "nothing says that these are reused"
    );
}

#[test]
fn a_race_that_a_retry_hides_in_the_log_begins_the_measurement_and_makes_it_a_warning() {
    if !programs::have(&["python3", "nginx", "prometheus"]) {
        return;
    }
    let scratch = scratch();
    let inner = folder(&scratch, "edge");
    let origin = origin("raced", "python3", |ip, port| words(&["-c", SOMETIMES, ip, port]));
    let listen = origin.origin.listen;
    let edge = gateways::nginx(
        &inner,
        &format!(
            "log_format ours '{LOG}'; access_log $ACCESS ours;
             upstream app {{ server {listen}; keepalive 4; }}
             server {{ listen $LISTEN; location / {{
                 proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";
             }} }}"
        ),
    );
    // Nothing says that it reuses connections: neither its configuration nor a limit is given here.
    let watch = Watch::start(
        &scratch,
        json!([{
            "name": "edge", "kind": "nginx", "error_log": edge.error,
            "access_log": { "path": edge.access, "format": LOG },
        }]),
        json!([upstream("raced", listen, ("edge", &edge), "/")]),
    );
    let keepalive = [("purpose", "keepalive")];
    let calm = watch.daemon.wait_until("raced", |metrics| {
        let seen = metrics.sum("gateway_requests_total", &[]) >= 5.0 && metrics.sum("rounds_total", &[]) >= 6.0;
        assert_eq!(edge.ask("/"), Some(200));
        yes_or(seen, "some rounds and requests")
    });
    assert!(!calm.has("extra_probes_total", &keepalive), "{}", calm.show("extra"));

    // The client is served all the while: nginx asks once more.
    let ask = || edge.ask("/race");
    let is_warning = || watch.warns(ALERT, "raced", ask)["severity"] == "warning";
    wait_until("races make it a warning", || is_warning().then_some(()));
    let raced = watch.daemon.scrape_upstream("raced");
    let measured = raced.sum("keepalive_idle_seconds", &[("address", &listen.to_string())]);
    assert!((1.5..3.0).contains(&measured), "{measured} s");
    let risk = said(&watch.daemon, "raced")["risks"].to_string();
    assert!(
        risk.contains("idle connections of edge to ") && risk.contains("default of nginx"),
        "{risk}"
    );
}
