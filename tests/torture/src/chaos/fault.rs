//! What can be done to the nodes.

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A process is killed, and started again later.
    Kill,
    /// The leader is killed and started again at once, within its lease.
    BounceLeader,
    /// A process is stopped in its tracks.
    Pause,
    /// A node is cut off from the others.
    Cut,
    /// A node is cut off for longer than it may do anything on its own.
    Isolation,
    /// Between a node and the others messages pass one way only.
    OneWay,
    /// Two nodes don't reach each other, though all others reach both.
    Bridge,
    /// A node is started while it is cut off.
    StartAlone,
    /// A wall clock jumps.
    Clock,
    /// A disk is full.
    FullDisk,
    /// A disk fails.
    FailingDisk,
    /// One machine loses power.
    PowerCut,
    /// All lose power at once.
    PowerCutOfAll,
    /// A machine is lost with its disk, and another takes its place.
    Replacement,
    /// A machine is lost with its disk, which somebody has; what its node knew is replaced, and another takes its place.
    StolenDisk,
    /// The clusters of the circle don't reach each other.
    CircleCut,
    /// The neighbour's process is killed, and started again later.
    NeighbourDown,
    /// Another node joins.
    Join,
    /// A node is removed, and stops.
    Leave,
}

impl Fault {
    /// All of them.
    pub(crate) const ALL: [Self; 19] = [
        Self::Kill,
        Self::BounceLeader,
        Self::Pause,
        Self::Cut,
        Self::Isolation,
        Self::OneWay,
        Self::Bridge,
        Self::StartAlone,
        Self::Clock,
        Self::FullDisk,
        Self::FailingDisk,
        Self::PowerCut,
        Self::PowerCutOfAll,
        Self::Replacement,
        Self::StolenDisk,
        Self::CircleCut,
        Self::NeighbourDown,
        Self::Join,
        Self::Leave,
    ];

    /// What a report calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::BounceLeader => "leader bounced",
            Self::Pause => "pause",
            Self::Cut => "two-way cut",
            Self::Isolation => "isolation",
            Self::OneWay => "one-way cut",
            Self::Bridge => "bridge",
            Self::StartAlone => "start alone",
            Self::Clock => "clock set",
            Self::FullDisk => "full disk",
            Self::FailingDisk => "failing disk",
            Self::PowerCut => "power cut",
            Self::PowerCutOfAll => "power cut of all",
            Self::Replacement => "replacement",
            Self::StolenDisk => "disk stolen",
            Self::CircleCut => "circle cut",
            Self::NeighbourDown => "neighbour killed",
            Self::Join => "join",
            Self::Leave => "leave",
        }
    }
}
