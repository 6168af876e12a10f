//! `badgateway check`: every problem of a configuration at once; with `--probe` one round of everything; with `--log`
//! what a gateway's log says.

mod log;

use std::path::Path;
use std::process::ExitCode;

use tokio::sync::Semaphore;

use crate::cli::style::Style;
use crate::cli::{CheckArgs, block_on};
use crate::config::{self, Config};
use crate::metrics::{Build, Metrics};
use crate::probe::{Prepared, Prober};
use crate::survey::{self, HopReport};
use crate::{build_info, evidence};

/// Checks each file; exit 1 if one has a problem or a probe fails.
pub fn run(args: &CheckArgs) -> ExitCode {
    if let Some(file) = &args.log {
        return log::check(file, args.kind.as_deref(), args.format.as_deref());
    }
    let style = Style::for_stdout();
    let results: Vec<_> = args.files.iter().map(|file| check(file, args.probe, style)).collect();
    let good = results.iter().all(|good| *good);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check(file: &Path, probe: bool, style: Style) -> bool {
    let config = match config::load(file) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return false;
        }
    };
    let mut good = true;
    for upstream in &config.upstreams {
        for hop in &upstream.hops {
            for error in hop
                .targets
                .iter()
                .filter_map(|target| Prepared::new(target.clone()).err())
            {
                eprintln!(
                    "{}: upstream {:?}, hop {:?}: tls: {}",
                    file.display(),
                    upstream.name,
                    hop.name,
                    error.0
                );
                good = false;
            }
        }
    }
    for note in config.unused.iter().chain(&config.notes) {
        println!("{} {note}", style.warning("note:"));
    }
    println!(
        "{}: {} {}",
        file.display(),
        if good { style.good("ok") } else { style.bad("not ok") },
        summary(&config)
    );
    good && (!probe || block_on(probe_all(&config, style)))
}

fn summary(config: &Config) -> String {
    let hops: Vec<_> = config.upstreams.iter().flat_map(|upstream| &upstream.hops).collect();
    let targets = hops.iter().flat_map(|hop| &hop.targets);
    let requests: usize = targets.map(|target| target.requests.len()).sum();
    format!(
        "({} upstreams, {} hops, {} gateways, at least {requests} requests a round)",
        config.upstreams.len(),
        hops.len(),
        config.gateways.len()
    )
}

async fn probe_all(config: &Config, style: Style) -> bool {
    let prober = Prober::new(config.trace_sampled);
    let slots = Semaphore::new(config.max_concurrent_probes);
    let metrics = Metrics::new(Build::of(build_info::VERSION, build_info::REVISION));
    metrics.configure(&config.upstreams);
    let (mut all_good, mut per_second) = (true, 0.0);
    for upstream in &config.upstreams {
        println!("{}", style.strong(&upstream.name));
        let reports = match survey::upstream(&prober, &slots, upstream).await {
            Ok(reports) => reports,
            Err(error) => {
                println!("  {} tls: {}", style.bad("cannot be probed"), error.0);
                all_good = false;
                continue;
            }
        };
        for report in &reports {
            all_good &= report.causes().is_empty();
            per_second += report.requests() as f64 / upstream.interval.as_secs_f64();
            print_hop(report, style);
        }
    }
    println!("{per_second:.1} requests a second, {} series", metrics.count_series());
    all_good
}

fn print_hop(report: &HopReport, style: Style) {
    for target in &report.targets {
        if let Some(cause) = target.resolution.1.cause() {
            let evidence = evidence::of_resolution(&target.resolution.0);
            println!("  {:<12} {} {evidence}", report.hop.name, style.bad(cause.label()));
        }
        for address in &target.unexpected {
            println!(
                "  {:<12} {} {address}",
                report.hop.name,
                style.bad("dns_unexpected_address")
            );
        }
        for probe in &target.probes {
            let outcome = match probe.outcome.cause() {
                None => style.good(&probe.outcome.to_string()),
                Some(cause) => style.bad(cause.label()),
            };
            let took = probe.seen.timings.total.as_secs_f64() * 1e3;
            let evidence = &probe.evidence;
            println!(
                "  {:<12} {} {} {outcome} {took:.1} ms, {evidence}",
                report.hop.name, probe.address, probe.path
            );
        }
    }
}
