//! Something that has a value: a user is absent, disabled or enabled, an issuer is trusted or not.

use todc_utils::specifications::Specification;

/// A value; what is not there has [`ABSENT`].
pub type Value = u8;

/// A user who doesn't exist, an issuer who isn't trusted.
pub const ABSENT: Value = 0;
/// A user who is enabled, an issuer who is trusted.
pub const GOOD: Value = 1;
/// A user who is disabled.
pub const DISABLED: Value = 2;

/// What was asked of it. One that was never answered is the same: it may have happened at the very end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was given a value.
    Write(Value),
    /// It was touched: what was absent is good, and else keeps its value.
    Touch,
    /// It was read by a view that was proved fresh.
    Read(Value),
}

/// One copy of it.
#[derive(Debug)]
pub struct Register;

impl Specification for Register {
    /// Nothing is known of it at first.
    type State = Option<Value>;
    type Operation = Step;

    fn init() -> Option<Value> {
        None
    }

    fn apply(step: &Step, state: &Option<Value>) -> (bool, Option<Value>) {
        match (step, state) {
            (Step::Touch, Some(ABSENT)) => (true, Some(GOOD)),
            (Step::Touch, state) => (true, *state),
            (Step::Read(value), Some(known)) => (value == known, *state),
            (Step::Write(value) | Step::Read(value), _) => (true, Some(*value)),
        }
    }
}
