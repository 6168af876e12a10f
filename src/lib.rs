//! Why are users seeing 502s, and which hop do I fix?
//!
//! The map of the crate, in reading order. Data flows one way, from top to bottom:
//!
//! ```text
//! configuration -> upstreams, hops -> schedule -> round -> probe -> Observation -> classify -> Finding
//!                                                                                                 |
//! gateway logs -> tail -> gateway/<kind> -> Exchange, Complaint -> traffic -> metrics, diagnosis   |
//!                                                                                                 |
//!                              metrics <- confirmed states <- confirmation <----------------------+-> history
//!                                 |              |                                                      |
//!                                 |<- verdict <- diagnosis -> incidents ---------------------------------+
//!                                 |              |                                                      |
//!                                 +--------------+---------------> server <-----------------------------+
//! ```
//!
//! Who may import whom: *words* know only each other; *judgement* knows words, and neither sockets nor the clock;
//! *edges* know words and not each other, except that the server reads metrics, history and incidents, and its own
//! configuration file through the reader in `config`, and that discovery takes its settings and formats from the
//! configuration and asks with the prober; *assembly* knows all.
//! A test reads the sources and holds them to it.
//!
//! `tail` reads the logs of gateways, from files, syslog and shippers, and hands out lines; it knows nothing of what they
//! say. `gateway/<kind>` takes them apart, `traffic` brings the lines of one request together and counts it once;
//! `gateway_logs` does so for logs that are followed, `offline` for whole ones. `asking` answers gateways that ask how an
//! origin is: by `/health` in `server`, and by `agent_check`. What is to come has its place: paging in
//! `alertmanager`.

// Words.
pub mod cause;
pub mod exchange;
pub mod finding;
pub mod moment;
pub mod observation;
pub mod upstream;
pub mod verdict;

// Judgement.
pub mod agreement;
pub mod classify;
pub mod confirmation;
pub mod diagnosis;
pub mod evidence;
pub mod fingerprint;
pub mod gateway;
pub mod health;
pub mod history;
pub mod incident;
pub mod pace;
pub mod prevention;
pub mod schedule;
pub mod shard;
pub mod stale;
pub mod traffic;

// Edges.
pub mod agent_check;
pub mod build_info;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod discovery;
pub mod gateway_config;
pub mod incidents;
pub mod init;
pub mod log;
pub mod metrics;
pub mod probe;
pub mod server;
pub mod shipped;
pub mod tail;

// Assembly.
pub mod asking;
pub mod cli;
pub mod daemon;
pub mod engine;
pub mod gateway_logs;
pub mod offline;
pub mod on_request;
pub mod round;
pub mod self_check;
pub mod standing;
pub mod survey;
