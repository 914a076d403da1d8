//! The revocation feed, for members of the circle. It names nobody and needs no credential: ids of tokens that are refused,
//! and digests.

use std::time::Duration;

use axum::response::Response;
use circlet_authority::State;
use circlet_token::ServiceId;
use circlet_token::feed::{FeedContent, FeedPosition};
use tokio::sync::Semaphore;

use super::answer;
use super::body::Parameters;
use super::call::Call;
use crate::circle::serve;
use crate::keys::KeyUnavailable;
use crate::seal::hex_decode;
use crate::usecase::failure::{Code, Failure};
use crate::usecase::{circle, reading};

/// How long a question may wait for something new.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// So many questions wait at once; further ones are answered at once.
static WAITING: Semaphore = Semaphore::const_new(256);

/// `GET /circlet/v1/feed`: what was revoked after a position, as of a moment after the question. With `wait_ms` it waits
/// for something new.
pub(super) async fn entries(call: Call) -> Result<Response, Failure> {
    let query = call.query()?;
    query.only(&["nonce", "generation", "sequence", "hash", "wait_ms", "member", "taken"])?;
    let nonce = bytes_of(&query, "nonce")?;
    let at = FeedPosition {
        generation: number(&query, "generation")?,
        sequence: number(&query, "sequence")?,
        hash: bytes_of(&query, "hash")?,
    };
    if let Some(member) = query.text("member")? {
        let member = ServiceId::parse(member).map_err(|_| bad("member"))?;
        let signature = query.text("taken")?.and_then(hex_decode).ok_or_else(|| bad("taken"))?;
        circle::note_taken(&call.edge.cluster, &member, at, &signature).await;
    }
    let wait = Duration::from_millis(number(&query, "wait_ms")?).min(WAIT_MAX);
    if let Ok(_permit) = WAITING.try_acquire() {
        wait_for_news(&call, &at, wait).await;
    }
    let published = reading::fresh(&call.edge.cluster).await?;
    let (content, position) = serve::entries(&published.view, &at);
    sign(&call, &published.view, position, nonce, content)
}

/// `GET /circlet/v1/feed/list`: a page of the list of everything that is revoked.
pub(super) async fn list(call: Call) -> Result<Response, Failure> {
    let query = call.query()?;
    query.only(&["nonce", "cursor"])?;
    let nonce = bytes_of(&query, "nonce")?;
    let cursor = hex_decode(query.text("cursor")?.unwrap_or_default()).ok_or_else(|| bad("cursor"))?;
    let published = reading::fresh(&call.edge.cluster).await?;
    let (content, position) = serve::page(&published.view, &cursor).ok_or_else(|| bad("cursor"))?;
    sign(&call, &published.view, position, nonce, content)
}

/// `GET /circlet/v1/feed/head`: where the feed stands, signed with a date, for verifiers that are no members.
pub(super) async fn head(call: Call) -> Result<Response, Failure> {
    call.query()?.only(&[])?;
    let cluster = &call.edge.cluster;
    if let Some(why) = call.edge.health.clock_is_off(&cluster.status()) {
        return Err(reading::clock_is_off().with_detail(why));
    }
    // Noted before the proof, so that what was revoked before is in the view.
    let issued_at_ms = cluster.instants().wall_ms;
    let published = reading::fresh(cluster).await?;
    has_key(&published.view)?;
    let head =
        cluster.keys().sign_dated_head(&published.view, issued_at_ms).map_err(|error| sealed(&error))?;
    Ok(answer::with_type(head.to_bytes(), "application/octet-stream"))
}

/// Until the feed has moved on from there.
async fn wait_for_news(call: &Call, at: &FeedPosition, wait: Duration) {
    let cluster = &call.edge.cluster;
    let moved = async {
        loop {
            let published = cluster.published();
            if published.view.feed_end() != *at {
                return;
            }
            // Looked at again in any case: the deadline around it ends that.
            let _ = cluster.wait_index(published.index.saturating_add(1), wait).await;
        }
    };
    // Nothing new in time is an answer too.
    let _ = tokio::time::timeout(wait, moved).await;
}

fn sign(
    call: &Call,
    view: &State,
    position: FeedPosition,
    nonce: [u8; 32],
    content: FeedContent,
) -> Result<Response, Failure> {
    has_key(view)?;
    let signed =
        call.edge.cluster.keys().sign_feed(view, position, nonce, content).map_err(|error| sealed(&error))?;
    Ok(answer::with_type(signed.to_bytes(), "application/octet-stream"))
}

fn has_key(view: &State) -> Result<(), Failure> {
    if view.circle_key().is_some() {
        return Ok(());
    }
    Err(Failure::new(Code::NotFound, "no_feed", "this cluster has no circle key yet")
        .with_detail("it gets one with its first `circlet circle invite`, `accept` or `export`"))
}

fn sealed(error: &KeyUnavailable) -> Failure {
    Failure::new(Code::Internal, "sealed", "Internal error").with_detail(error.to_string())
}

fn bad(name: &str) -> Failure {
    Failure::bad_request("bad_parameter", format!("Invalid {name} value"))
}

fn number(query: &Parameters, name: &str) -> Result<u64, Failure> {
    let number = query.whole(name)?.unwrap_or(0);
    u64::try_from(number).map_err(|_| bad(name))
}

/// 32 bytes in hexadecimal digits.
fn bytes_of(query: &Parameters, name: &str) -> Result<[u8; 32], Failure> {
    let bytes = query.text(name)?.and_then(hex_decode).and_then(|bytes| bytes.try_into().ok());
    bytes
        .ok_or_else(|| Failure::bad_request("bad_parameter", format!("{name} must be 64 hexadecimal digits")))
}
