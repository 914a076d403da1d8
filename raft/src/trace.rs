//! The trace of a request, as far as it goes with a proposal: from the node that a client asked to the leader. What is made
//! of it is the business of whoever put an [`Observer`] there.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The feature level from which on proposals carry their traces.
pub(crate) const TRACES_FROM_LEVEL: u32 = 2;

/// W3C Trace Context: a trace, and the span in it that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The trace's id.
    pub trace_id: [u8; 16],
    /// The id of the span that asks.
    pub span_id: [u8; 8],
    /// The flags; the lowest bit says that the trace is recorded.
    pub flags: u8,
}

/// The trace's id, in hexadecimal.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.trace_id))
    }
}

/// How far the leader has come with a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It was tried on a view and stamped, and goes into the log.
    Stamped,
    /// A majority has it on its disks, and it was applied here.
    Applied,
}

/// Is told of proposals that carry a trace, on the leader.
pub trait Observer: Send + Sync + 'static {
    /// The leader begins with one. What is returned is dropped when it is answered.
    fn begins(&self, trace: Trace) -> Box<dyn Observation>;
}

/// One proposal that is being observed.
pub trait Observation: Send {
    /// It has come so far.
    fn reached(&mut self, stage: Stage);
}

/// An observation, or none.
#[derive(Default)]
pub(crate) struct Observed(pub(crate) Option<Box<dyn Observation>>);

impl Observed {
    pub(crate) fn reached(&mut self, stage: Stage) {
        if let Some(observation) = &mut self.0 {
            observation.reached(stage);
        }
    }
}
