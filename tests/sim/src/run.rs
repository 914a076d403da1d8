//! One run: a cluster is founded, clients come, faults happen for a while, then none; then everything must be well.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use circlet_authority::Config;
use circlet_authority::limits::FLOOR_FEATURE_LEVEL;
use circlet_raft::Settings;
use futures::future::join;
use openraft_rt::AsyncRuntime;

use crate::afterlife::{End, Life, Safe};
use crate::chaos::Chaos;
use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::fault::{Fault, Faults};
use crate::history::{Event, History, Violation};
use crate::house;
use crate::invariant;
use crate::midst::Change;
use crate::plant::Plant;
use crate::runtime::{self, NodeRuntime, global_nanos};
use crate::version;
use crate::workload::Workload;

mod conclusion;
mod health;
mod neighbours;
mod panics;

use conclusion::conclude;
use health::recover;
use neighbours::Circle;

/// In so many of a hundred runs the cluster requires floors.
const FLOORS_PERCENT: u64 = 25;
/// Of a hundred of them so many require none at first.
const NOT_YET_PERCENT: u64 = 25;
/// A cluster has so many nodes at most.
const NODES_MAX: u64 = 7;
/// In so many of a hundred runs there is a node that never votes from the beginning.
const ONLOOKER_PERCENT: u64 = 15;
/// In one of so many runs nodes are compared as a whole at every index.
const COMPARED_AT_EACH: u64 = 4;

/// What a run was like.
#[derive(Debug, Default)]
pub struct Report {
    /// The invariant that was broken, if one was.
    pub violation: Option<Violation>,
    /// Events that the invariants saw.
    pub steps: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
    /// Requests by kind and result.
    pub operations: BTreeMap<&'static str, u64>,
    /// Faults by kind.
    pub faults: BTreeMap<Fault, u64>,
    /// Those that came in the midst of a change.
    pub midst: BTreeMap<(Change, Fault), u64>,
    /// The events as text, if they were asked for.
    pub lines: Vec<String>,
}

/// How long things go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Course {
    /// At random, for up to half a minute.
    #[default]
    Random,
    /// At random, for three seconds.
    Brief,
    /// Until each kind of fault has happened, or two minutes are over.
    EachKind,
}

/// What a run is made from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// A bug that must be caught.
    pub plant: Plant,
    /// The one invariant that judges, if not all do.
    pub by: Option<&'static str>,
    /// Keep the events as text.
    pub keeps_lines: bool,
    /// How long things go wrong.
    pub course: Course,
    /// Keep what the runtime did as well.
    pub records_runtime: bool,
}

/// Runs one seed.
#[must_use]
pub fn run(plan: Plan) -> Report {
    panics::begin();
    let mut runtime = NodeRuntime::with_seed(plan.seed);
    if plan.records_runtime {
        runtime.record_trace();
    }
    let history = Arc::new(history(plan));
    let told = Arc::clone(&history);
    let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(play(plan, told))));
    let mut report = played.unwrap_or_default();
    let trace = runtime.take_trace();
    drop(runtime);
    if let Some((invariant, what)) = broken_off(&history) {
        history.break_off(invariant, what);
    }
    report.violation = history.violation();
    report.steps = history.steps();
    report.lines = history.lines();
    report.lines.extend(trace);
    report
}

/// Why a run can't be believed, whoever judges: it was too much work, something panicked, or something is left of it, which
/// would fill the memory of a search of many.
fn broken_off(history: &Arc<History>) -> Option<(&'static str, String)> {
    let exhausted = runtime::exhausted().map(|what| ("bounded-work", what));
    let panicked = || panics::first().map(|what| (invariant::NO_PANIC, what));
    let held = Arc::strong_count(history) - 1;
    let left = || (held > 0).then(|| ("bounded-memory", format!("it has ended, and {held} hold on to it")));
    exhausted.or_else(panicked).or_else(left)
}

/// What is told of a cluster. In a few runs nodes are compared at every index, since two may differ at one and agree at the
/// next.
fn history(plan: Plan) -> History {
    let history = History::new(plan.plant, plan.by, plan.keeps_lines);
    if plan.seed.is_multiple_of(COMPARED_AT_EACH) { history.comparing_at_each() } else { history }
}

