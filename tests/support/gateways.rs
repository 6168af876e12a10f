//! Real gateways in front of backends that misbehave, each writing logs that the daemon follows.
//!
//! Every gateway has the same site: `/good`, `/refused`, `/closed`, `/timeout` and `/cut` lead to one backend each.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use socket2::Socket;

use super::peers::http1::{self, Ending, answers};
use super::peers::{serve, tcp};
use super::process::Process;
use super::stack::{address, wait_until};
use super::{http, programs};

/// The backends of the site. Hold while it lives.
pub struct Backends {
    pub good: SocketAddr,
    pub refused: SocketAddr,
    pub closed: SocketAddr,
    pub timeout: SocketAddr,
    pub cut: SocketAddr,
    _refusing: Socket,
}

impl Backends {
    /// One of each.
    pub fn start() -> Backends {
        let (refused, socket) = tcp::refusing();
        Backends {
            // A gateway that would keep the connection must not meet its end.
            good: serve(answers(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
            )),
            refused,
            closed: serve(http1::ends("", Ending::Finish)),
            timeout: serve(http1::ends("", Ending::Stall)),
            // More than a gateway holds back before it sends the head.
            cut: serve(answers(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{}",
                "x".repeat(100_000)
            ))),
            _refusing: socket,
        }
    }

    /// The backend of each path.
    pub fn by_path(&self) -> [(&'static str, SocketAddr); 5] {
        [
            ("good", self.good),
            ("refused", self.refused),
            ("closed", self.closed),
            ("timeout", self.timeout),
            ("cut", self.cut),
        ]
    }
}

/// A gateway, running unless it was killed. Dropping it ends it.
pub struct Gateway {
    /// Where it is asked.
    pub listen: SocketAddr,
    pub access: PathBuf,
    pub error: PathBuf,
    /// What it is configured by.
    file: PathBuf,
    /// The command line, and the signal it is ended by.
    words: Vec<String>,
    signal: &'static str,
    process: Option<Process>,
}

impl Gateway {
    /// Starts the program with its configuration in that file and waits until it accepts connections.
    fn start(listen: SocketAddr, file: PathBuf, words: Vec<String>, signal: &'static str) -> Gateway {
        let folder = file.parent().expect("a directory");
        let mut gateway = Gateway {
            listen,
            access: folder.join("access.log"),
            error: folder.join("error.log"),
            file,
            words,
            signal,
            process: None,
        };
        gateway.start_again();
        gateway
    }

