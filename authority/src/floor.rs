//! The floor under revocations: all that a cluster refuses, as a picture that is kept outside of it, so that tokens of
//! before can live on when the cluster itself is lost.
//!
//! A picture is begun from a whole state and then told what changed, fact by fact. **Two states with the same picture had it
//! all the time in between:** each fact that could change there and back carries the log index of its last change, or a
//! counter that only grows. So whoever holds the picture of an entry holds that of every later one up to the next change,
//! and a picture that somebody else wrote in between is the same. No secret, no token and no password hash is in it.

mod changes;

pub(crate) use changes::{added, set_or_changed};

use circlet_token::{KeyId, ServiceId, TokenId, UserName};
use imbl::{OrdMap, OrdSet};

use crate::{
    codec::{self, DecodeError, wire_enum, wire_struct},
    command::Whom,
    record::{Key, KeyState, User, Watermark},
    state::{State, Watermarks},
};

/// When something last changed that a picture could not tell otherwise. Kept in the state from the feature level on at
/// which a floor can be required.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FloorMarks {
    /// The last log index at which `revocation-floor.required` was switched off.
    pub(crate) required_until: u64,
    /// The last one that made, removed, enabled or disabled a user.
    pub(crate) people_at: u64,
}
wire_struct!(FloorMarks { required_until, people_at });

/// Of which cluster a picture is, and under which rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FloorHead {
    /// What the cluster is called.
    pub service_id: ServiceId,
    /// Which generation of it.
    pub generation: u64,
    /// What its formats follow.
    pub feature_level: u32,
    /// Whether no node acknowledges what is not on its floor.
    pub required: bool,
    pub(crate) marks: FloorMarks,
    /// Counts the changes of the configuration.
    pub(crate) config_version: u64,
    /// How long a token can live that nobody recorded, counted from when it was issued last, in seconds.
    pub(crate) plain_secs: u64,
}
wire_struct!(FloorHead {
    service_id,
    generation,
    feature_level,
    required,
    marks,
    config_version,
    plain_secs,
});

/// What is known of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) enabled: bool,
    pub(crate) created_index: u64,
}
wire_struct!(Person { enabled, created_index });

/// One change of a picture. What has expired is not told: it goes when the picture is begun anew.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u8)]
pub enum FloorFact {
    /// Of which cluster this is.
    Head(Box<FloorHead>) = 1,
    /// A revoked id, with the expiry of its token in seconds.
    Listed {
        /// The largest number for a token without one.
        expiry: u64,
        /// Which.
        id: TokenId,
    } = 2,
    /// A revoked id of which nothing was known.
    Unseen {
        /// Which.
        id: TokenId,
        /// The second at which the longest such token has expired.
        until: u64,
    } = 3,
    /// What is refused together.
    Mark {
        /// Whose.
        whom: Whom,
        /// What is covered.
        mark: Watermark,
    } = 4,
    /// A key of the cluster, without its private half.
    Key(Box<Key>) = 5,
    /// A user, and whether tokens may speak for it.
    User {
        /// Which.
        name: UserName,
        /// Whether it is enabled.
        enabled: bool,
        /// The log index that made it.
        created_index: u64,
    } = 6,
    /// A user that is gone.
    UserGone(UserName) = 7,
    /// A certificate of another cluster that is trusted.
    Trusted {
        /// Which.
        kid: KeyId,
        /// Since which log index.
        since_index: u64,
    } = 8,
    /// A certificate that is not trusted any more.
    TrustedGone(KeyId) = 9,
    /// A certificate that somebody distrusted.
    Distrusted {
        /// Which.
        kid: KeyId,
        /// At which log index.
        index: u64,
    } = 10,
    /// A certificate whose distrust was taken back.
    DistrustedGone(KeyId) = 11,
    /// A node, a merely admitted one too.
    Node {
        /// The log index that admitted it.
        id: u64,
        /// What it calls itself.
        name: String,
    } = 12,
    /// A node that was removed.
    NodeGone(u64) = 13,
}
wire_enum!(FloorFact {
    1 => Head(head),
    2 => Listed { expiry, id },
    3 => Unseen { id, until },
    4 => Mark { whom, mark },
    5 => Key(key),
    6 => User { name, enabled, created_index },
    7 => UserGone(name),
    8 => Trusted { kid, since_index },
    9 => TrustedGone(kid),
    10 => Distrusted { kid, index },
    11 => DistrustedGone(kid),
    12 => Node { id, name },
    13 => NodeGone(id),
});

/// Facts that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FloorRecord {
    /// The log index at which they hold.
    pub index: u64,
    /// Whether more of the same index follows.
    pub more: bool,
    /// The second after which no token lives that was recorded up to there.
    pub tokens_until: u64,
    /// What changed.
    pub facts: Vec<FloorFact>,
}
wire_struct!(FloorRecord { index, more, tokens_until, facts });

impl FloorRecord {
    /// The bytes of a record.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The reverse of [`FloorRecord::encode`].
    ///
    /// # Errors
    /// The bytes are damaged, or of a version that this build doesn't know.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}

/// What a cluster refuses, as of a log index.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    pub(crate) index: u64,
    pub(crate) tokens_until: u64,
    pub(crate) head: Option<Box<FloorHead>>,
    pub(crate) listed: OrdSet<(u64, TokenId)>,
    pub(crate) unseen: OrdMap<TokenId, u64>,
    pub(crate) watermarks: Watermarks,
    pub(crate) keys: OrdMap<KeyId, Key>,
    pub(crate) users: OrdMap<UserName, Person>,
    pub(crate) trusted: OrdMap<KeyId, u64>,
    pub(crate) distrusted: OrdMap<KeyId, u64>,
    pub(crate) nodes: OrdMap<u64, String>,
}

