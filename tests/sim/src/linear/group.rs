//! A group: whether it is there and as what, and who of a run's users is in it.
//!
//! Each group sees by itself what is done to users: into what they are put, and that they are removed. Whether a user was
//! new, and so joined what all new users join, is another object's matter: then it stays open whether they are in it, until
//! somebody reads that.

use todc_utils::specifications::Specification;

use crate::house::USERS;

/// For each user of a run whether they are in it.
pub type Members = [bool; USERS.len()];

/// What a group that is there says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    /// A number for its description: each write brings another one.
    pub text: u64,
    /// Whether new users join it.
    pub auto_join: bool,
}

/// What was asked of it and answered; what begins with "maybe" was not answered. Users go by their place among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was written, with exactly these members. One that was never answered is the same, as it is for a value.
    Write(Content, Members),
    /// It was deleted, and everybody left it.
    Delete,
    /// A deletion whose answer never came.
    MaybeDelete,
    /// It was not there to be deleted, or to be joined.
    Absent,
    /// A user was put into it, among other groups or alone.
    Join(usize),
    /// The same, and the answer never came.
    MaybeJoin(usize),
    /// A user was put into other groups, or into none. One that was never answered is the same.
    Leave(usize),
    /// A user was removed. One that was never answered is the same.
    Remove(usize),
    /// It was read by a view that was proved fresh.
    Read(Option<Content>, Members),
}

/// Whether it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Presence {
    #[default]
    Unknown,
    Absent,
    There(Content),
    /// Nobody knows as what.
    Somehow,
}

/// What one copy of it would know: nothing at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    presence: Presence,
    /// Nothing of whom it isn't known.
    members: [Option<bool>; USERS.len()],
}

impl State {
    fn known(content: Option<Content>, members: Members) -> Self {
        Self { presence: content.map_or(Presence::Absent, Presence::There), members: members.map(Some) }
    }

    fn with(mut self, user: usize, is_in: Option<bool>) -> Self {
        if let Some(member) = self.members.get_mut(user) {
            *member = is_in;
        }
        self
    }

    fn may_be(&self, there: bool) -> bool {
        match self.presence {
            Presence::Unknown => true,
            Presence::Absent => !there,
            Presence::There(_) | Presence::Somehow => there,
        }
    }

    fn joined(self, user: usize) -> Option<Self> {
        let presence = match self.presence {
            Presence::Absent => return None,
            Presence::Unknown => Presence::Somehow,
            known => known,
        };
        Some(Self { presence, ..self }.with(user, Some(true)))
    }

    /// Who was in it was not new, and has left it. Who was not may be new, and has joined it if all do.
    fn left(self, user: usize) -> Self {
        let was_in = self.members.get(user).copied().flatten() == Some(true);
        let joined_by_all = match self.presence {
            Presence::Absent => false,
            Presence::There(content) => content.auto_join,
            Presence::Unknown | Presence::Somehow => true,
        };
        self.with(user, (was_in || !joined_by_all).then_some(false))
    }

    fn fits(&self, content: Option<Content>, members: Members) -> bool {
        let there = match (self.presence, content) {
            (Presence::There(known), Some(content)) => known == content,
            (_, content) => self.may_be(content.is_some()),
        };
        there
            && self.members.iter().zip(members).all(|(known, is_in)| known.is_none_or(|known| known == is_in))
    }

    /// What it becomes; nothing if one copy could not have answered so.
    fn after(self, step: Step) -> Option<Self> {
        let nobody = [false; USERS.len()];
        match step {
            Step::Write(content, members) => Some(Self::known(Some(content), members)),
            Step::Delete => self.may_be(true).then(|| Self::known(None, nobody)),
            Step::MaybeDelete => Some(Self::known(None, nobody)),
            Step::Absent => self.may_be(false).then(|| Self::known(None, nobody)),
            Step::Join(user) => self.joined(user),
            Step::MaybeJoin(user) => Some(self.joined(user).unwrap_or(self)),
            Step::Leave(user) => Some(self.left(user)),
            Step::Remove(user) => Some(self.with(user, Some(false))),
            Step::Read(content, members) => {
                self.fits(content, members).then(|| Self::known(content, members))
            }
        }
    }
}

/// One copy of it.
#[derive(Debug)]
pub struct Register;

impl Specification for Register {
    type State = State;
    type Operation = Step;

    fn init() -> State {
        State::default()
    }

    fn apply(step: &Step, state: &State) -> (bool, State) {
        state.after(*step).map_or((false, *state), |next| (true, next))
    }
}
