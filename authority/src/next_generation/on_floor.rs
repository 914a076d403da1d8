//! The next generation on a floor that holds all that the one before had acknowledged to refuse: earlier access tokens of
//! this cluster live on. Its keys go on verifying and sign nothing; what was revoked, and who was kept out, stays so.
//! Refresh, reference and join tokens are void all the same: what they hang on was a secret or a record.

use std::sync::Arc;

use circlet_token::{KeyId, Subject, UserName};
use imbl::OrdMap;

use super::{Begun, NextGeneration, NoNextGeneration};
use crate::{
    command::Whom,
    config::Config,
    floor::{Picture, rank},
    limits::REVOKED_LATELY_IDS_MAX,
    record::{Key, KeyState, User, UserStatus, Watermark},
    state::{InOrder, Lately, State, Watermarks},
};

impl State {
    /// The state with which the next generation begins on a floor, which was proven to be complete. This state may be older
    /// than the picture, or, of a node that is left, newer.
    ///
    /// # Errors
    /// Those of [`State::next_generation`]; the cluster is called differently, or nobody would administer it.
    pub fn next_generation_on(
        &self,
        next: &NextGeneration,
        floor: &Picture,
    ) -> Result<Self, NoNextGeneration> {
        let mut state = self.next_generation(next)?;
        let before = self.service_id().ok_or(NoNextGeneration::NotFounded)?;
        if !before.same_service(&next.service_id) {
            let (before, named) = (before.clone(), next.service_id.clone());
            return Err(NoNextGeneration::CalledDifferently { before, named });
        }
        // A key that came after the backup is known to the floor alone.
        if floor.keys.values().any(|key| key.kid == next.key.kid || key.spki_der == next.key.spki_der) {
            return Err(NoNextGeneration::KeyKnown { kid: next.key.kid.clone() });
        }
        if let Some(head) = floor.head() {
            state.feature_level = state.feature_level.max(head.feature_level);
        }
        state.config = Arc::new(Config { revocation_floor_required: true, ..state.config.as_ref().clone() });
        state.nodes = OrdMap::unit(state.index, Arc::new(state.first_node(&next.founder)));
        let own_since = self.begun.map_or(0, |begun| begun.own_since.unwrap_or(begun.index));
        state.begun = state.begun.map(|begun| Begun { own_since: Some(own_since), ..begun });
        let ends = state.ends_of(floor);
        state.keep_keys(self, floor, ends);
        state.keep_revocations(self, floor, ends);
        state.keep_out(self, floor, ends)?;
        state.keep_distrust(self, floor);
        state.unseen_until = state.unseen_until.max(ends.recorded).max(ends.plain);
        state.keys_changed();
        Ok(state)
    }

    fn ends_of(&self, floor: &Picture) -> Ends {
        let plain_secs = floor.head().map_or(0, |head| head.plain_secs);
        Ends { recorded: floor.tokens_until(), plain: self.now_secs().saturating_add(plain_secs) }
    }

    /// A key that verified goes on verifying until its last token can be gone. One that had ended, by what either knows, has.
    fn keep_keys(&mut self, before: &Self, floor: &Picture, ends: Ends) {
        let mut known: OrdMap<KeyId, Key> =
            before.keyring.values().map(|key| (key.kid.clone(), key.as_ref().clone())).collect();
        for key in floor.keys.values() {
            let here = known.get(&key.kid);
            if here.is_none_or(|here| rank(here.state) <= rank(key.state)) {
                let plain_until = here.map_or(0, |here| here.plain_until).max(key.plain_until);
                known.insert(key.kid.clone(), Key { plain_until, ..key.clone() });
            }
        }
        for (kid, key) in known {
            let key = Key { private_key: None, confirmed: std::collections::BTreeSet::new(), ..key };
            self.keyring.insert(kid, Arc::new(self.outliving(key, ends)));
        }
    }

    fn outliving(&self, key: Key, ends: Ends) -> Key {
        let plain = match key.state {
            KeyState::Retired | KeyState::Tainted => return key,
            KeyState::Published | KeyState::Active => ends.plain,
            KeyState::Retiring => 0,
        };
        Key {
            state: KeyState::Retiring,
            since_index: self.index,
            since_ms: self.now_ms,
            plain_until: key.plain_until.max(plain).max(ends.recorded),
            told_at: 0,
            ..key
        }
    }

    /// Whether a key goes on verifying what was issued before this generation, of whose keys it is none.
    pub(crate) fn outlives(&self, key: &Key) -> bool {
        let on_floor = self.begun.filter(|begun| begun.own_since.is_some());
        key.state == KeyState::Retiring && on_floor.is_some_and(|begun| key.since_index <= begun.index)
    }

