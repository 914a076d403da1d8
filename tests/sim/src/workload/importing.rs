//! Tokens of an older installation whose key the cluster has adopted: its list is imported, repeatedly where nobody answers,
//! and what is on it is shown and revoked, as are tokens that no list has.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{
    Action, ImportTokens, Imported, ImportedToken, KeyState, Outcome, PresentedToken, RevokeNote,
    RevokeTarget, RevokeToken,
};
use circlet_token::{Audience, Claims, KeyId, Reject, Revocation, Scope, TokenId, mint};
use openraft_rt::AsyncRuntime;
use sha2::{Digest, Sha256};

use super::requests::ATTEMPTS;
use super::verifying::{LATER_MS, Verdict};
use super::{Held, Reply, Workload, administrator};
use crate::clock::START_MS;
use crate::cluster::Computer;
use crate::history::Event;
use crate::house::{self, Pair};
use crate::linear::{Object, Step, token};
use crate::machine::first_word;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;

/// The list holds so many new ones at most.
const NEW_MAX: u64 = 4;
/// They are so old at most, in seconds.
const AGE_MAX: u64 = 1_000_000;

/// A token of the older installation. It never expires, and so it can be revoked.
#[derive(Clone)]
pub(super) struct Heirloom {
    listed: ImportedToken,
    kid: KeyId,
    text: Arc<str>,
    /// As of which index it is known to be recorded, if it is.
    index: Option<u64>,
    /// Somebody has asked for it to be imported.
    asked: bool,
}

impl Workload {
    /// The pair of the older installation, if a node knows that it was adopted and verifies.
    fn adopted(&self, computer: &Computer) -> Option<Pair> {
        let view = computer.node().map(|(_, member)| Arc::clone(&member.published().view))?;
        let names = lock(&self.adopted).clone();
        names.iter().map(|name| Pair::named(&self.cluster.service, name)).find(|pair| {
            let state = view.key(&pair.kid).map(|key| key.state);
            state.is_some_and(|state| !matches!(state, KeyState::Retired | KeyState::Tainted))
        })
    }

    /// What the bearer of a token of the older installation has.
    fn heirloom(&self, pair: &Pair, id: TokenId) -> Heirloom {
        let user = self.dice.pick(&house::USERS).copied().unwrap_or("alice");
        let now = (START_MS + global_nanos() / 1_000_000) / 1_000;
        let listed = ImportedToken {
            id,
            subject: house::subject(&self.cluster.service, user),
            scope: Scope::parse("applied-permissions/groups:readers").expect("the scope of a group"),
            issued_at: now - self.dice.between(60, AGE_MAX),
            expires_at: None,
            description: None,
        };
        let claims = Claims {
            revocable: None,
            subject: listed.subject.clone(),
            scope: listed.scope.clone(),
            audience: Audience::any(),
            issuer: self.cluster.service.clone(),
            expires_at: None,
            issued_at: listed.issued_at,
            not_before: None,
            id: Some(id),
            index: None,
        };
        let text = mint(&claims, &pair.kid, &pair.signer()).into();
        Heirloom { listed, kid: pair.kid.clone(), text, index: None, asked: false }
    }

    /// An administrator imports a list: with new tokens on it, with some that are there, or were revoked, and at times with one
    /// under an id that one of ours has.
    pub(super) async fn import(self: &Arc<Self>, computer: &Computer) {
        let Some(pair) = self.adopted(computer) else { return };
        let count = self.dice.between(1, NEW_MAX);
        let new: Vec<Heirloom> =
            (0..count).map(|_| self.heirloom(&pair, TokenId(self.dice.bytes()))).collect();
        let mut listed: Vec<ImportedToken> = new.iter().map(|new| new.listed.clone()).collect();
        // Not one that another client is importing: whose import finds it new couldn't be said.
        let of_pair = |known: &&Heirloom| known.index.is_some() && known.kid == pair.kid;
        let before = lock(&self.heirlooms).iter().rev().find(of_pair).cloned();
        listed.extend(before.filter(|_| self.dice.percent(60)).map(|known| known.listed));
        let taken = self.taken().map(|held| self.heirloom(&pair, held.record.id));
        listed.extend(taken.as_ref().map(|taken| taken.listed.clone()));
        // What nobody has on a list is no good, whoever has it.
        let unlisted = self.heirloom(&pair, TokenId(self.dice.bytes()));
        lock(&self.heirlooms).extend(new.iter().cloned().map(|new| Heirloom { asked: true, ..new }));
        lock(&self.heirlooms).push(unlisted);
        lock(&self.heirlooms).extend(taken.clone());
        for new in &new {
            self.cluster.history.tell(&Event::ImportAsked { id: new.listed.id });
        }
        self.count("import");
        let import = ImportTokens { kid: pair.kid.clone(), tokens: listed };
        self.import_list(computer, import, &new).await;
        if let Some(taken) = taken {
            self.count("import under a taken id");
            self.show_heirloom(computer, &taken).await;
        }
    }

