//! The command line: flags in the style of Prometheus exporters, one file per command, exit codes.
//!
//! `badgateway` alone means `badgateway run`. Every flag has an environment variable.

mod check;
mod demo;
mod diagnose;
mod incidents;
mod init;
mod logs;
mod rules;
mod run;
mod shipped;
mod style;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::build_info;
use crate::log::LogFormat;
use crate::shard::Shard;

/// Answers why users see 502s, and which hop to fix.
///
/// A daemon that probes every upstream on a schedule, direct and through the gateways in front of it, on every address,
/// and names the cause of each failure in metrics for Prometheus.
#[derive(Debug, Parser)]
#[command(name = "badgateway", version = build_info::LONG, about, args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:
  badgateway run https://shop.example.com/healthz        watch one URL, no file needed
  badgateway run --config.file badgateway.yml            watch what the file says
  badgateway diagnose https://shop.example.com/          look once, phase by phase, and say what is wrong
  badgateway check badgateway.yml                        every mistake in the file, with line and column
  badgateway init --from /etc/nginx/nginx.conf           write a first configuration
  badgateway logs access.log error.log                   why the requests in a gateway's logs failed
  badgateway incidents --since 7d --markdown             what happened, for the review
  badgateway demo                                        a tour with a dozen faults, on this machine alone")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Probe on a schedule and serve metrics (what `badgateway` alone does).
    Run(RunArgs),
    /// Check configuration files; every problem at once, with line, column and what would be right.
    Check(CheckArgs),
    /// Write a commented configuration from what nginx's, HAProxy's or Prometheus's own says.
    Init(InitArgs),
    /// Look once at every hop and address, phase by phase. Exit 0: healthy, 1: fault found, 2: could not run.
    Diagnose(DiagnoseArgs),
    /// Read whole logs of a gateway: 502s over time, causes, backends; access and error log joined.
    Logs(LogsArgs),
    /// What happened: incidents with verdicts, causes, impact and the changes beside them.
    Incidents(IncidentsArgs),
    /// A self-contained tour: a gateway with broken origins on loopback, watched by the daemon.
    Demo(DemoArgs),
    /// Print the recording and alerting rules that belong to this very program.
    Rules(RulesArgs),
    /// Print the runbook of an alert, or the names of all.
    Runbooks(FilesArgs),
    /// Print a Grafana dashboard, or the names of all.
    Dashboards(FilesArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Upstreams to probe without a configuration file.
    #[arg(value_name = "URL[=NAME]")]
    urls: Vec<String>,
    /// A URL of a gateway in front of the upstream, outermost first; may be repeated.
    #[arg(long, value_name = "URL[=NAME]", requires = "urls")]
    via: Vec<String>,
    #[command(flatten)]
    flags: RunFlags,
}

#[derive(Debug, Args)]
struct RunFlags {
    #[command(flatten)]
    config: ConfigFlag,
    /// Probe only this instance's share of the upstreams: i of N, counted from 0. Every instance has the same N.
    #[arg(long, value_name = "i/N", env = "BADGATEWAY_SHARD", default_value = "0/1")]
    shard: Shard,
    #[command(flatten)]
    web: WebFlags,
    #[command(flatten)]
    log: LogFlags,
}

/// Which configuration, wherever one is needed.
#[derive(Debug, Args)]
struct ConfigFlag {
    /// The configuration.
    #[arg(
        long = "config.file",
        value_name = "FILE",
        env = "BADGATEWAY_CONFIG_FILE",
        default_value = "badgateway.yml"
    )]
    config_file: PathBuf,
}

#[derive(Debug, Args)]
struct WebFlags {
    /// Where to serve; may be repeated. Port 0 takes a free one.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        env = "BADGATEWAY_WEB_LISTEN_ADDRESS",
        value_delimiter = ',',
        default_value = ":10502"
    )]
    listen: Vec<String>,
    /// TLS, basic authentication, headers and a rate limit, in the format of Prometheus exporters.
    ///
    /// Certificates and users may change while the program runs: they are read again without a reload. With
    /// neither users nor verified client certificates in it, other hosts see metrics and states but no evidence.
    #[arg(
        long = "web.config.file",
        value_name = "FILE",
        env = "BADGATEWAY_WEB_CONFIG_FILE",
        value_parser = clap::value_parser!(OsString)
    )]
    config: Option<OsString>,
}

#[derive(Debug, Args)]
struct LogFlags {
    /// The least severe level that is logged.
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        env = "BADGATEWAY_LOG_LEVEL",
        default_value = "info"
    )]
    level: Level,
    /// How lines are written to standard error.
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        env = "BADGATEWAY_LOG_FORMAT",
        default_value = "logfmt"
    )]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Logfmt,
    Json,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The files to check.
    #[arg(value_name = "CONFIG", required_unless_present = "log", conflicts_with = "log")]
    files: Vec<PathBuf>,
    /// Also make one round of everything: results, request rate and number of series.
    #[arg(long)]
    probe: bool,
    /// A gateway's log instead: which kind and format it is taken for, what its lines say, and what they cannot say.
    #[arg(long, value_name = "FILE", conflicts_with = "probe")]
    log: Option<PathBuf>,
    /// The kind of the gateway that wrote it; guessed without it.
    #[arg(long, value_name = "KIND", requires = "log")]
    kind: Option<String>,
    /// The format of the log, as under access_log in the configuration.
    #[arg(long, value_name = "FORMAT", requires = "log")]
    format: Option<String>,
}

