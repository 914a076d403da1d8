//! Watermarks as those mean them who set them: whose tokens end, of those that were issued when. Written apart from the
//! product's own, which are held against it.

use std::collections::BTreeSet;

use circlet_authority::{TokenRecord, Watermark, Whom};
use circlet_token::{Claims, KeyId, Subject};
use sha2::{Digest, Sha256};

use crate::machine::first_word;

/// Whose tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One subject's.
    Subject(String),
    /// All that a key signed.
    Key(KeyId),
    /// Those of every subject that begins so.
    Start(String),
    /// Those of these subjects, and those that claim the group.
    Group {
        /// Its name.
        name: String,
        /// Who was in it.
        members: BTreeSet<String>,
    },
    /// Everybody's.
    Everyone,
}

/// A watermark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Whose tokens it ends.
    pub target: Target,
    /// Of those with a lower index.
    pub index: u64,
    /// Of those that were issued at this second or later.
    pub since: u64,
    /// And at this second or earlier.
    pub until: u64,
}

/// What a watermark goes by in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    subject: String,
    kid: KeyId,
    groups: Vec<String>,
    issued_at: u64,
    index: u64,
}

/// Whom a token speaks for, as a number.
#[must_use]
pub fn subject_number(subject: &str) -> u64 {
    first_word(&Sha256::digest(subject.as_bytes()))
}

impl Facts {
    /// Whom the token speaks for, as a number.
    #[must_use]
    pub fn subject_number(&self) -> u64 {
        subject_number(&self.subject)
    }

    /// The log index that issued it.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// When it was issued, in seconds.
    #[must_use]
    pub fn issued_at(&self) -> u64 {
        self.issued_at
    }

    /// Of what a token says.
    #[must_use]
    pub fn of_claims(claims: &Claims, kid: &KeyId) -> Self {
        Self {
            subject: claims.subject.to_string(),
            kid: kid.clone(),
            groups: claims.scope.groups().map(str::to_owned).collect(),
            issued_at: claims.issued_at,
            index: claims.index.unwrap_or(0),
        }
    }

    /// Of one that is known.
    #[must_use]
    pub fn of_record(record: &TokenRecord) -> Self {
        Self {
            subject: record.subject.to_string(),
            kid: record.kid.clone(),
            groups: record.scope.groups().map(str::to_owned).collect(),
            issued_at: record.issued_at,
            index: record.index,
        }
    }
}

impl Mark {
    /// Whether it is on a key because that leaked: what the key signed is good no more, and can be refreshed still.
    #[must_use]
    pub fn is_of_leak(&self) -> bool {
        self.index == u64::MAX
    }

    /// As a state holds it. Who was in a group has marks of their own there.
    #[must_use]
    pub fn held(whom: &Whom, mark: &Watermark) -> Self {
        let target = match whom {
            Whom::Subject(subject) => Target::Subject(subject.to_string()),
            Whom::Key(kid) => Target::Key(kid.clone()),
            Whom::Subjects { service, start } => Target::Start(format!("{service}/{start}")),
            Whom::Group(name) => Target::Group { name: name.clone(), members: BTreeSet::new() },
            Whom::Everyone => Target::Everyone,
        };
        Self { target, index: mark.index, since: mark.since, until: mark.until }
    }

    /// On all that was issued to a subject below an index.
    #[must_use]
    pub fn on_subject(subject: &Subject, index: u64) -> Self {
        Self { target: Target::Subject(subject.to_string()), index, since: 0, until: u64::MAX }
    }

    /// Whether it is on all that was issued before, whenever that was.
    #[must_use]
    pub fn is_of_all_time(&self) -> bool {
        self.since == 0 && self.until == u64::MAX
    }

    /// Whether a token ends with it.
    #[must_use]
    pub fn ends(&self, token: &Facts) -> bool {
        let concerns = match &self.target {
            Target::Subject(subject) => *subject == token.subject,
            Target::Key(kid) => *kid == token.kid,
            Target::Start(start) => token.subject.starts_with(start),
            Target::Group { name, members } => {
                members.contains(&token.subject) || token.groups.contains(name)
            }
            Target::Everyone => true,
        };
        concerns && token.index < self.index && (self.since..=self.until).contains(&token.issued_at)
    }
}