    fn keep_revocations(&mut self, before: &Self, floor: &Picture, ends: Ends) {
        let mut listed = floor.listed.clone();
        listed.extend(before.revocations.listed().copied());
        let mut in_order = InOrder::default();
        for entry in &listed {
            in_order.restore(&mut self.revocations, *entry);
        }
        in_order.finish(&mut self.revocations);
        // Those that live longest are told from unknown ones when they are revoked again by id alone.
        let latest: Vec<_> = listed.iter().rev().take(REVOKED_LATELY_IDS_MAX).collect();
        for (order, (expiry, id)) in (1..).zip(latest.into_iter().rev()) {
            self.revocations.remember(*id, Lately { order, expiry: *expiry, family: None });
        }
        for (id, until) in floor.unseen.iter().chain(before.revocations.unseen()) {
            let until = self.revocations.unseen_until(id).map_or(*until, |known| known.max(*until));
            self.revocations.restore_unseen(*id, until);
        }
        let mut marks: Vec<(Whom, Watermark)> =
            before.watermarks.iter().chain(floor.watermarks.iter()).collect();
        marks.sort_by_key(|(_, mark)| mark.index);
        // Each is set on those before it.
        self.watermarks = Watermarks::default();
        if let Some(since) = self.begun.and_then(|begun| begun.own_since).filter(|since| *since > 0) {
            self.refuse_abroad(since, 0, 0);
        }
        for (whom, mark) in marks {
            self.watermarks.set(&whom, ends.cover(mark));
        }
        // A node of before that goes on after the end has heard of nothing since.
        if let Some(begun) = self.begun {
            self.refuse_abroad(begun.index, 0, begun.second.saturating_add(1));
        }
    }

    /// Who was removed since is gone again, and who was disabled is disabled. Of somebody who came and was disabled since,
    /// only the tokens are left to be refused.
    fn keep_out(&mut self, before: &Self, floor: &Picture, ends: Ends) -> Result<(), NoNextGeneration> {
        let later = |user: &User| user.created_index > floor.index();
        let gone: Vec<UserName> = (self.users.values())
            .filter(|user| !later(user) && !floor.users.contains_key(&user.name))
            .map(|user| user.name.clone())
            .collect();
        for name in &gone {
            self.users.remove(name);
        }
        for name in floor.users.iter().filter(|(_, person)| !person.enabled).map(|(name, _)| name) {
            match self.users.get(name).map(|user| user.as_ref().clone()) {
                Some(user) if user.is_enabled() => {
                    let user = User { status: UserStatus::Disabled, ..user };
                    self.users.insert(name.clone(), Arc::new(user));
                }
                Some(_) => {}
                None => self.refuse_tokens_of(name, ends),
            }
        }
        if self.any_administrator() {
            return Ok(());
        }
        Err(NoNextGeneration::NobodyAdministers { index: before.index })
    }

    fn refuse_tokens_of(&mut self, name: &UserName, ends: Ends) {
        let Some(service) = self.service_id() else { return };
        let subject = Subject::user(service, name);
        let mark = Watermark {
            index: self.index,
            set_at: self.now_secs(),
            since: 0,
            until: u64::MAX,
            plain_until: ends.recorded.max(ends.plain),
        };
        self.watermarks.set(&Whom::Subject(subject), mark);
    }

    /// What was trusted when the floor ended, or has been since, is trusted.
    fn keep_distrust(&mut self, before: &Self, floor: &Picture) {
        let trusted = before
            .circle
            .iter()
            .filter(|(kid, issuer)| floor.trusted.contains_key(*kid) || issuer.since_index > floor.index());
        self.circle = trusted.map(|(kid, issuer)| (kid.clone(), Arc::clone(issuer))).collect();
        for (kid, index) in &floor.distrusted {
            if !self.circle.contains_key(kid) {
                let index = self.distrusted.get(kid).map_or(*index, |known| (*known).max(*index));
                self.distrusted.insert(kid.clone(), index);
            }
        }
    }
}

/// Until when earlier tokens can live, in seconds.
#[derive(Clone, Copy)]
struct Ends {
    /// Those that were recorded.
    recorded: u64,
    /// Those that nobody recorded.
    plain: u64,
}

impl Ends {
    /// A watermark is kept as long as something lives that it refuses, which no record tells any more.
    fn cover(self, mark: Watermark) -> Watermark {
        Watermark { plain_until: mark.plain_until.max(self.recorded), ..mark }
    }
}
