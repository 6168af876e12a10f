//! The page as a scraper sees it: exact text, budget, zero series, reload, and what `promtool` says.

mod pages;
mod recording;
mod support;
