//! `badgateway demo`: a gateway and origins with a dozen and more faults, on loopback inside this process, watched by
//! the daemon. Nothing leaves the machine.

mod gateway;
mod origins;

use std::fmt::Write;
use std::process::ExitCode;

use crate::cause::Cause;
use crate::cli::style::Style;
use crate::cli::{DemoArgs, fail, run};
use crate::config;
use crate::daemon::Source;
use crate::shard::Shard;

use origins::{Fault, Place};

/// Starts the small world, says what to open, and watches it until stopped.
pub fn run(args: &DemoArgs) -> ExitCode {
    args.log.install();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.expect("the system gives a thread and a poll descriptor");
    let world = match runtime.block_on(World::start()) {
        Ok(world) => world,
        Err(error) => return fail(format_args!("cannot listen on loopback: {error}"), 1),
    };
    let file = match write_config(&world.config()) {
        Ok(file) => file,
        Err(error) => return fail(format_args!("cannot write the demo's configuration: {error}"), 1),
    };
    let source = Source::File(file.clone());
    let config = match config::load(&file) {
        Ok(config) => config,
        Err(problems) => return fail(problems, 1),
    };
    world.introduce(&args.web.listen, &file.display().to_string());
    let end = run::serve(source, config, Shard::default(), &args.web);
    let _ = std::fs::remove_file(file);
    drop(runtime);
    end
}

/// A file of its own for each demo, so that it can be opened, changed and reloaded.
fn write_config(text: &str) -> std::io::Result<std::path::PathBuf> {
    let path = std::env::temp_dir().join(format!("badgateway-demo-{}.yml", std::process::id()));
    let mut file = std::fs::File::create_new(&path)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(path)
}

/// The origins and the gateway in front of them.
struct World {
    origins: Vec<(Fault, Place)>,
    gateway: std::net::SocketAddr,
}

impl World {
    async fn start() -> std::io::Result<World> {
        let mut origins = Vec::new();
        for fault in Fault::ALL {
            origins.push((fault, origins::start(fault).await?));
        }
        let routes = origins
            .iter()
            .map(|(fault, place)| (fault.name(), place.clone()))
            .collect();
        let gateway = gateway::start(routes).await?;
        Ok(World { origins, gateway })
    }

    fn config(&self) -> String {
        let mut text = String::from(
            "# Written by badgateway demo. Change it and reload: kill -HUP, or POST to /-/reload.\n\
             defaults: { interval: 5s, timeout: 2s }\n\
             gateways:\n  - { name: edge, kind: generic, limits: { first_byte: 1s } }\nupstreams:\n",
        );
        for (fault, place) in &self.origins {
            let name = fault.name();
            let _ = write!(text, "  - name: {name}\n    origin: {{ url: \"{}\"", place.url);
            if let Some(resolver) = place.resolver {
                let _ = write!(text, ", resolvers: [\"{resolver}\"]");
            }
            let tls = if place.url.starts_with("https") {
                ", tls: { verify: false }"
            } else {
                ""
            };
            let _ = writeln!(text, "{tls} }}");
            let _ = writeln!(
                text,
                "    via: [{{ gateway: edge, url: \"http://{}/{name}\" }}]",
                self.gateway
            );
            let _ = writeln!(
                text,
                "    expect: {{ body: {{ contains: \"ok\" }} }}\n    labels: {{ team: demo }}"
            );
        }
        text
    }

    fn introduce(&self, listen: &[String], config: &str) {
        let style = Style::for_stdout();
        let page = match listen.first().map(String::as_str) {
            Some(address) if address.starts_with(':') => format!("http://127.0.0.1{address}/"),
            Some(address) => format!("http://{address}/"),
            None => String::new(),
        };
        println!(
            "{}",
            style.strong("A gateway called edge, and behind it origins that are to be found:")
        );
        for (fault, place) in &self.origins {
            let found = fault.cause().map_or("healthy", Cause::label);
            println!("  {:<14} {:<28} {}", fault.name(), place.url, style.bad(found));
        }
        println!("\n{} {page}", style.strong("open"));
        println!("     {page}metrics        what Prometheus scrapes");
        println!("     {page}logs           the latest probes, failures kept longer");
        println!(
            "{}  badgateway diagnose --config.file {config} --upstream closed",
            style.strong("try")
        );
        println!("     curl -s {page}metrics | grep badgateway_probe_failing");
        println!("\nThe first rounds come within five seconds. Ctrl-C ends it.\n");
    }
}