#[derive(Debug, Args)]
struct InitArgs {
    /// What to read: nginx.conf, haproxy.cfg or prometheus.yml; which it is, its content tells.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Where to write; standard output without it. A file that exists is not overwritten.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct DiagnoseArgs {
    /// The origin's URL.
    #[arg(
        value_name = "URL",
        required_unless_present = "upstream",
        conflicts_with = "upstream"
    )]
    url: Option<String>,
    /// A URL of a gateway in front of it, outermost first; may be repeated.
    #[arg(long, value_name = "URL[=NAME]", conflicts_with = "upstream")]
    via: Vec<String>,
    /// The kind of the gateway, in the order of --via; the last one stands for those that follow. Its limits are held
    /// against what is seen, and its commands are among the next steps.
    #[arg(long, value_name = "KIND", requires = "via")]
    kind: Vec<String>,
    /// An upstream of the configuration file instead.
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    #[command(flatten)]
    config: ConfigFlag,
    /// Also ask the servers of each name's own zone.
    #[arg(long)]
    authoritative: bool,
    /// Time for connect, TLS and response of each probe, instead of the configured one: 3s, 500ms.
    #[arg(long, value_name = "DURATION", value_parser = crate::config::probe_timeout)]
    timeout: Option<std::time::Duration>,
    /// Machine-readable output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct LogsArgs {
    /// The gateway's kind: nginx, haproxy, apache, envoy, …; guessed without it.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// The format of the access log: the gateway's own format string, pasted, or the name of a format it writes.
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Access logs; may be packed with gzip.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    access: Vec<PathBuf>,
    /// Error logs of the same gateway.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    error: Vec<PathBuf>,
    /// Logs of either sort, told by their lines; - is standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Machine-readable output.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct IncidentsArgs {
    /// Those that were open in this time before now.
    #[arg(long, value_name = "DURATION", default_value = "24h")]
    since: String,
    /// Those of one upstream.
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// The timeline a post-incident review starts from.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Machine-readable output, as /api/v1/incidents gives it.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFlag,
    /// The directory of storage itself, such as a copy of another host's.
    #[arg(long, value_name = "DIR")]
    storage: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct DemoArgs {
    #[command(flatten)]
    web: WebFlags,
    #[command(flatten)]
    log: LogFlags,
}

#[derive(Debug, Args)]
struct RulesArgs {
    /// Write badgateway.rules.yml into this directory, over one that is there, instead of printing it.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Matchers that every series asked for must meet, for a Prometheus with several installations: '{job="x"}'.
    #[arg(long, value_name = "MATCHERS")]
    selector: Option<String>,
    /// Configured labels that alerts carry besides upstream and team.
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    labels: Vec<String>,
    /// Where runbooks are read, instead of from this program: URL/ALERT.
    #[arg(long, value_name = "URL")]
    runbook_url: Option<String>,
    /// Grafana's URL; without it alerts link to the pages of this program.
    #[arg(long, value_name = "URL")]
    dashboard_url: Option<String>,
    /// Leave out the alerts that page, where badgateway pages itself.
    #[arg(long)]
    without_paging: bool,
}

#[derive(Debug, Args)]
struct FilesArgs {
    /// Which one; without it and without --out the names are listed.
    name: Option<String>,
    /// Write it, or all of them, into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the program and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => run::run(RunArgs {
            urls: Vec::new(),
            via: Vec::new(),
            flags: cli.run,
        }),
        Some(Command::Run(args)) => run::run(args),
        Some(Command::Check(args)) => check::run(&args),
        Some(Command::Init(args)) => init::run(&args),
        Some(Command::Diagnose(args)) => diagnose::run(&args),
        Some(Command::Logs(args)) => logs::run(&args),
        Some(Command::Incidents(args)) => incidents::run(&args),
        Some(Command::Demo(args)) => demo::run(&args),
        Some(Command::Rules(args)) => rules::run(&args),
        Some(Command::Runbooks(args)) => shipped::runbooks(&args),
        Some(Command::Dashboards(args)) => shipped::dashboards(&args),
    }
}

impl LogFlags {
    fn install(&self) {
        let level = match self.level {
            Level::Debug => tracing::Level::DEBUG,
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error => tracing::Level::ERROR,
        };
        let format = match self.format {
            Format::Logfmt => LogFormat::Logfmt,
            Format::Json => LogFormat::Json,
        };
        crate::log::install(level, format);
    }
}

/// One clear line, and the exit code of something that could not be done.
fn fail(message: impl std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("badgateway: {message}");
    ExitCode::from(code)
}

/// Writes files into a directory, made where it is missing, over what is there; says which.
fn write_into<'a>(folder: &Path, files: impl IntoIterator<Item = (String, &'a str)>) -> ExitCode {
    for (name, text) in files {
        let file = folder.join(name);
        match std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, text)) {
            Ok(()) => eprintln!("wrote {}", file.display()),
            Err(error) => return fail(format_args!("{}: cannot be written: {error}", file.display()), 1),
        }
    }
    ExitCode::SUCCESS
}

/// Prints what may be piped into something that stops reading.
fn print(text: &str) -> ExitCode {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("standard output: cannot be written: {error}"), 1),
    }
}

/// A runtime for the one-shot commands.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives a poll descriptor and a timer")
        .block_on(future)
}
