//! The page as a scraper sees it: exact text, budget, zero series, reload, and what `promtool` says.

mod gateways;
mod pages;
mod recording;
mod support;