    /// A token of ours that can be revoked, and whose id can't be free again.
    fn taken(&self) -> Option<Held> {
        let now = (START_MS + global_nanos() / 1_000_000) / 1_000;
        let expires = |held: &Held| held.record.expires_at.is_some_and(|at| at > now + 60);
        let known = |held: &Held| !held.plain && held.record.revocable && held.record.index >= self.begun;
        self.some_token().filter(|held| known(held) && expires(held) && self.dice.percent(50))
    }

    /// The same list again, through another node, if nobody says what became of it.
    async fn import_list(&self, computer: &Computer, import: ImportTokens, new: &[Heirloom]) {
        let sent = global_nanos();
        let mut through = None;
        let mut unknown = false;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.count("import repeated");
            }
            let node = through.as_deref().unwrap_or(computer);
            let action = Action::ImportTokens(Box::new(import.clone()));
            match self.propose(node, administrator(), action).await {
                Reply::Decided { outcome: Outcome::Imported(counts), index, .. } => {
                    self.count("import done");
                    self.check_counts(&import, new, &counts, unknown);
                    for new in new {
                        self.record_import(new, sent, Some(index));
                    }
                    return;
                }
                Reply::Decided { .. } => {
                    self.count("import refused");
                    break;
                }
                Reply::Unknown => unknown = true,
                Reply::NotDone => {}
            }
            through = self.dice.pick(&self.cluster.running()).cloned();
        }
        for new in new.iter().filter(|_| unknown) {
            self.record_import(new, sent, None);
        }
    }

    /// Each of the list was counted once, and what is new was recorded, by this import or by one that was never answered.
    fn check_counts(&self, import: &ImportTokens, new: &[Heirloom], counts: &Imported, unknown: bool) {
        let Imported { recorded, known, revoked, expired, foreign } = *counts;
        let of = |list: usize| u64::try_from(list).unwrap_or(u64::MAX);
        let whole = recorded + known + revoked + expired + foreign == of(import.tokens.len());
        let fresh = recorded == of(new.len()) || unknown || recorded + known > of(new.len());
        if !whole || !fresh || expired + foreign > 0 {
            let what = format!(
                "{} tokens of a list, {} of them new, gave {counts:?}",
                import.tokens.len(),
                new.len()
            );
            self.cluster.history.accuse("imported", what);
        }
    }

    fn record_import(&self, new: &Heirloom, sent: u64, index: Option<u64>) {
        let subject = first_word(&Sha256::digest(new.listed.subject.as_str().as_bytes()));
        let step = token::Step::Issue { id: new.listed.id, subject };
        self.record(Object::Token(new.listed.id), Step::Token(step), sent, index.map(|_| global_nanos()));
        let mut heirlooms = lock(&self.heirlooms);
        if let Some(known) = heirlooms.iter_mut().find(|known| known.text == new.text) {
            known.index = index;
        }
    }

    fn some_heirloom(&self) -> Option<Heirloom> {
        self.dice.pick(&lock(&self.heirlooms)).cloned()
    }

    /// Shows a node some token of the older installation.
    pub(super) async fn verify_heirloom(&self, computer: &Computer) {
        if let Some(heirloom) = self.some_heirloom() {
            self.show_heirloom(computer, &heirloom).await;
        }
    }

    async fn show_heirloom(&self, computer: &Computer, heirloom: &Heirloom) {
        let (node, sent, id) = (computer.id, global_nanos(), heirloom.listed.id);
        let Some(verdict) = self.present(computer, Arc::clone(&heirloom.text), &heirloom.kid).await else {
            return;
        };
        let (accepted, view, proved) = match &verdict {
            Verdict::Accepted { view, proved, .. } => (true, *view, *proved),
            Verdict::Refused { view, proved, .. } => (false, *view, *proved),
            Verdict::Stale => return,
        };
        self.count(match (accepted, heirloom.asked) {
            (true, _) => "imported token accepted",
            (false, true) => "imported token refused",
            (false, false) => "token that was not imported",
        });
        if !heirloom.asked {
            let event = Event::ImportShown { node, id, accepted };
            return self.cluster.history.tell(&event);
        }
        // So far back a verification may look.
        let looks_back = self.cluster.history.staleness_max();
        let (step, since) = match verdict {
            Verdict::Accepted { .. } => (token::Step::Live { id }, sent.saturating_sub(looks_back)),
            Verdict::Refused { why: Reject::Revoked { why: Revocation::Listed }, .. } => {
                (token::Step::Dead { id }, sent.saturating_sub(looks_back))
            }
            // A view that was proved fresh doesn't have it.
            Verdict::Refused { why: Reject::Revoked { why: Revocation::Unrecorded }, .. }
                if heirloom.index.is_some() =>
            {
                (token::Step::Dead { id }, sent)
            }
            _ => return,
        };
        self.record(Object::Token(id), Step::Token(step), since, Some(global_nanos()));
        let subject = first_word(&Sha256::digest(heirloom.listed.subject.as_str().as_bytes()));
        let (index, revocable) = (heirloom.index.unwrap_or(u64::MAX), true);
        let event = Event::Verified { node, id, subject, index, view, sent, accepted, proved, revocable };
        self.cluster.history.tell(&event);
    }

    /// An administrator revokes a token of the older installation; then it is on a list once more.
    pub(super) async fn revoke_heirloom(self: &Arc<Self>, computer: &Computer) {
        let Some(heirloom) = self.some_heirloom().filter(|one| one.index.is_some()) else { return };
        self.count("imported token to revoke");
        let (id, sent) = (heirloom.listed.id, global_nanos());
        let target = if self.dice.percent(50) {
            RevokeTarget::Id(id)
        } else {
            RevokeTarget::Value(Box::new(PresentedToken {
                id,
                subject: heirloom.listed.subject.clone(),
                key: heirloom.kid.clone(),
                issued_at: heirloom.listed.issued_at,
                expires_at: None,
                revocable: None,
                index: None,
            }))
        };
        let object = Object::Token(id);
        let revoke = Action::RevokeToken(Box::new(RevokeToken { target, cascade: false }));
        match self.propose(computer, administrator(), revoke).await {
            Reply::Decided { outcome: Outcome::Revoked(revoked), index, .. } => {
                self.count("imported token revoked");
                if !matches!(revoked.note, RevokeNote::ListedUnseen { .. }) {
                    self.record(object, Step::Token(token::Step::End), sent, Some(global_nanos()));
                }
                self.tell_revoked(Some(id), None, index);
                drop(NodeRuntime::spawn(Arc::clone(self).hunt_heirloom(heirloom.clone())));
                if self.dice.percent(50) {
                    self.count("import of what was revoked");
                    let again = ImportTokens { kid: heirloom.kid.clone(), tokens: vec![heirloom.listed] };
                    self.import_list(computer, again, &[]).await;
                }
            }
            Reply::Decided { .. } | Reply::NotDone => {}
            Reply::Unknown => {
                self.record(object, Step::Token(token::Step::MaybeEnd), sent, None);
                if self.believes_unknown() {
                    self.tell_revoked(Some(id), None, u64::MAX);
                }
            }
        }
    }

    async fn hunt_heirloom(self: Arc<Self>, heirloom: Heirloom) {
        let begun = global_nanos();
        for later_ms in LATER_MS {
            let at = self.cluster.history.staleness_ends(begun) + later_ms * 1_000_000;
            NodeRuntime::sleep(Duration::from_nanos(at.saturating_sub(global_nanos()))).await;
            for computer in self.cluster.running() {
                self.show_heirloom(&computer, &heirloom).await;
            }
        }
    }
}
