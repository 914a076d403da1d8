//! What a state has forgotten, and whether that had expired: by what purges go by, which the simulator notes by itself.

use std::collections::BTreeMap;

use circlet_authority::{Action, FamilyId, Judgement, Outcome, Purge, Refusal, State, TokenRecord};
use circlet_token::feed::FeedEntry;
use circlet_token::{Algorithm, TokenId, Verified};

use crate::history::Event;
use crate::scope::Scope;

/// Tells what is gone after an entry.
pub(super) fn tell(scope: &Scope, (before, after): (&State, &State), action: &Action) {
    let over = over(scope, after, action);
    tell_unlisted(scope, (before, after), over);
    match action {
        Action::Purge(Purge::Mark) => {
            scope.history().note_purge_mark(after.index(), after.now_ms() / 1_000);
        }
        Action::Purge(Purge::Remove { .. }) => tell_purged(scope, (before, after), over),
        _ => {}
    }
}

/// What may be gone after an entry: what had expired by this second. A purge goes by its mark; and by the state's time the
/// margin has passed since.
fn over(scope: &Scope, after: &State, action: &Action) -> u64 {
    let kept_secs = u64::try_from(after.config().purge_margin).unwrap_or(0);
    let over = (after.now_ms() / 1_000).saturating_sub(kept_secs);
    match action {
        Action::Purge(Purge::Remove { mark, .. }) => over.min(scope.history().marked_through(*mark)),
        _ => over,
    }
}

/// Of everything on the list of what is revoked: whether it is gone. It is longest for ids of which nothing else is known.
/// What is added moves the feed on, and what is taken away makes the list shorter: where neither is so, nothing is gone.
fn tell_unlisted(scope: &Scope, (before, after): (&State, &State), over: u64) {
    let lengths = |state: &State| (state.revoked_count(), state.unseen_count());
    if lengths(before) == lengths(after) && before.feed_end() == after.feed_end() {
        return;
    }
    let (node, index) = (scope.node(), after.index());
    let still = listed(after);
    for (id, until) in listed(before) {
        if still.get(&id).is_none_or(|still| *still < until) {
            let what = format!("that {id} is revoked");
            scope.history().tell(&Event::Forgotten { node, index, what, until, over });
        }
    }
}

/// The ids on the list, and until when each has to be there.
pub(super) fn listed(view: &State) -> BTreeMap<TokenId, u64> {
    let mut ids = BTreeMap::new();
    for entry in view.revoked_entries() {
        if let FeedEntry::Listed { expiry: until, id } | FeedEntry::Unseen { until, id } = entry {
            // An id may be there more than once.
            ids.entry(id).and_modify(|latest: &mut u64| *latest = until.max(*latest)).or_insert(until);
        }
    }
    ids
}

/// Of every token that was ever issued: whether its record, its family or its revocation is gone. Of what the log doesn't
/// know, the revocation may go once no node's time lets it live, which is never before the state's.
fn tell_purged(scope: &Scope, (before, after): (&State, &State), over: u64) {
    let (node, index) = (scope.node(), after.index());
    let say = |what: String, until: u64| {
        scope.history().tell(&Event::Forgotten { node, index, what, until, over });
    };
    let now = after.now_ms() / 1_000;
    for record in scope.history().plain_alive(now) {
        if is_revoked(before, &record) && !is_revoked(after, &record) {
            let (what, until) = (format!("the revocation of plain token {}", record.id), record.expiry());
            scope.history().tell(&Event::Forgotten { node, index, what, until, over: now });
        }
    }
    for record in scope.history().issued() {
        let id = record.id;
        if before.token(&id).is_some() && after.token(&id).is_none() {
            say(format!("token {id}"), record.expiry());
        }
        if is_revoked(before, &record) && !is_revoked(after, &record) {
            say(format!("the revocation of token {id}"), record.expiry());
        }
        let Some((id, _)) = record.family else { continue };
        let family = before.family(&id).filter(|family| family.current == record.id);
        if let Some(family) = family.filter(|_| after.family(&id).is_none()) {
            if family.ended_at.is_some() {
                scope.history().note_over(id);
            }
            say(format!("family {id}"), refreshable_until(after, family.expiry()));
        }
    }
}

/// Whether a view refuses a token as revoked, be it the token's id or a watermark.
fn is_revoked(view: &State, record: &TokenRecord) -> bool {
    let Some(service) = view.service_id() else { return false };
    let verified =
        Verified { claims: record.claims(service), key: record.kid.clone(), algorithm: Algorithm::EdDsa };
    matches!(view.judge(&verified, record.issued_at), Judgement::Revoked(_))
}

/// Of a family that was not refreshed because it is unknown, or its time over: whether it had expired by its latest token.
pub(super) fn tell_missed(scope: &Scope, after: &State, family: &FamilyId, outcome: &Outcome) {
    if !matches!(outcome.refusal(), Some(Refusal::RefreshUnknown | Refusal::RefreshExpired { .. })) {
        return;
    }
    let history = scope.history();
    if history.was_over(family) {
        return;
    }
    let issued = history.issued();
    let of_family = issued.iter().filter(|record| {
        record.family.is_some_and(|(of, _)| of == *family) && history.is_of_present(record.index)
    });
    // Those of before ended where another cluster began.
    let Some(latest) = of_family.max_by_key(|record| record.index) else { return };
    let (node, index, over) = (scope.node(), after.index(), after.now_ms() / 1_000);
    let what = format!("family {family}, which somebody refreshes");
    let until = refreshable_until(after, latest.expiry());
    history.tell(&Event::Forgotten { node, index, what, until, over });
}

/// Until when a family can be refreshed whose latest token expires then.
fn refreshable_until(view: &State, expiry: u64) -> u64 {
    expiry.saturating_add(u64::try_from(view.config().refresh_expiry).unwrap_or(0))
}
