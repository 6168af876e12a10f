//! A13: a server that closes idle connections sooner than the gateway reuses them.

use std::path::Path;

use serde_json::{Value, json};

use crate::origins::{self, Origin, words};
use crate::support::daemon::{Daemon, scratch};
use crate::support::{gateways, http, programs};
use crate::watch::{said, yes_or};

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

/// A server whose close always meets the next request: after a second and a half of silence it only closes once one comes.
const RACING: &str = r#"
import socket, sys, threading, time
def serve(client):
    with client:
        while True:
            since, data = time.monotonic(), b''
            while b'\r\n\r\n' not in data:
                more = client.recv(4096)
                if not more or not data and time.monotonic() - since > 1.5:
                    return
                data += more
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

#[test]
fn idle_connections_are_measured_where_a_gateway_reuses_them() {
    if !programs::have(&["python3", "nginx", "apache2", "node", "gunicorn"]) {
        return;
    }
    let folder = scratch();
    let wsgi = folder.join("wsgi.py");
    std::fs::write(&wsgi, WSGI).expect("written");
    let racing = origin("racing", "python3", |ip, port| words(&["-c", RACING, ip, port]));
    // The gateway that reuses: it says so in its own configuration, and nowhere else.
    let gateway = gateways::nginx(
        &folder,
        &format!(
            "access_log off;
             upstream app {{ server {}; keepalive 4; keepalive_timeout 8s; }}
             server {{ listen $LISTEN; location / {{
                 proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\";
             }} }}",
            racing.origin.listen
        ),
    );
    let (apache, node) = (
        apache_origin(&folder),
        origin("node", "node", |ip, port| words(&["-e", NODE, ip, port])),
    );
    let gunicorn = origin("gunicorn", "gunicorn", |ip, port| {
        let folder = folder.to_str().expect("plain");
        words(&[
            "--chdir",
            folder,
            "-k",
            "gthread",
            "--threads",
            "2",
            "-b",
            &format!("{ip}:{port}"),
            "wsgi:app",
        ])
    });
    let (old, lasting) = (python("old", "1.0"), nginx_origin("lasting", &folder, "75s"));
    // Their documented values, give or take what a busy machine does to a clock; Node adds a second of its own since 2025.
    let measured = [
        (python("python", "2"), 1.5..3.0),
        (nginx_origin("nginx", &folder, "4s"), 3.5..5.0),
        (apache, 2.5..4.0),
        (node, 4.5..7.0),
        (gunicorn, 1.5..4.0),
        (racing, 0.4..2.0),
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
    upstreams.last_mut().expect("some")["via"][0]["gateway"] = json!("read");
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
                { "name": "read", "kind": "nginx", "config_file": folder.join("nginx.conf") },
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
    assert!(
        said(&daemon, "racing")
            .to_string()
            .contains("idle connections of read to ")
    );
    // And the gateway really answers 502, to a request after a silence that it bears and the origin does not.
    assert_eq!(gateway.ask("/"), Some(200));
    std::thread::sleep(std::time::Duration::from_secs(2));
    let answer = http::ask(gateway.listen, "POST", "/", &[("Content-Length", "0")], b"").expect("an answer");
    assert_eq!(answer.status, 502, "{}", answer.text());
}
