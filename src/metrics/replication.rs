//! What the log knows of itself: who leads, how far it is, how fresh, what its disk does.

use std::fmt;

use circlet_raft::{DiskReport, DiskTrouble, FLUSH_MICROS, Role, Status};

use super::Sources;
use super::page::{Page, number, seconds};
use crate::floor::Standing;
use crate::health::Condition;

pub(super) fn write(page: &mut Page<'_>, sources: &Sources) -> fmt::Result {
    let status = sources.cluster.status();
    let published = sources.cluster.published();
    let missing = sources.health.missing(&status, &published);
    page.gauges(
        "circlet_missing",
        "1 for each condition that the node lacks for the whole of its service, else 0",
        "condition",
        Condition::ALL.into_iter().map(|condition| {
            let lacks = missing.iter().any(|missing| missing.condition == condition);
            (condition.word().into(), flag(lacks))
        }),
    )?;
    let age = published.age_ms(sources.cluster.instants());
    page.gauge(
        "circlet_freshness_age_seconds",
        "How old the view may be, as proved; absent before the first proof",
        age.map(|ms| number(ms) / 1_000.0),
    )?;
    page.gauge(
        "circlet_clock_offset_seconds",
        "How far the clock is ahead of the median of the voters; absent while no majority was measured",
        status.clock_offset_ms.map(seconds),
    )?;
    write_raft(page, &status)?;
    let floor = sources.cluster.floor().status();
    let kept = floor.standing != Standing::Absent;
    page.gauge(
        "circlet_floor_index",
        "Up to which log index the node's revocation floor holds all that is refused; absent without one",
        kept.then(|| number(floor.holds)),
    )?;
    page.counter(
        "circlet_floor_records",
        "Records written to the node's revocation floor",
        number(floor.written),
    )?;
    write_disk(page, &status.disk)
}

fn write_raft(page: &mut Page<'_>, status: &Status) -> fmt::Result {
    page.gauge(
        "circlet_raft_leads",
        "1 if this node leads, else 0",
        Some(flag(status.role == Role::Leader)),
    )?;
    page.gauge("circlet_raft_term", "Raft's term", Some(number(status.term)))?;
    page.counter(
        "circlet_raft_leader_changes",
        "How often this node has seen another node lead than before",
        number(status.leader_changes),
    )?;
    page.gauge("circlet_raft_last_log_index", "The last index of the log", status.last_log.map(number))?;
    page.gauge("circlet_raft_applied_index", "The last index that was applied", status.applied.map(number))?;
    let lag = status.last_log.unwrap_or(0).saturating_sub(status.applied.unwrap_or(0));
    page.gauge("circlet_raft_apply_lag_entries", "Entries of the log not applied yet", Some(number(lag)))?;
    page.gauge("circlet_raft_snapshot_index", "The last index in a snapshot", status.snapshot.map(number))?;
    let voters = status.members.values().filter(|member| member.voter).count();
    let learners = status.members.len() - voters;
    page.gauges(
        "circlet_raft_members",
        "Members of the cluster, by role",
        "role",
        [("voter".into(), number(voters as u64)), ("learner".into(), number(learners as u64))],
    )?;
    let last = status.last_log.unwrap_or(0);
    page.gauges(
        "circlet_raft_peer_lag_entries",
        "Entries that a member is known to lack; the leader alone knows",
        "node",
        status.members.values().filter_map(|member| {
            let lag = last.saturating_sub(member.matched?);
            Some((member.peer.name.clone().into(), number(lag)))
        }),
    )
}

fn write_disk(page: &mut Page<'_>, disk: &DiskReport) -> fmt::Result {
    let bounds = FLUSH_MICROS.into_iter().map(|micros| number(micros) / 1e6).chain([f64::INFINITY]);
    let classes: Vec<(f64, u64)> = bounds.zip(disk.flushes.iter().copied()).collect();
    page.histogram(
        "circlet_log_fsync_seconds",
        "How long it took to make a round of the log's writes durable",
        &classes,
        number(disk.flush_micros) / 1e6,
    )?;
    page.gauge(
        "circlet_log_queued_batches",
        "Batches of the log that wait to be made durable",
        Some(number(disk.queued)),
    )?;
    page.gauges(
        "circlet_log_disk_trouble",
        "1 for what keeps the disk from being one to lead with, else 0",
        "trouble",
        [DiskTrouble::Full, DiskTrouble::Slow, DiskTrouble::Failed]
            .map(|trouble| (trouble.word().into(), flag(disk.trouble == Some(trouble)))),
    )
}

fn flag(flag: bool) -> f64 {
    f64::from(u8::from(flag))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use circlet_raft::{Member, Peer};
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::{DescriptorEncoder, text};
    use prometheus_client::registry::Registry;

    use super::*;

    #[derive(Debug)]
    struct Known(Status);

    impl Collector for Known {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let mut page = Page::new(encoder);
            write_raft(&mut page, &self.0)?;
            write_disk(&mut page, &self.0.disk)
        }
    }

    fn page(status: Status) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Known(status)));
        let mut page = String::new();
        text::encode(&mut page, &registry).unwrap();
        page
    }

    fn member(name: &str, matched: Option<u64>) -> Member {
        let text = String::new;
        let peer =
            Peer { name: name.to_owned(), peer_address: text(), client_url: text(), public_key: [0; 32] };
        Member { peer, voter: true, matched, decided: None, set_back: false, clock_offset_ms: None }
    }

    #[test]
    fn what_is_not_applied_not_replicated_and_not_durable_is_counted() {
        let disk = DiskReport { queued: 3, trouble: Some(DiskTrouble::Slow), ..DiskReport::default() };
        let members =
            [(1, member("here", Some(100))), (2, member("behind", Some(60))), (3, member("new", None))];
        let page = page(Status {
            id: 1,
            leader: Some(1),
            term: 4,
            role: Role::Leader,
            last_log: Some(100),
            applied: Some(93),
            snapshot: None,
            purged: None,
            members: BTreeMap::from(members),
            age_ms: None,
            clock_offset_ms: None,
            leader_changes: 2,
            disk,
            stopped: None,
        });
        for line in [
            "circlet_raft_leads 1.0",
            "circlet_raft_leader_changes_total 2.0",
            "circlet_raft_apply_lag_entries 7.0",
            "circlet_raft_peer_lag_entries{node=\"here\"} 0.0",
            "circlet_raft_peer_lag_entries{node=\"behind\"} 40.0",
            "circlet_log_queued_batches 3.0",
            "circlet_log_disk_trouble{trouble=\"slow\"} 1.0",
            "circlet_log_disk_trouble{trouble=\"full\"} 0.0",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line} is missing: {page}");
        }
        assert!(!page.contains("node=\"new\""), "what nobody knows is left out: {page}");
    }
}
