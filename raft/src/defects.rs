//! Known defects that a simulator switches on to prove that it would notice them.

/// Nothing that is configured sets any of these: [`Raft::open`](crate::Raft::open) has none, and only whoever puts a
/// [`Replica`](crate::replica::Replica) together from its parts can name them.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, off unless a simulator says so"
)]
pub struct Defects {
    /// A proof of freshness counts from when the answer came, not from when the question was asked.
    pub late_credit: bool,
    /// A leader that restarts within its lease leads on.
    pub leader_restore: bool,
    /// The read index is confirmed by the lease, without asking a quorum.
    pub lease_reads: bool,
    /// A proposal is answered without waiting until our own view holds it.
    pub answer_unseen: bool,
    /// A leader stamps whatever its clock shows.
    pub blind_stamps: bool,
    /// A change of the voters that a lost leader had begun is left as it is.
    pub half_done_changes: bool,
    /// A follower that lacks what it had acknowledged is filled again from the beginning.
    pub log_reversion: bool,
    /// A node that was removed is taken back by whoever asks for it.
    pub takes_back: bool,
    /// A node takes its view for proved fresh as soon as it starts.
    pub fresh_at_start: bool,
    /// A node believes whoever says that it was given up.
    pub any_successor: bool,
}
