//! `/circlet/v1/watermarks`: what was revoked together.

use axum::response::Response;
use circlet_authority::{Watermark, Whom};
use serde_json::{Value, json};

use super::answer;
use super::body::{Parameters, Reads};
use super::call::Call;
use crate::audit;
use crate::usecase::failure::Failure;
use crate::usecase::watermarks::{self, Named, Order};

/// The parameters that name whose tokens shall end; one of them is needed.
const NAMES: [&str; 5] = ["user", "subject", "group", "key", "everyone"];

pub(super) async fn list(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let published = watermarks::read(&session).await?;
    let marks: Vec<Value> = published.view.watermarks().map(|(whom, mark)| mark_json(&whom, mark)).collect();
    Ok(answer::json(&json!({ "watermarks": marks })))
}

fn mark_json(whom: &Whom, mark: Watermark) -> Value {
    json!({
        "whom": watermarks::text(whom),
        "since": (mark.since > 0).then_some(mark.since),
        "until": (mark.until < u64::MAX).then_some(mark.until),
        "index": mark.index,
        "at": audit::timestamp(mark.set_at.saturating_mul(1_000)),
    })
}

/// Ends everything of somebody, or counts what would end.
pub(super) async fn revoke(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::Json)?;
    parameters.only(&["user", "subject", "group", "key", "everyone", "since", "until", "dry_run"])?;
    let order = Order {
        named: named(&parameters)?,
        since: second(&parameters, "since")?,
        until: second(&parameters, "until")?,
        dry_run: parameters.flag("dry_run")?.unwrap_or(false),
    };
    if let (Some(since), Some(until)) = (order.since, order.until)
        && since > until
    {
        let why = format!("Invalid since value: {since} (not after until, which is {until}, expected)");
        return Err(Failure::bad_request("bad_parameter", why));
    }
    let ended = watermarks::revoke(&session, order).await?;
    let body = json!({
        "whom": watermarks::text(&ended.revoke.whom),
        "since": ended.revoke.since,
        "until": ended.revoke.until,
        "recorded_tokens": ended.recorded,
        "dry_run": ended.index.is_none(),
        "note": "tokens that nobody recorded end as well, and can't be counted",
    });
    let response = answer::json(&body);
    Ok(match ended.index {
        Some(index) => answer::at_index(response, index),
        None => response,
    })
}

fn named(parameters: &Parameters) -> Result<Named, Failure> {
    let missing = || {
        let why = format!("one of {} is required, and no more than one", NAMES.join(", "));
        Failure::bad_request("missing_parameter", why)
    };
    let everyone = parameters.flag("everyone")?.unwrap_or(false);
    let mut named = everyone.then_some(Named::Everyone);
    for name in ["user", "subject", "group", "key"] {
        let Some(text) = parameters.text(name)?.map(str::to_owned) else { continue };
        if named.is_some() {
            return Err(missing());
        }
        named = Some(match name {
            "user" => Named::User(text),
            "subject" => Named::Subject(text),
            "group" => Named::Group(text),
            _ => Named::Key(text),
        });
    }
    named.ok_or_else(missing)
}

/// Seconds since 1970, or a date with a time.
fn second(parameters: &Parameters, name: &str) -> Result<Option<u64>, Failure> {
    if let Some(at) = parameters.text(name).ok().flatten().and_then(audit::read_timestamp) {
        return Ok(Some(at));
    }
    match parameters.whole(name)? {
        None => Ok(None),
        Some(at) => u64::try_from(at).map(Some).map_err(|_| {
            let why =
                format!("Invalid {name} value: {at} (seconds since 1970, or 2026-01-31T12:00:00Z, expected)");
            Failure::bad_request("bad_parameter", why)
        }),
    }
}
