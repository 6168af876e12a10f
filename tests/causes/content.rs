//! Good answers that say something else than `expect.body` asks for.

use badgateway::cause::Cause::ContentMismatch;
use serde_json::{Value, json};

use crate::cases;
use crate::support::cases::{Expect::Answers, Setup};
use crate::support::peers::{http1, serve};

/// A peer that answers with `body` and an upstream that expects `rule` of it.
fn expecting(rule: Value, body: &str) -> Option<Setup> {
    let address = serve(http1::answers(http1::page(body)));
    Some(Setup::origin(format!("http://{address}/")).with("expect", json!({ "body": rule })))
}

cases! {
    content_mismatch_contains => Answers(ContentMismatch, 200), |_| {
        expecting(json!({ "contains": "all is well" }), "please log in")
    };
    content_mismatch_matches => Answers(ContentMismatch, 200), |_| {
        expecting(json!({ "matches": "^v[0-9]+$" }), "version 7")
    };
    content_mismatch_json_value => Answers(ContentMismatch, 200), |_| {
        expecting(json!({ "json": { "pointer": "/status", "equals": "ok" } }), r#"{"status": "degraded"}"#)
    };
    content_mismatch_json_pointer_leads_nowhere => Answers(ContentMismatch, 200), |_| {
        expecting(json!({ "json": { "pointer": "/status", "equals": "ok" } }), r#"{"state": "ok"}"#)
    };
    content_mismatch_json_that_is_none => Answers(ContentMismatch, 200), |_| {
        expecting(json!({ "json": { "pointer": "/status", "equals": "ok" } }), "<html>login</html>")
    };
    content_mismatch_json_type => Answers(ContentMismatch, 200), |_| {
        expecting(json!({ "json": { "pointer": "/up", "equals": true } }), r#"{"up": "true"}"#)
    };
    content_mismatch_empty_body => Answers(ContentMismatch, 200), |_| {
        expecting(json!({ "contains": "ok" }), "")
    };
}
