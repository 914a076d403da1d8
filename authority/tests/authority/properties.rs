//! What holds after any list of commands. The generator makes sequences that mean something: they refer to tokens,
//! families, users and keys that earlier commands made.

mod marks;

use std::collections::{BTreeMap, BTreeSet};

use circlet_authority::{
    Action, Actor, AdmitNode, Command, DeleteGroup, DeleteUser, DistrustIssuer, FamilyId, Generation, Group,
    IssueToken, IssuerLimits, Judgement, KeyOrigin, MintJoinToken, Outcome, PresentedToken, Purge, PutGroup,
    PutMode, PutUser, RefreshOverrides, RefreshToken, RevokeBefore, RevokeTarget, RevokeToken, RotateKey,
    SetConfig, Stamp, State, TokenActor, TokenRecord, TrustIssuer, UserStatus, invariant,
};
use circlet_token::{Algorithm, Audience, Lifetime, Scope, Subject, TokenId, Verified};
use proptest::{collection::vec, prelude::*};

use self::marks::Marks;
use crate::house::{
    OURS, START_MS, THEIRS, bootstrap, family_id, hash, kid, name, new_key, service, token_id,
};

/// One step; numbers pick among what there is.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Issue { user: u8, actor: u8, life: u8, wishes: u8, key: Option<u8> },
    Refresh { token: u8, actor: u8, life: Option<u8>, with_access: bool },
    RepeatRefresh,
    Revoke { token: u8, how: u8, actor: u8 },
    RevokeBefore { user: u8, how: u8, since: Option<u32>, until: Option<u32> },
    PutUser { user: u8, bits: u8, actor: u8 },
    DeleteUser { user: u8 },
    PutGroup { group: u8, admin: bool },
    DeleteGroup { group: u8 },
    SetConfig { setting: u8, value: u8 },
    Rotate { key: u8, how: u8 },
    Trust { key: u8, distrust: bool },
    Join { node: u8 },
    PurgeMark,
    PurgeRemove { elapsed: u8 },
    Advance { seconds: u32 },
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let small = 0_u8..6;
    prop_oneof![
        6 => (small.clone(), small.clone(), 0_u8..5, any::<u8>(), proptest::option::of(0_u8..3))
            .prop_map(|(user, actor, life, wishes, key)| Step::Issue { user, actor, life, wishes, key }),
        6 => (any::<u8>(), small.clone(), proptest::option::of(0_u8..5), any::<bool>())
            .prop_map(|(token, actor, life, with_access)| Step::Refresh { token, actor, life, with_access }),
        3 => Just(Step::RepeatRefresh),
        4 => (any::<u8>(), 0_u8..3, small.clone()).prop_map(|(token, how, actor)| Step::Revoke { token, how, actor }),
        2 => (small.clone(), 0_u8..8, proptest::option::of(0_u32..200_000), proptest::option::of(0_u32..200_000))
            .prop_map(|(user, how, since, until)| Step::RevokeBefore { user, how, since, until }),
        4 => (small.clone(), any::<u8>(), small.clone())
            .prop_map(|(user, bits, actor)| Step::PutUser { user, bits, actor }),
        1 => small.clone().prop_map(|user| Step::DeleteUser { user }),
        2 => (0_u8..3, any::<bool>()).prop_map(|(group, admin)| Step::PutGroup { group, admin }),
        1 => (0_u8..3).prop_map(|group| Step::DeleteGroup { group }),
        2 => (0_u8..8, 0_u8..6).prop_map(|(setting, value)| Step::SetConfig { setting, value }),
        2 => (0_u8..4, 0_u8..7).prop_map(|(key, how)| Step::Rotate { key, how }),
        1 => (0_u8..6, any::<bool>()).prop_map(|(key, distrust)| Step::Trust { key, distrust }),
        1 => (0_u8..4).prop_map(|node| Step::Join { node }),
        1 => Just(Step::PurgeMark),
        1 => (0_u8..3).prop_map(|elapsed| Step::PurgeRemove { elapsed }),
        4 => prop_oneof![0_u32..5, 30_u32..100, 3_000_u32..120_000].prop_map(|seconds| Step::Advance { seconds }),
    ]
}