fn settings(dice: &Dice, course: Course) -> Settings {
    let snapshot_log_bytes = match dice.between(0, 4) {
        _ if course == Course::EachKind => 8 << 10,
        0 | 1 => 8 << 10,
        2 | 3 => 40 << 10,
        _ => 64 << 20,
    };
    Settings { snapshot_log_bytes, ..Settings::default() }
}

/// What a cluster is founded with; some require floors, and some may later. It is founded by some version that knows all of that.
fn configured(cluster: &Cluster, dice: &Dice, seeks: bool) -> Config {
    let config = house::config(dice);
    let keeps_floors = dice.percent(FLOORS_PERCENT) || seeks;
    let revocation_floor_required = keeps_floors && (seeks || !dice.percent(NOT_YET_PERCENT));
    let oldest = if revocation_floor_required { FLOOR_FEATURE_LEVEL } else { version::FIRST };
    if keeps_floors {
        cluster.keep_floors();
        let (node, index, required) = (1, 0, revocation_floor_required);
        cluster.history.tell(&Event::FloorRequired { node, index, required });
    }
    cluster
        .set_release(u32::try_from(dice.between(oldest.into(), version::present().into())).unwrap_or(oldest));
    Config { revocation_floor_required, ..config }
}

async fn play(plan: Plan, history: Arc<History>) -> Report {
    let dice = Dice::new(plan.seed);
    let settings = settings(&dice, plan.course);
    let nodes = dice.pick(&[3, 3, 3, 4, 5, 5, 6, 7]).copied().unwrap_or(3);
    // Where each kind is sought, little else is to happen: a test waits for it.
    let seeks = plan.course == Course::EachKind;
    let nodes = if seeks { 3 } else { nodes };
    let service = &house::SERVICE;
    let cluster = Cluster::new(service, Arc::clone(&history), &dice, settings, Faults::of(history.midst()));
    let mut report = Report::default();
    let config = configured(&cluster, &dice, seeks);
    let ms = |secs: i64| u64::try_from(secs).unwrap_or(0) * 1_000;
    let (issue_ms, verify_ms) = (ms(config.issue_max_isolation), ms(config.verify_max_isolation));
    history.tell(&Event::Bounds { issue_ms, verify_ms });
    let founded = async {
        cluster.found(nodes, config.clone()).await?;
        if nodes < NODES_MAX && dice.percent(ONLOOKER_PERCENT) && !seeks {
            cluster.found_onlooker().await?;
        }
        match neighbours(plan, &dice) {
            0 => Ok(None),
            count => Circle::found(plan, count, &cluster, &config, &dice).await.map(Some),
        }
    };
    let circle = match founded.await {
        Ok(circle) => circle,
        Err(why) => {
            history.accuse("liveness", format!("no cluster can be founded: {why}"));
            cluster.end();
            return report;
        }
    };
    let workload = Workload::new(Arc::clone(&cluster), dice.split());
    let chaos = Chaos::new(Arc::clone(&cluster), dice.split(), seeks);
    for _ in 0..if seeks { 3 } else { dice.between(2, 6) } {
        let pause_ms_max = dice.between(10, 120);
        drop(NodeRuntime::spawn(Arc::clone(&workload).client(pause_ms_max)));
    }
    unleash(&chaos, &cluster);
    circle.iter().for_each(Circle::begin);
    let faulty_ms = dice.between(5_000, 25_000);
    let safe = Arc::new(Safe::default());
    drop(NodeRuntime::spawn(make_backup(Arc::clone(&safe), Arc::clone(&cluster), dice.split(), faulty_ms)));
    let most_ms = match plan.course {
        Course::Random => faulty_ms,
        Course::Brief => 3_000,
        Course::EachKind => 120_000,
    };
    let suffices = || {
        let broken = circle.iter().any(|circle| circle.is_broken(&history));
        broken || (seeks && cluster.faults.absent().iter().all(|fault| fault.is_final()))
    };
    watch(&history, most_ms, suffices).await;
    if history.violation().is_none() {
        settle(&chaos, &cluster, circle.as_ref().map(|circle| (circle, &*workload)), &history).await;
    }
    let life = Life { cluster, workload };
    let life = live_on(plan, &dice, life, circle.as_ref(), &safe, &history).await;
    // First, since who is pairing with a neighbour is let finish.
    conclude(&life.cluster, &life.workload, &history).await;
    if let Some(circle) = &circle {
        circle.end(&history).await;
    }
    life.workload.stop();
    history.finish();
    report.simulated_ms = global_nanos() / 1_000_000;
    report.operations = life.workload.counts();
    report.faults = life.cluster.faults.counts();
    report.midst = history.midst().counts();
    life.cluster.end();
    report
}