impl Picture {
    /// The whole picture of a state.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let mut picture = Self::default();
        let facts = state.floor_changes(&State::new()).collect();
        let tokens_until = state.floor_tokens_until();
        picture.learn(FloorRecord { index: state.index(), more: false, tokens_until, facts });
        picture
    }

    /// Takes a record over; it is later than all before.
    pub fn learn(&mut self, record: FloorRecord) {
        self.index = record.index;
        self.tokens_until = self.tokens_until.max(record.tokens_until);
        for fact in record.facts {
            self.learn_fact(fact);
        }
    }

    fn learn_fact(&mut self, fact: FloorFact) {
        match fact {
            FloorFact::Head(head) => self.head = Some(head),
            FloorFact::Listed { expiry, id } => drop(self.listed.insert((expiry, id))),
            FloorFact::Unseen { id, until } => drop(self.unseen.insert(id, until)),
            FloorFact::Mark { whom, mark } => self.watermarks.set(&whom, mark),
            FloorFact::Key(key) => drop(self.keys.insert(key.kid.clone(), *key)),
            FloorFact::User { name, enabled, created_index } => {
                self.users.insert(name, Person { enabled, created_index });
            }
            FloorFact::UserGone(name) => drop(self.users.remove(&name)),
            FloorFact::Trusted { kid, since_index } => drop(self.trusted.insert(kid, since_index)),
            FloorFact::TrustedGone(kid) => drop(self.trusted.remove(&kid)),
            FloorFact::Distrusted { kid, index } => drop(self.distrusted.insert(kid, index)),
            FloorFact::DistrustedGone(kid) => drop(self.distrusted.remove(&kid)),
            FloorFact::Node { id, name } => drop(self.nodes.insert(id, name)),
            FloorFact::NodeGone(id) => drop(self.nodes.remove(&id)),
        }
    }

    /// The log index of its last change.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Of which cluster it is; `None` for an empty one.
    #[must_use]
    pub fn head(&self) -> Option<&FloorHead> {
        self.head.as_deref()
    }

    /// The nodes of the cluster with their names, merely admitted ones too: whoever of them had acknowledged something has
    /// a floor of its own.
    pub fn nodes(&self) -> impl Iterator<Item = (u64, &str)> {
        self.nodes.iter().map(|(id, name)| (*id, name.as_str()))
    }

    /// How many ids it lists as revoked.
    #[must_use]
    pub fn revoked_count(&self) -> usize {
        self.listed.len().saturating_add(self.unseen.len())
    }

    /// The second after which no token lives that was recorded up to there.
    #[must_use]
    pub fn tokens_until(&self) -> u64 {
        self.tokens_until
    }

    /// The same picture where another node knew of tokens that live longer.
    #[must_use]
    pub fn with_tokens_until(self, tokens_until: u64) -> Self {
        Self { tokens_until: self.tokens_until.max(tokens_until), ..self }
    }

    /// What says that it is of another cluster than this state, or of another generation; `None` if nothing does.
    #[must_use]
    pub fn is_of_another(&self, state: &State) -> Option<String> {
        let head = self.head()?;
        let cluster = state.cluster.as_ref()?;
        let same = head.service_id == cluster.service_id && head.generation == cluster.generation;
        (!same).then(|| {
            format!(
                "the floor is of cluster {} in generation {}, and what begins anew is {} in generation {}",
                head.service_id, head.generation, cluster.service_id, cluster.generation
            )
        })
    }

    /// What contradicts that it is of the log of a backup: of another cluster, or, where the backup is later, an older picture
    /// than the one that the backup's cluster had then. `None` if nothing does.
    #[must_use]
    pub fn contradicts(&self, backup: &State) -> Option<String> {
        let other = self.is_of_another(backup);
        if other.is_some() || self.index >= backup.index {
            return other;
        }
        let then = Self::of(backup);
        let same = then.head == self.head
            && then.keys == self.keys
            && then.users == self.users
            && then.trusted == self.trusted
            && then.distrusted == self.distrusted
            && then.nodes == self.nodes;
        (!same).then(|| {
            format!(
                "the floor ends with log entry {}, and what it holds had changed by entry {} of the backup: these are not the \
                 files that the nodes wrote last",
                self.index, backup.index
            )
        })
    }
}

impl State {
    /// Whether no node acknowledges a decision before its own floor holds it.
    #[must_use]
    pub fn floor_is_required(&self) -> bool {
        self.config.revocation_floor_required
    }

    /// Up to which log index a node's floor must have come before the node acknowledges the decision at `index`. After the
    /// setting was switched off its own floor must say so: one that still says "required" would vouch for what it can't know.
    #[must_use]
    pub fn floor_due(&self, index: u64) -> u64 {
        if self.floor_is_required() { index } else { self.floor_marks.required_until }
    }

    /// Remembers that the users, or which of them are enabled, changed with the present entry.
    pub(crate) fn people_changed(&mut self) {
        if self.feature_level >= crate::limits::FLOOR_FEATURE_LEVEL {
            self.floor_marks.people_at = self.index;
        }
    }
}

/// A key as a picture has it.
fn shown(key: &Key) -> Key {
    Key { private_key: None, confirmed: std::collections::BTreeSet::new(), told_at: 0, ..key.clone() }
}

fn person(user: &User) -> Person {
    Person { enabled: user.is_enabled(), created_index: user.created_index }
}

/// Where a key is in its life, as a number that only grows.
pub(crate) fn rank(state: KeyState) -> u8 {
    match state {
        KeyState::Published => 0,
        KeyState::Active => 1,
        KeyState::Retiring => 2,
        KeyState::Retired => 3,
        KeyState::Tainted => 4,
    }
}