/// What the steps have led to so far, on the first replica.
pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now_ms: u64,
    log: Vec<(u64, Command, Outcome)>,
    pub(crate) issued: Vec<TokenRecord>,
    last_refresh: Option<Command>,
    revoked: BTreeSet<TokenId>,
    marks: Marks,
    successors: BTreeMap<(FamilyId, u32), TokenRecord>,
}

const LIVES: [u64; 5] = [0, 60, 3_600, 14_400, 30_000];
const SETTINGS: [&str; 8] = [
    "token.minimum-revocable-expiry",
    "token.persistency.persistent-expiry-threshold",
    "token.persistency.revocable-expiry-threshold",
    "token.refresh-expiry",
    "token.refresh-replay-window",
    "token.revoke-family-on-reuse",
    "purge.margin",
    "limits.recorded-tokens-max",
];
const VALUES: [i64; 6] = [-1, 0, 1, 60, 10_800, 50_000];

fn pick<T>(list: &[T], number: u8) -> Option<&T> {
    list.get(usize::from(number).checked_rem(list.len())?)
}

fn user(number: u8) -> circlet_token::UserName {
    name(["admin", "alice", "bob", "carol", "robot", "ghost"][usize::from(number % 6)])
}

impl World {
    pub(crate) fn new() -> Self {
        let mut world = Self {
            state: State::new(),
            now_ms: START_MS,
            log: Vec::new(),
            issued: Vec::new(),
            last_refresh: None,
            revoked: BTreeSet::new(),
            marks: Marks::default(),
            successors: BTreeMap::new(),
        };
        world.apply(Command { actor: Actor::System, action: Action::Bootstrap(Box::new(bootstrap())) });
        world
    }

    pub(crate) fn verified(record: &TokenRecord) -> Verified {
        Verified {
            claims: record.claims(&service(OURS)),
            key: record.kid.clone(),
            algorithm: Algorithm::EdDsa,
        }
    }

    fn actor(&self, number: u8) -> Actor {
        match number {
            0 | 1 => Actor::User { name: user(0) },
            2 => Actor::User { name: user(1) },
            3 => Actor::Operator,
            4 => Actor::RefreshPair,
            _ => match pick(&self.issued, u8::try_from(self.log.len() % 251).unwrap()) {
                Some(record) => Actor::Token(Box::new(TokenActor::of(&Self::verified(record)))),
                None => Actor::System,
            },
        }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        if let Step::Advance { seconds } = step {
            self.now_ms += u64::from(*seconds) * 1_000;
            return;
        }
        if let Some(command) = self.command(step) {
            if matches!(command.action, Action::RefreshToken(_)) {
                self.last_refresh = Some(command.clone());
            }
            self.apply(command);
        }
    }

    fn apply(&mut self, command: Command) {
        let stamp = Stamp { now_ms: self.now_ms };
        let outcome = self.state.apply(self.state.index() + 1, stamp, &command);
        self.remember(&command, &outcome);
        self.log.push((self.now_ms, command, outcome));
    }

    fn remember(&mut self, command: &Command, outcome: &Outcome) {
        match outcome {
            Outcome::Issued(record) => self.issued.push(record.as_ref().clone()),
            Outcome::Refreshed { record, .. } => {
                let Action::RefreshToken(refresh) = &command.action else {
                    panic!("refreshed by {command:?}")
                };
                let earlier =
                    self.successors.insert((refresh.family, refresh.sequence), record.as_ref().clone());
                if let Some(earlier) = earlier.filter(|earlier| earlier != record.as_ref()) {
                    // One refresh token, one successor; another only in the place of one that is refused.
                    let judged = self.state.judge(&Self::verified(&earlier), self.now_ms / 1_000);
                    assert!(
                        matches!(judged, Judgement::Revoked(_)),
                        "two successors: {earlier:?} and {record:?}"
                    );
                }
                self.issued.push(record.as_ref().clone());
            }
            Outcome::WatermarkSet { index } => self.marks.note(&self.state, command, *index),
            Outcome::Revoked(revoked) => self.revoked.extend(revoked.ids.iter().copied()),
            _ => {}
        }
    }

