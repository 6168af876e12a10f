//! `badgateway diagnose`: the whole hand procedure of a 502, once: names, every address of every hop, caches, limits, the
//! verdict and what to do.
//!
//! `look` asks, `names`, `past_cache` and `limits` judge their part of it, `text` and `json` show it.

mod json;
mod limits;
mod look;
mod names;
mod past_cache;
mod text;

use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::style::Style;
use crate::cli::{DiagnoseArgs, block_on, fail, print};
use crate::config::{self, Config};
use crate::upstream::{Hop, Target, Upstream};
use look::Found;

/// Nothing failed.
const HEALTHY: u8 = 0;
/// A fault was found.
const FAULT: u8 = 1;
/// No look was possible.
const COULD_NOT_RUN: u8 = 2;

/// Looks once; the exit code says what was found.
pub fn run(args: &DiagnoseArgs) -> ExitCode {
    let (config, upstream) = match load(args) {
        Ok(loaded) => loaded,
        Err(message) => return fail(message, COULD_NOT_RUN),
    };
    let look = match block_on(look::at(&config, &upstream, args.authoritative)) {
        Ok(look) => look,
        Err(error) => return fail(format_args!("tls: {}", error.0), COULD_NOT_RUN),
    };
    let shown = match args.json {
        true => format!("{:#}\n", json::of(&look)),
        false => text::of(&look, Style::for_stdout()),
    };
    // What cannot be printed was found all the same: the exit code is that of the look.
    print(&shown);
    ExitCode::from(match look.found() {
        Found::Healthy => HEALTHY,
        Found::Fault => FAULT,
        Found::Nothing => COULD_NOT_RUN,
    })
}

/// The configuration and the upstream that is meant.
fn load(args: &DiagnoseArgs) -> Result<(Config, Arc<Upstream>), String> {
    let config = match (&args.url, &args.upstream) {
        (Some(url), _) => config::from_urls_with_kinds(std::slice::from_ref(url), &args.via, &args.kind),
        (None, _) => config::load(&args.config.config_file),
    };
    let config = config.map_err(|problems| problems.to_string())?;
    let found = match &args.upstream {
        None => config.upstreams.first(),
        Some(name) => config.upstreams.iter().find(|upstream| *upstream.name == **name),
    };
    let Some(upstream) = found else {
        let known: Vec<_> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
        let name = args.upstream.as_deref().unwrap_or_default();
        return Err(format!(
            "no upstream is called {name:?}; there are {}",
            known.join(", ")
        ));
    };
    let upstream = match args.timeout {
        Some(timeout) => Arc::new(with_timeout(upstream, timeout)),
        None => upstream.clone(),
    };
    Ok((config, upstream))
}

/// The same upstream with another time for each probe.
fn with_timeout(upstream: &Upstream, timeout: std::time::Duration) -> Upstream {
    let of_target = |target: &Arc<Target>| {
        Arc::new(Target {
            timeout,
            ..(**target).clone()
        })
    };
    let of_hop = |hop: &Arc<Hop>| {
        Arc::new(Hop {
            targets: hop.targets.iter().map(of_target).collect(),
            ..(**hop).clone()
        })
    };
    Upstream {
        hops: upstream.hops.iter().map(of_hop).collect(),
        ..upstream.clone()
    }
}
