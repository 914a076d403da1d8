//! Searching for an order where the fate of some operations is open. Each of these is tried only where it changes something:
//! one that changes nothing need not have happened, and is put at the very end, behind all that was answered. Otherwise a
//! search would try each set of them in vain.

use std::marker::PhantomData;

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

use super::Timed;

/// Whether a history has an order.
pub(super) fn has_order<S: Specification>(operations: &[Timed<S::Operation>]) -> bool {
    let Some(last) = operations.iter().map(|(_, sent, answered)| answered.unwrap_or(*sent).max(*sent)).max()
    else {
        return true;
    };
    let mut moments = Vec::new();
    for (process, (step, sent, answered)) in operations.iter().enumerate() {
        let step = match answered {
            Some(_) => Step::Answered(step.clone()),
            None => Step::Open(step.clone()),
        };
        // At equal times a question comes before an answer: then they are concurrent.
        moments.push((*sent, 0, process, Action::Call(step.clone())));
        moments.push((answered.unwrap_or(u64::MAX), 1, process, Action::Response(step)));
    }
    moments.push((last + 1, 0, operations.len(), Action::Call(Step::Over)));
    moments.push((u64::MAX - 1, 1, operations.len(), Action::Response(Step::Over)));
    moments.sort_by_key(|(at, kind, process, _)| (*at, *kind, *process));
    let actions = moments.into_iter().map(|(_, _, process, action)| (process, action)).collect();
    WGLChecker::<WithOpen<S>>::is_linearizable(History::from_actions(actions))
}

/// A step of a history with open ones.
#[derive(Clone, Debug)]
enum Step<T> {
    Answered(T),
    Open(T),
    /// All that was answered has happened.
    Over,
}

/// What such a history is of.
#[derive(Debug)]
struct WithOpen<S>(PhantomData<S>);

impl<S: Specification> Specification for WithOpen<S> {
    /// Whether it is over, and the object.
    type State = (bool, S::State);
    type Operation = Step<S::Operation>;

    fn init() -> Self::State {
        (false, S::init())
    }

    fn apply(step: &Self::Operation, state: &Self::State) -> (bool, Self::State) {
        let (over, object) = state;
        match step {
            Step::Over => (true, (true, object.clone())),
            Step::Open(_) if *over => (true, state.clone()),
            Step::Open(step) => {
                let (holds, next) = S::apply(step, object);
                (holds && next != *object, (false, next))
            }
            // Never behind the end, which is called when all was answered.
            Step::Answered(step) => {
                let (holds, next) = S::apply(step, object);
                (holds, (*over, next))
            }
        }
    }
}