    fn command(&self, step: &Step) -> Option<Command> {
        let admin = Actor::User { name: user(0) };
        let (actor, action) = match step {
            Step::Issue { actor, .. } => (self.actor(*actor), self.issue(step)?),
            Step::Refresh { actor, .. } => (self.actor(*actor), self.refresh(step)?),
            Step::RepeatRefresh => return self.last_refresh.clone(),
            Step::Revoke { token, how, actor } => {
                let target = Self::target(pick(&self.issued, *token)?, *how)?;
                (self.actor(*actor), Action::RevokeToken(Box::new(RevokeToken { target, cascade: false })))
            }
            Step::RevokeBefore { user: who, how, since, until } => {
                let second = |after: &u32| START_MS / 1_000 + u64::from(*after);
                let (since, until) = (since.as_ref().map(second), until.as_ref().map(second));
                (admin, Action::RevokeBefore(RevokeBefore { whom: marks::whom(*who, *how), since, until }))
            }
            Step::PutUser { user: who, bits, actor } => (self.actor(*actor), Self::put_user(*who, *bits)),
            Step::DeleteUser { user: who } => (admin, Action::DeleteUser(DeleteUser { name: user(*who) })),
            Step::PutGroup { group, admin: root } => {
                let mut group = Group::new(&format!("g{group}"));
                group.admin_privileges = *root;
                group.auto_join = !*root;
                (
                    admin,
                    Action::PutGroup(Box::new(PutGroup {
                        group,
                        mode: PutMode::CreateOrUpdate,
                        members: None,
                    })),
                )
            }
            Step::DeleteGroup { group } => {
                (admin, Action::DeleteGroup(DeleteGroup { name: format!("g{group}") }))
            }
            Step::SetConfig { setting, value } => {
                let mut config = self.state.config().as_ref().clone();
                let value = VALUES[usize::from(*value)].to_string();
                config.set(SETTINGS[usize::from(*setting)], &value).ok()?;
                (admin, Action::SetConfig(Box::new(SetConfig { config, if_version: None })))
            }
            Step::Rotate { key, how } => {
                (Actor::System, Action::RotateKey(Box::new(self.rotate(*key, *how)?)))
            }
            Step::Trust { key, distrust } => (admin, Self::trust(*key, *distrust)),
            Step::Join { node } => (Actor::System, self.join(*node)),
            Step::PurgeMark => (Actor::System, Action::Purge(Purge::Mark)),
            Step::PurgeRemove { elapsed } => {
                let marked = |(_, _, outcome): &(u64, Command, Outcome)| match outcome {
                    Outcome::Marked { mark, .. } => Some(*mark),
                    _ => None,
                };
                let mark = self.log.iter().rev().find_map(marked)?;
                (
                    Actor::System,
                    Action::Purge(Purge::Remove { mark, elapsed_ms: u64::from(*elapsed) * 3_600_000 }),
                )
            }
            Step::Advance { .. } => return None,
        };
        Some(Command { actor, action })
    }

    fn issue(&self, step: &Step) -> Option<Action> {
        let Step::Issue { user: who, actor, life, wishes, key } = step else { return None };
        let scopes = [
            "applied-permissions/user",
            "applied-permissions/groups:g0",
            "applied-permissions/admin",
            "member-of-groups:* api:*",
        ];
        let label = format!("{}", self.log.len());
        let actor = self.actor(*actor);
        Some(Action::IssueToken(Box::new(IssueToken {
            id: token_id(&label),
            generation: if wishes & 1 == 0 { Generation::Access } else { Generation::Legacy },
            subject: Subject::user(&service(OURS), &user(*who)),
            scope: Scope::parse(scopes[usize::from(wishes >> 1 & 3)]).ok()?,
            audience: Audience::any(),
            lifetime: Lifetime::from_secs(LIVES[usize::from(*life)]),
            force_revocable: wishes & 8 != 0,
            description: None,
            reference: (wishes & 16 != 0).then(|| hash(&label)),
            family: (wishes & 32 != 0).then(|| family_id(&label)),
            owner: self.state.rights(&actor).user,
            idempotency: key.map(|key| hash(&format!("key {key}"))),
            request_digest: hash(&format!("{who} {life} {wishes}")),
        })))
    }

