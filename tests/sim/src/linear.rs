//! Linearizability: whether what clients were told of an object can be put in one order, each operation between its
//! request and its answer, that a single copy of the object would have gone through.
//!
//! Histories are taken apart by object, since the whole has such an order exactly if each part has (Herlihy and Wing).
//! An operation whose fate is unknown has no end: it may have happened at any time since, or not at all (`open.rs`). Of reads
//! that say the same of something which never comes back, only the outermost can matter; the others are left out, so that a
//! search stays small.

use std::collections::BTreeMap;

use circlet_authority::{FamilyId, TokenRecord};
use circlet_token::{KeyId, TokenId};

use self::open::has_order;

pub mod group;
mod open;
pub mod token;
pub mod value;
pub mod version;

/// What an operation concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Object {
    /// A token that can't be refreshed.
    Token(TokenId),
    /// A family of tokens that can.
    Family(FamilyId),
    /// All tokens of a subject, by its number.
    Subject(u64),
    /// Whether a user is there and enabled.
    User(&'static str),
    /// A group, and who is in it.
    Group(&'static str),
    /// Whether another cluster's key is trusted.
    Issuer(KeyId),
    /// The version of the configuration.
    Configuration,
}

impl Object {
    /// The object that a token belongs to.
    #[must_use]
    pub fn of_token(record: &TokenRecord) -> Self {
        record.family.map_or(Self::Token(record.id), |(family, _)| Self::Family(family))
    }
}

/// What was asked and answered.
#[derive(Clone, Debug)]
pub enum Step {
    /// Of a token, a family, or all of a subject.
    Token(token::Step),
    /// Of a user or an issuer.
    Value(value::Step),
    /// Of a group.
    Group(group::Step),
    /// Of the configuration.
    Version(version::Step),
}

/// One operation of a client. Times are the simulator's, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Operation {
    /// On what.
    pub object: Object,
    /// What it was and what came of it.
    pub step: Step,
    /// When it was asked for, at the earliest.
    pub sent: u64,
    /// When the answer came; nothing if none did.
    pub answered: Option<u64>,
}

/// A step and when it may have happened.
pub(crate) type Timed<S> = (S, u64, Option<u64>);

/// The first object whose history has no order, with that history.
///
/// # Errors
/// There is one.
pub fn check(operations: &[Operation]) -> Result<(), String> {
    let mut objects: BTreeMap<&Object, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        objects.entry(&operation.object).or_default().push(operation);
    }
    let ends = token::ends_of_subjects(operations);
    for (object, operations) in objects {
        let ordered = match object {
            Object::Token(_) | Object::Family(_) => {
                let mut history = timed(&operations, |step| match step {
                    Step::Token(step) => Some(*step),
                    _ => None,
                });
                history.extend(
                    token::subject_of(&history)
                        .and_then(|subject| ends.get(&subject))
                        .into_iter()
                        .flatten()
                        .copied(),
                );
                has_order::<token::Register>(&token::outermost(history))
            }
            Object::Subject(_) => true,
            Object::User(_) | Object::Issuer(_) => {
                has_order::<value::Register>(&timed(&operations, |step| match step {
                    Step::Value(step) => Some(*step),
                    _ => None,
                }))
            }
            Object::Group(_) => has_order::<group::Register>(&timed(&operations, |step| match step {
                Step::Group(step) => Some(*step),
                _ => None,
            })),
            Object::Configuration => has_order::<version::Register>(&timed(&operations, |step| match step {
                Step::Version(step) => Some(*step),
                _ => None,
            })),
        };
        if !ordered {
            let told: Vec<String> = operations.iter().map(|operation| shown(operation)).collect();
            return Err(format!("no order explains what was said of {object:?}: {}", told.join("; ")));
        }
    }
    Ok(())
}

fn timed<S>(operations: &[&Operation], pick: impl Fn(&Step) -> Option<S>) -> Vec<Timed<S>> {
    let timed = |operation: &&Operation| Some((pick(&operation.step)?, operation.sent, operation.answered));
    operations.iter().filter_map(timed).collect()
}

fn shown(operation: &Operation) -> String {
    let ms = |nanos: u64| format!("{}.{:03}", nanos / 1_000_000, nanos / 1_000 % 1_000);
    let until = operation.answered.map_or("?".to_owned(), ms);
    format!("{}..{until} {:?}", ms(operation.sent), operation.step)
}