    fn run(&self, more: &[String]) -> Process {
        let arguments = [&self.words[1..], more].concat();
        Process::start_with(Path::new(&self.words[0]), &arguments, self.signal, None)
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it at the same address, and waits until it accepts connections.
    pub fn start_again(&mut self) {
        self.kill();
        let process = self.run(&[]);
        wait_until("the gateway accepts", || {
            assert!(!process.ended(), "it ended: {}", process.output("", 20));
            std::net::TcpStream::connect(self.listen).ok()
        });
        self.process = Some(process);
    }

    /// Has nginx or HAProxy take over its configuration as operators do, with no moment in which nobody accepts.
    pub fn reload(&mut self) {
        let old = self.process.take().expect("it runs");
        if self.file.ends_with("nginx.conf") {
            old.signal("HUP");
            self.process = Some(old);
            return;
        }
        let next = self.run(&["-sf".to_owned(), old.pid().to_string()]);
        wait_until("the next one has taken over", || {
            assert!(!next.ended(), "it ended: {}", next.output("", 20));
            old.ended().then_some(())
        });
        self.process = Some(next);
    }

    /// Reloads it with `from` replaced by `to` in its configuration, where it must stand.
    pub fn reconfigure(&mut self, from: &str, to: &str) {
        let config = std::fs::read_to_string(&self.file).expect("readable");
        assert!(config.contains(from), "{from} is not in {config}");
        std::fs::write(&self.file, config.replace(from, to)).expect("written");
        self.reload();
    }

    /// One request of a user. `None` where no answer came; a body may be cut.
    pub fn ask(&self, path: &str) -> Option<u16> {
        let agent = ("User-Agent", "Mozilla/5.0 (X11; Linux) Gecko");
        http::get(self.listen, path, &[agent]).ok().map(|answer| answer.status)
    }

    /// So many requests, one after the other; every answer has this status.
    pub fn ask_times(&self, times: usize, path: &str, status: u16) {
        for _ in 0..times {
            assert_eq!(self.ask(path), Some(status), "{path}");
        }
    }

    /// Its process. Panics while it is killed.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    /// The file it is configured by.
    pub fn config_file(&self) -> &Path {
        &self.file
    }
}

/// nginx that waits for a second only, with these lines in its `http` block; `$ACCESS` in them is the file of the access
/// log.
pub fn nginx(folder: &Path, http: &str) -> Gateway {
    nginx_at(folder, address(1), &[], http)
}

/// As [`nginx`] at that address, started by the command `before`, such as `ip netns exec NAME`.
pub fn nginx_at(folder: &Path, listen: SocketAddr, before: &[&str], http: &str) -> Gateway {
    nginx_with(folder, listen, before, &format!("proxy_read_timeout 1s; {http}"))
}

/// nginx with nothing but these lines in its `http` block.
pub fn nginx_of(folder: &Path, http: &str) -> Gateway {
    nginx_with(folder, address(1), &[], http)
}

fn nginx_with(folder: &Path, listen: SocketAddr, before: &[&str], http: &str) -> Gateway {
    let name = folder.display();
    let http = http
        .replace("$ACCESS", &format!("{name}/access.log"))
        .replace("$LISTEN", &listen.to_string());
    let config = format!(
        "daemon off; user root root; pid {name}/nginx.pid; error_log {name}/error.log error; events {{}}
         http {{
             client_body_temp_path {name}/body; proxy_temp_path {name}/proxy; fastcgi_temp_path {name}/fastcgi;
             uwsgi_temp_path {name}/uwsgi; scgi_temp_path {name}/scgi;
             {http}
         }}"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config).expect("written");
    let words = command(before, "nginx", &["-c", text(&file), "-e", "stderr"]);
    // Its workers would outlive a master that is killed.
    Gateway::start(listen, file, words, "TERM")
}

/// The words of a command line: the program and its arguments, behind those of another command that starts it.
fn command(before: &[&str], program: &str, arguments: &[&str]) -> Vec<String> {
    let program = programs::find(program).expect("have it");
    let words = before
        .iter()
        .copied()
        .chain([text(&program)])
        .chain(arguments.iter().copied());
    words.map(ToOwned::to_owned).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// nginx with the site, its log in the format called `ours`.
pub fn nginx_site(folder: &Path, backends: &Backends, format: &str) -> Gateway {
    let locations: String = backends
        .by_path()
        .iter()
        .map(|(path, backend)| format!("location /{path} {{ proxy_pass http://{backend}; }}\n"))
        .collect();
    let http = format!(
        "log_format ours '{format}'; access_log $ACCESS ours;
         server {{ listen $LISTEN; {locations} }}"
    );
    nginx(folder, &http)
}

/// HAProxy with the site, sending its log to all of `syslog`.
pub fn haproxy(folder: &Path, backends: &Backends, syslog: &[&str], format: &str) -> Gateway {
    let sites = backends.by_path();
    let rules: String = sites
        .map(|(path, _)| format!("use_backend {path} if {{ path_beg /{path} }}\n"))
        .concat();
    let servers: String = sites
        .map(|(path, backend)| format!("backend {path}\nserver one {backend}\n"))
        .concat();
    let format = format.replace('"', "\\\"");
    let syslog: String = syslog.iter().map(|to| format!("log {to} local0\n")).collect();
    let defaults = format!("log global\noption dontlognull\nlog-format \"{format}\"\nretries 0");
    haproxy_at(
        folder,
        address(1),
        &[],
        &syslog,
        &defaults,
        &format!("{rules}{servers}"),
    )
}

/// HAProxy with these lines in `global`, in `defaults` and from within its frontend on, at that address, started by the
/// command `before`, such as `ip netns exec NAME`.
pub fn haproxy_at(
    folder: &Path,
    listen: SocketAddr,
    before: &[&str],
    global: &str,
    defaults: &str,
    site: &str,
) -> Gateway {
    let config = format!(
        "global
         {global}
         defaults
         mode http
         timeout connect 1s
         timeout client 5s
         timeout server 1s
         {defaults}
         frontend edge
         bind {listen}
         {site}"
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, config + "\n").expect("written");
    let words = command(before, "haproxy", &["-db", "-f", text(&file)]);
    Gateway::start(listen, file, words, "KILL")
}

/// Debian's httpd with the site, its access log in this format, its error log in the default one.
pub fn apache(folder: &Path, backends: &Backends, format: &str) -> Gateway {
    let listen = address(1);
    let name = folder.display();
    let modules = ["mpm_event", "authz_core", "unixd", "log_config", "proxy", "proxy_http"]
        .map(|module| match module {
            "unixd" | "log_config" => String::new(),
            module => format!("LoadModule {module}_module /usr/lib/apache2/modules/mod_{module}.so\n"),
        })
        .concat();
    let format = format.replace('"', "\\\"");
    let sites = backends
        .by_path()
        .map(|(path, backend)| format!("ProxyPass /{path} http://{backend}/ retry=0 disablereuse=On\n"))
        .concat();
    let config = format!(
        "ServerRoot {name}
         ServerName localhost
         DefaultRuntimeDir {name}
         PidFile {name}/apache.pid
         Listen {listen}
         {modules}
         <IfModule unixd_module>
         User nobody
         Group nogroup
         </IfModule>
         ServerLimit 1
         StartServers 1
         ThreadsPerChild 25
         MaxRequestWorkers 25
         ProxyTimeout 1
         LogFormat \"{format}\" ours
         CustomLog {name}/access.log ours
         ErrorLog {name}/error.log
         LogLevel warn
         {sites}"
    );
    let file = folder.join("httpd.conf");
    std::fs::write(&file, config).expect("written");
    let words = command(&[], "apache2", &["-DFOREGROUND", "-f", text(&file)]);
    Gateway::start(listen, file, words, "TERM")
}

/// Debian's Varnish with these backends and lines of VCL, and nothing but its defaults otherwise.
pub fn varnish(folder: &Path, backends: &[(&str, SocketAddr)], vcl: &str) -> Gateway {
    let listen = address(1);
    let backends: String = backends
        .iter()
        .map(|(name, at)| {
            format!(
                "backend {name} {{ .host = \"{}\"; .port = \"{}\"; }}\n",
                at.ip(),
                at.port()
            )
        })
        .collect();
    let file = folder.join("edge.vcl");
    std::fs::write(&file, format!("vcl 4.1;\n{backends}{vcl}\n")).expect("written");
    let (own, at) = (folder.join("varnish"), listen.to_string());
    let arguments = [
        "-F",
        "-j",
        "none",
        "-n",
        text(&own),
        "-a",
        &at,
        "-f",
        text(&file),
        "-s",
        "malloc,16m",
    ];
    let words = command(&[], "varnishd", &arguments);
    Gateway::start(listen, file, words, "TERM")
}

/// Debian's Caddy with the site; its access log is its own, what else it says is the error log.
pub fn caddy(folder: &Path, backends: &Backends) -> Gateway {
    let listen = address(1);
    let log = |file: &str, more: &str| {
        let path = folder.join(file);
        json!({ "writer": { "output": "file", "filename": path, "roll": false }, "encoder": { "format": "json" } })
            .as_object()
            .cloned()
            .map(|mut log| {
                log.insert(more.to_owned(), json!(["http.log.access"]));
                Value::from(log)
            })
            .expect("a map")
    };
    let routes: Vec<Value> = backends
        .by_path()
        .iter()
        .map(|(path, backend)| {
            json!({
                "match": [{ "path": [format!("/{path}*")] }],
                "handle": [{
                    "handler": "reverse_proxy",
                    "upstreams": [{ "dial": backend.to_string() }],
                    "transport": { "protocol": "http", "response_header_timeout": "1s" },
                }],
            })
        })
        .collect();
    let config = json!({
        "admin": { "disabled": true },
        "storage": { "module": "file_system", "root": folder.join("storage") },
        "logging": { "logs": { "access": log("access.log", "include"), "default": log("error.log", "exclude") } },
        "apps": { "http": { "servers": { "edge": {
            "listen": [listen.to_string()],
            "automatic_https": { "disable": true },
            "logs": {},
            "routes": routes,
        } } } },
    });
    let file = folder.join("caddy.json");
    std::fs::write(&file, config.to_string()).expect("written");
    let words = command(&[], "caddy", &["run", "--config", text(&file)]);
    Gateway::start(listen, file, words, "KILL")
}

/// Traefik with the site, its access log as JSON with the user agent, its log at DEBUG.
pub fn traefik(folder: &Path, backends: &Backends) -> Gateway {
    let listen = address(1);
    let (mut routers, mut services) = (json!({}), json!({}));
    for (path, backend) in backends.by_path() {
        routers[path] = json!({ "rule": format!("PathPrefix(`/{path}`)"), "service": path });
        let servers = json!([{ "url": format!("http://{backend}") }]);
        services[path] = json!({ "loadBalancer": { "servers": servers, "serversTransport": "short" } });
    }
    let dynamic = json!({ "http": {
        "routers": routers,
        "services": services,
        "serversTransports": { "short": { "forwardingTimeouts": { "responseHeaderTimeout": "1s", "dialTimeout": "1s" } } },
    } });
    let (fixed, moving) = (folder.join("traefik.json"), folder.join("dynamic.json"));
    let config = json!({
        "entryPoints": { "web": { "address": listen.to_string() } },
        "providers": { "file": { "filename": moving, "watch": false } },
        "log": { "level": "DEBUG", "filePath": folder.join("error.log") },
        "accessLog": { "format": "json", "filePath": folder.join("access.log") },
        "global": { "checkNewVersion": false, "sendAnonymousUsage": false },
    });
    std::fs::write(&moving, dynamic.to_string()).expect("written");
    std::fs::write(&fixed, config.to_string()).expect("written");
    let words = command(&[], "traefik", &[&format!("--configFile={}", fixed.display())]);
    let gateway = Gateway::start(listen, fixed, words, "KILL");
    wait_until("the routes are loaded", || {
        (gateway.ask("/good") == Some(200)).then_some(())
    });
    gateway
}

/// Envoy with the site, its access log in this format; it writes no error log of requests.
pub fn envoy(folder: &Path, backends: &Backends, format: &str) -> Gateway {
    let (listen, admin) = (address(1), address(5));
    let at = |address: SocketAddr| json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } });
    let sites = backends.by_path();
    let clusters = sites.map(|(path, backend)| {
        json!({
            "name": path,
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": { "cluster_name": path, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": at(backend) } }] }] },
        })
    });
    let routes = sites.map(
        |(path, _)| json!({ "match": { "prefix": format!("/{path}") }, "route": { "cluster": path, "timeout": "1s" } }),
    );
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "http_filters": [{ "name": "router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }] },
        "access_log": [{ "name": "file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": folder.join("access.log"),
            "log_format": { "text_format_source": { "inline_string": format!("{format}\n") } },
        } }],
    });
    let config = json!({
        "admin": { "address": at(admin) },
        "static_resources": {
            "listeners": [{ "address": at(listen), "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }] }],
            "clusters": clusters,
        },
    });
    let file = folder.join("envoy.json");
    std::fs::write(&file, config.to_string()).expect("written");
    let errors = folder.join("error.log");
    let arguments = [
        "--config-path",
        text(&file),
        "--use-dynamic-base-id",
        "--concurrency",
        "2",
        "--log-path",
        text(&errors),
    ];
    let words = command(&[], "envoy", &arguments);
    Gateway::start(listen, file, words, "KILL")
}
