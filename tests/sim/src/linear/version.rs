//! The version of the configuration: it rises by one with each change, and a change may insist on the version that it was
//! made from.

use todc_utils::specifications::Specification;

/// What was asked of it and answered; what begins with "maybe" was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are what their names say; each variant has its sentence")]
pub enum Step {
    /// Changed to a version, or left there because it was so already.
    Set { expected: Option<u64>, version: u64 },
    /// A change whose answer never came.
    MaybeSet { expected: Option<u64> },
    /// Refused: another version was there than expected.
    Changed { current: u64 },
    /// Read by a view that was proved fresh.
    Read { version: u64 },
}

/// One copy of it.
#[derive(Debug)]
pub struct Register;

impl Specification for Register {
    /// Nothing is known of it at first.
    type State = Option<u64>;
    type Operation = Step;

    fn init() -> Option<u64> {
        None
    }

    fn apply(step: &Step, state: &Option<u64>) -> (bool, Option<u64>) {
        let Some(now) = *state else {
            return match step {
                Step::Set { version, .. } | Step::Read { version } => (true, Some(*version)),
                Step::Changed { current } => (true, Some(*current)),
                Step::MaybeSet { .. } => (true, None),
            };
        };
        let fits = |expected: &Option<u64>| expected.is_none_or(|expected| expected == now);
        match step {
            Step::Set { expected, version } => {
                (fits(expected) && (*version == now || *version == now + 1), Some(*version))
            }
            Step::MaybeSet { expected } => (true, Some(if fits(expected) { now + 1 } else { now })),
            Step::Changed { current } => (*current == now, Some(now)),
            Step::Read { version } => (*version == now, Some(now)),
        }
    }
}