    fn refresh(&self, step: &Step) -> Option<Action> {
        let Step::Refresh { token, life, with_access, .. } = step else { return None };
        let refreshable: Vec<&TokenRecord> =
            self.issued.iter().filter(|record| record.family.is_some()).collect();
        let record = pick(&refreshable, *token)?;
        let (family, sequence) = record.family?;
        Some(Action::RefreshToken(Box::new(RefreshToken {
            family,
            sequence,
            access: with_access.then_some(record.id),
            request_digest: hash(&format!("{} {life:?} {with_access}", record.id)),
            successor_id: token_id(&format!("{}", self.log.len())),
            reference: None,
            overrides: RefreshOverrides {
                lifetime: life.map(|life| Lifetime::from_secs(LIVES[usize::from(life)])),
                ..RefreshOverrides::default()
            },
        })))
    }

    fn target(record: &TokenRecord, how: u8) -> Option<RevokeTarget> {
        Some(match how {
            0 => RevokeTarget::Id(record.id),
            1 => RevokeTarget::Value(Box::new(PresentedToken {
                id: record.id,
                subject: record.subject.clone(),
                key: record.kid.clone(),
                issued_at: record.issued_at,
                expires_at: record.expires_at,
                revocable: record.revocable.then_some(true),
                index: Some(record.index),
            })),
            _ => {
                let (family, sequence) = record.family?;
                RevokeTarget::Family { family, sequence }
            }
        })
    }

    fn put_user(who: u8, bits: u8) -> Action {
        let mut put = PutUser::new(user(who), PutMode::CreateOrUpdate);
        put.admin = (bits & 1 != 0).then_some(bits & 2 != 0);
        put.status =
            (bits & 4 != 0).then_some(if bits & 8 != 0 { UserStatus::Disabled } else { UserStatus::Enabled });
        put.groups = (bits & 16 != 0).then(|| [format!("g{}", bits >> 6)].into());
        put.realm = (bits & 32 != 0).then(|| "ldap".to_owned());
        Action::PutUser(Box::new(put))
    }

    fn rotate(&self, key: u8, how: u8) -> Option<RotateKey> {
        let label = format!("k{key}");
        let kid = kid(&label);
        Some(match how {
            0 => RotateKey::Publish {
                key: Box::new(new_key(&label, &format!("k{}", key % 3), KeyOrigin::Made)),
                replaces: self.state.active_key()?.kid.clone(),
                overlap_secs: Some(u64::from(key)),
            },
            1 => RotateKey::Activate { kid, replaces: self.state.active_key()?.kid.clone() },
            2 => RotateKey::Taint { kid, next: None },
            3 => {
                let next = format!("k{}", key + 4);
                RotateKey::Taint { kid, next: Some(Box::new(new_key(&next, &next, KeyOrigin::Made))) }
            }
            4 => RotateKey::Confirm { kid, node: 1 },
            5 => RotateKey::Cancel { kid },
            _ => RotateKey::Retire { kid, vouched: false },
        })
    }

    fn trust(key: u8, distrust: bool) -> Action {
        let label = format!("k{key}");
        if distrust {
            return Action::DistrustIssuer(DistrustIssuer { kid: kid(&label) });
        }
        Action::TrustIssuer(Box::new(TrustIssuer {
            kid: kid(&label),
            algorithm: Algorithm::Es256,
            spki_der: format!("public key {}", key % 4).into_bytes(),
            certificate_der: Vec::new(),
            issuer: service(if key == 5 { "jfrt@01hq0000000000000000000003" } else { THEIRS }),
            common_name: label.clone(),
            not_after: String::new(),
            limits: IssuerLimits::default(),
            file_name: format!("{label}.crt"),
        }))
    }

