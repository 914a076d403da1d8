//! Fills the home of a lone node with revoked ids, as if they had been revoked one by one: `scripts/bench --revoked` measures
//! what a node costs that has ten million of them, and no cluster revokes so many in an hour. The node must be stopped.
//!
//! `cargo run --release --example revoked-home -- HOME 10000000`
#![expect(clippy::print_stdout, reason = "what was done is told to whoever measures")]

use std::error::Error;
use std::fs;
use std::path::Path;

use circlet::machine::Authority;
use circlet_authority::{
    Action, Actor, Command, Outcome, PresentedToken, RevokeTarget, RevokeToken, Stamp, State,
};
use circlet_raft::{Machine, offline};
use circlet_token::{Subject, TokenId, UserName};

const YEAR_SECS: u64 = 31_536_000;
const MONTH_SECS: u64 = 2_592_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(home), Some(ids)) = (arguments.next(), arguments.next()) else {
        return Err("two arguments are needed: the home of a stopped node, and how many ids".into());
    };
    let (home, ids): (_, u64) = (Path::new(&home), ids.parse()?);
    let (data, full, before) = (home.join("data"), home.join("data.full"), home.join("data.before"));
    let held = offline::read::<Authority>(&data)?;
    let [(id, peer)] =
        held.peers.into_iter().collect::<Vec<_>>().try_into().map_err(|_| "a lone node is needed")?;
    let mut state = held.machine.into_state();
    revoke(&mut state, ids)?;
    let (index, revoked) = (state.index(), state.revoked_count());
    offline::begin(&full, index, (id, peer), Authority::of(state).capture())?;
    fs::rename(&data, before)?;
    fs::rename(full, data)?;
    println!("{revoked} revoked ids, up to log entry {index}");
    Ok(())
}

/// Revokes ids of tokens that were issued over a month, each for a year, mostly in the order of expiry, as in practice.
fn revoke(state: &mut State, ids: u64) -> Result<(), Box<dyn Error>> {
    let service = state.service_id().ok_or("there is no cluster")?.clone();
    let key = state.active_key().ok_or("no key signs")?.kid.clone();
    let (subject, now_ms) = (Subject::user(&service, &UserName::parse("ci")?), state.now_ms());
    let now_secs = now_ms / 1_000;
    for number in 1..=ids {
        let token = PresentedToken {
            id: TokenId(*uuid::Uuid::new_v4().as_bytes()),
            subject: subject.clone(),
            key: key.clone(),
            issued_at: now_secs,
            expires_at: Some(now_secs + YEAR_SECS + number * MONTH_SECS / ids),
            revocable: Some(true),
            index: Some(1),
        };
        let target = RevokeTarget::Value(Box::new(token));
        let action = Action::RevokeToken(Box::new(RevokeToken { target, cascade: false }));
        let command = Command { actor: Actor::Operator, action };
        if let Outcome::Refused(refusal) = state.apply(state.index() + 1, Stamp { now_ms }, &command) {
            return Err(refusal.to_string().into());
        }
    }
    Ok(())
}