/// Things go wrong from now on.
fn unleash(chaos: &Arc<Chaos>, cluster: &Cluster) {
    drop(NodeRuntime::spawn(Arc::clone(chaos).rage()));
    drop(NodeRuntime::spawn(Arc::clone(chaos).roll_out()));
    if cluster.keeps_floors() {
        drop(NodeRuntime::spawn(Arc::clone(chaos).rage_at_floors()));
    }
}

/// With how many others the cluster is in a circle: with one in a few runs, and when each kind of fault is sought; with two
/// in still fewer.
fn neighbours(plan: Plan, dice: &Dice) -> usize {
    match dice.between(0, 99) {
        _ if plan.course == Course::EachKind => 1,
        0..=4 => 2,
        5..=27 => 1,
        _ => 0,
    }
}

/// Nothing goes wrong any more, and in a while everything must be well.
async fn settle(
    chaos: &Chaos,
    cluster: &Arc<Cluster>,
    circle: Option<(&Circle, &Workload)>,
    history: &History,
) {
    match circle {
        None => chaos.calm().await,
        Some((circle, ours)) => drop(join(chaos.calm(), circle.calm(ours)).await),
    }
    recover(cluster, history).await;
    if let Some((circle, _)) = circle {
        circle.recover(history).await;
    }
}

/// Makes a backup at some moment while things go wrong.
async fn make_backup(safe: Arc<Safe>, cluster: Arc<Cluster>, dice: Dice, faulty_ms: u64) {
    NodeRuntime::sleep(Duration::from_millis(dice.between(0, faulty_ms))).await;
    safe.fill(&cluster, &dice).await;
}

/// How the cluster ends, if it does: in a few runs, in more of those with a circle, in most of those with floors, and when each
/// kind is sought in both ways.
fn ends(plan: Plan, on_floors: bool, in_circle: bool, dice: &Dice) -> Vec<End> {
    let (restored, recovered) = match (on_floors, in_circle) {
        (true, _) => (45, 70),
        (false, true) => (25, 40),
        (false, false) => (11, 18),
    };
    match (plan.course, dice.between(0, 99)) {
        (Course::EachKind, _) => vec![End::Restored, End::Recovered],
        (_, number) if number < restored => vec![End::Restored],
        (_, number) if number < recovered => vec![End::Recovered],
        _ => Vec::new(),
    }
}

/// The cluster may end, and another one go on; the last one comes back.
async fn live_on(
    plan: Plan,
    dice: &Dice,
    mut life: Life,
    circle: Option<&Circle>,
    safe: &Safe,
    history: &Arc<History>,
) -> Life {
    for end in ends(plan, life.cluster.keeps_floors(), circle.is_some(), dice) {
        // Of half of those that end all must be there before, as of those that live on; in the others clients go on to the end.
        if plan.course != Course::EachKind && dice.percent(50) {
            conclude(&life.cluster, &life.workload, history).await;
        }
        if history.violation().is_some() {
            break;
        }
        match life.end(end, safe, history, dice).await {
            Ok(Some(next)) => life = next,
            Ok(None) => continue,
            Err(why) => history.accuse("liveness", format!("no cluster can begin anew: {why}")),
        }
        if let Some(circle) = circle.filter(|_| history.violation().is_none()) {
            circle.take_back(&life, history, dice).await;
        }
        if history.violation().is_none() {
            recover(&life.cluster, history).await;
        }
        if let Some(circle) = circle.filter(|_| history.violation().is_none()) {
            circle.recover(history).await;
            life.workload.show_what_was_abroad().await;
            circle.is_broken(history);
        }
    }
    life
}

/// Lets time pass until something is broken, or enough has happened.
async fn watch(history: &History, for_ms: u64, suffices: impl Fn() -> bool) {
    for _ in 0..for_ms / 50 {
        NodeRuntime::sleep(Duration::from_millis(50)).await;
        if let Some(what) = panics::first() {
            history.accuse(invariant::NO_PANIC, what);
        }
        if history.violation().is_some() || runtime::exhausted().is_some() || suffices() {
            return;
        }
    }
}