    /// A join token first, its use afterwards.
    fn join(&self, node: u8) -> Action {
        let secret = hash(&format!("secret {node}"));
        if self.state.join_token(&secret).is_none() {
            return Action::MintJoinToken(MintJoinToken { hash: secret });
        }
        Action::AdmitNode(Box::new(AdmitNode {
            join_token: secret,
            name: format!("n{node}"),
            peer_address: format!("n{node}:7000"),
            client_url: String::new(),
            public_key: hash(&format!("node {node}")),
            votes: true,
            supports: 1,
        }))
    }

    /// What was acknowledged as revoked is refused for ever, or has expired.
    fn assert_revoked_stays_revoked(&self) {
        let now = self.now_ms / 1_000;
        let ended = |record: &&TokenRecord| self.revoked.contains(&record.id) || self.marks.cover(record);
        for record in self.issued.iter().filter(ended) {
            let expired = record.expires_at.is_some_and(|at| at <= now.max(self.state.now_ms() / 1_000));
            let judged = self.state.judge(&Self::verified(record), now);
            assert!(expired || matches!(judged, Judgement::Revoked(_)), "{record:?} is {judged:?} at {now}");
        }
    }
}

fn bytes_of(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    bytes
}

fn replay(mut state: State, log: &[(u64, Command, Outcome)]) -> State {
    for (now_ms, command, outcome) in log {
        let command = Command::decode(&command.encode()).unwrap();
        let again = state.apply(state.index() + 1, Stamp { now_ms: *now_ms }, &command);
        assert_eq!(Outcome::decode(&again.encode()).unwrap(), *outcome, "{command:?}");
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_after_any_command(steps in vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            prop_assert_eq!(invariant::check(&world.state), []);
            world.assert_revoked_stays_revoked();
        }
    }

    #[test]
    fn equal_logs_give_equal_bytes_and_a_snapshot_stands_for_its_prefix(
        steps in vec(step(), 1..120),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        let whole = bytes_of(&world.state);
        prop_assert_eq!(&bytes_of(&replay(State::new(), &world.log)), &whole);

        let (before, after) = world.log.split_at(cut.index(world.log.len() + 1));
        let prefix = bytes_of(&replay(State::new(), before));
        let restored = State::decode_snapshot(&mut prefix.as_slice()).unwrap();
        prop_assert_eq!(&bytes_of(&restored), &prefix);
        let state = replay(restored, after);
        prop_assert_eq!(&bytes_of(&state), &whole);
        prop_assert!(whole.ends_with(&state.digest()));
    }

    #[test]
    fn arbitrary_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..600)) {
        let _ = Command::decode(&bytes);
        let _ = Outcome::decode(&bytes);
        let _ = State::decode_snapshot(&mut bytes.as_slice());
        let mut versioned = vec![1];
        versioned.extend_from_slice(&bytes);
        let _ = Command::decode(&versioned);
        let _ = Outcome::decode(&versioned);
    }

    #[test]
    fn damaged_bytes_are_decoded_or_refused(
        steps in vec(step(), 1..30),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        length in any::<prop::sample::Index>(),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        for (_, command, outcome) in &world.log {
            let mut bytes = command.encode();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if let Ok(other) = Command::decode(&bytes) {
                // Whatever it says now, applying it is total.
                let _ = world.state.clone().apply(world.state.index() + 1, Stamp { now_ms: 0 }, &other);
            }
            prop_assert!(Command::decode(&command.encode()[..length.index(bytes.len())]).is_err());
            let mut bytes = outcome.encode();
            let at = length.index(bytes.len());
            bytes[at] = byte;
            let _ = Outcome::decode(&bytes);
        }
        let good = bytes_of(&world.state);
        let mut bytes = good.clone();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        prop_assert!(bytes == good || State::decode_snapshot(&mut bytes.as_slice()).is_err());
        prop_assert!(State::decode_snapshot(&mut &good[..length.index(good.len())]).is_err());
    }
}
