//! Runs seeds, and says what was found: exit 0 if nothing was, 1 if an invariant was broken, or a search that was to be complete
//! wasn't, 2 if that can't be said: a planted bug wasn't caught, or a file can't be written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use circlet_sim::fault::Fault;
use circlet_sim::history::Violation;
use circlet_sim::invariant;
use circlet_sim::midst::Change;
use circlet_sim::plant::Plant;
use circlet_sim::proof::PROOFS;
use circlet_sim::run::{Plan, Report, run};
use circlet_sim::workload::kinds;
use clap::Parser;

/// Every kind of fault and of request should happen in so many seeds: what never does proves nothing.
const SEEDS_FOR_ALL_KINDS: u64 = 200;
/// And in so many what comes seldom comes in the midst of what is short.
const SEEDS_FOR_SELDOM: u64 = 1_000;
/// So many seeds run unless somebody says how many.
const SEEDS: u64 = 100;
/// And so many at most where a bug is planted: the search ends with the first that catches it.
const SEEDS_PLANTED_MAX: u64 = 1_000;

/// Runs whole clusters on simulated networks, disks and clocks; one seed decides everything.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds to run [default: 100; until it is caught, but at most 1000, where a bug is planted].
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Write the events of the last run, or of the first that fails, to this file.
    #[arg(long, conflicts_with = "plants")]
    trace: Option<PathBuf>,
    /// Plant a bug, which must be caught; "list" names them.
    #[arg(long)]
    plant: Option<String>,
    /// Fail as well if something that should happen in so many seeds never did. Whether rare things come depends on which seeds
    /// these are.
    #[arg(long, conflicts_with_all = ["plant", "plants", "invariants"])]
    complete: bool,
    /// Only the invariant of this name judges.
    #[arg(long, value_parser = invariant_named)]
    by: Option<&'static str>,
    /// Plant each bug in turn, and say how many seeds it took to catch it.
    #[arg(long)]
    plants: bool,
    /// For each invariant plant a bug that it must catch by itself, and say how many seeds that took.
    #[arg(long)]
    invariants: bool,
    /// Seeds that run at once.
    #[arg(long, default_value_t = 1)]
    threads: u64,
}

/// What is sought in seeds.
#[derive(Clone, Copy)]
struct Case {
    plant: Plant,
    /// The one invariant that judges, if not all do.
    by: Option<&'static str>,
}

impl Case {
    fn plan(self, seed: u64) -> Plan {
        Plan { seed, plant: self.plant, by: self.by, ..Plan::default() }
    }
}

impl Arguments {
    /// How many seeds run at most with this bug planted.
    fn seeds(&self, plant: Plant) -> u64 {
        self.seeds.unwrap_or(if plant == Plant::None { SEEDS } else { SEEDS_PLANTED_MAX })
    }
}

fn invariant_named(name: &str) -> Result<&'static str, String> {
    let unknown = || format!("no invariant is called {name}; each is a file in tests/sim/src/invariant");
    invariant::named(name).ok_or_else(unknown)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    answer(&arguments, &mut io::stdout()).unwrap_or_else(|error| {
        // Nobody may be there to read it.
        let _ = writeln!(io::stderr(), "error: {error}");
        ExitCode::from(2)
    })
}

fn answer(arguments: &Arguments, out: &mut impl Write) -> io::Result<ExitCode> {
    let plant = match arguments.plant.as_deref() {
        None => Plant::None,
        Some("list") => {
            // Each of these must be caught.
            let mut harmful = Plant::ALL.iter().filter(|(plant, _)| !plant.is_harmless());
            harmful.try_for_each(|(_, name)| writeln!(out, "{name}"))?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(name) => {
            let unknown =
                || io::Error::other(format!("no bug is called {name}\n\nhint: --plant list names them"));
            Plant::named(name).ok_or_else(unknown)?
        }
    };
    if arguments.complete && arguments.seeds(plant) < SEEDS_FOR_ALL_KINDS {
        let why = format!("fewer than {SEEDS_FOR_ALL_KINDS} seeds are never complete");
        return Err(io::Error::other(format!("{why}\n\nhint: --complete --seeds {SEEDS_FOR_ALL_KINDS}")));
    }
    if arguments.plants {
        return prove_plants(arguments, out);
    }
    if arguments.invariants {
        return prove_invariants(arguments, out);
    }
    // Now, since a search may take days.
    let trace = arguments.trace.as_deref().map(create).transpose()?;
    let case = Case { plant, by: arguments.by };
    let found = search(arguments, case, true, out)?;
    let last = found.done.checked_sub(1).map(|before| arguments.from + before);
    let traced = found.failed.as_ref().map(|(seed, _)| *seed).or(last);
    let code = match &found.failed {
        Some((seed, report)) => {
            show(case, *seed, report, out)?;
            1
        }
        None if plant != Plant::None => {
            writeln!(out, "\n{} was not caught in {} seeds", plant.name(), found.done)?;
            if plant.is_harmless() { 0 } else { 2 }
        }
        None if !found.absent.is_empty() => {
            writeln!(out, "\nnever happened in {} seeds: {}", found.done, found.absent.join(", "))?;
            u8::from(arguments.complete)
        }
        None => 0,
    };
    if let (Some(seed), Some(file)) = (traced, trace) {
        write_trace(file, Plan { keeps_lines: true, ..case.plan(seed) })?;
    }
    Ok(ExitCode::from(code))
}

/// What many runs came to.
#[derive(Default)]
struct Found {
    done: u64,
    failed: Option<(u64, Report)>,
    /// Kinds of faults and requests that should have happened by now.
    absent: Vec<String>,
}

impl Found {
    /// How many seeds it took, whichever others ran beside them.
    fn until_failed(&self, from: u64) -> u64 {
        self.failed.as_ref().map_or(self.done, |(seed, _)| seed - from + 1)
    }
}

/// Runs seeds until one fails; of several at once the first counts.
fn search(arguments: &Arguments, case: Case, talks: bool, out: &mut impl Write) -> io::Result<Found> {
    let seeds = arguments.seeds(case.plant);
    let (next, end) = (AtomicU64::new(arguments.from), arguments.from + seeds);
    let over = AtomicBool::new(false);
    let (sender, reports) = channel();
    std::thread::scope(|threads| {
        for _ in 0..arguments.threads.max(1) {
            let (sender, next, over) = (sender.clone(), &next, &over);
            threads.spawn(move || work(case, next, end, over, &sender));
        }
        drop(sender);
        gather(seeds, talks, &reports, &over, out)
    })
}

fn work(case: Case, next: &AtomicU64, end: u64, over: &AtomicBool, reports: &Sender<(u64, Report)>) {
    while !over.load(Ordering::SeqCst) {
        let seed = next.fetch_add(1, Ordering::SeqCst);
        if seed >= end {
            return;
        }
        let report = run(case.plan(seed));
        if report.violation.is_some() {
            over.store(true, Ordering::SeqCst);
        }
        if reports.send((seed, report)).is_err() {
            return;
        }
    }
}

fn gather(
    seeds: u64,
    talks: bool,
    reports: &Receiver<(u64, Report)>,
    over: &AtomicBool,
    out: &mut impl Write,
) -> io::Result<Found> {
    let begun = Instant::now();
    let mut said = begun;
    let mut found = Found::default();
    let mut sums = Sums::default();
    for (seed, report) in reports {
        found.done += 1;
        sums.add(&report);
        if report.violation.is_some() && found.failed.as_ref().is_none_or(|(first, _)| seed < *first) {
            found.failed = Some((seed, report));
        }
        if talks && said.elapsed() > Duration::from_secs(5) {
            said = Instant::now();
            writeln!(out, "{} of {seeds} seeds", found.done)?;
        }
    }
    over.store(true, Ordering::SeqCst);
    if found.done >= SEEDS_FOR_ALL_KINDS {
        found.absent = sums.absent(found.done >= SEEDS_FOR_SELDOM);
    }
    if talks {
        sums.print(found.done, begun.elapsed(), out)?;
    }
    Ok(found)
}

#[derive(Default)]
struct Sums {
    steps: u64,
    simulated_ms: u64,
    operations: BTreeMap<&'static str, u64>,
    faults: BTreeMap<Fault, u64>,
    midst: BTreeMap<(Change, Fault), u64>,
}

impl Sums {
    fn add(&mut self, report: &Report) {
        self.steps += report.steps;
        self.simulated_ms += report.simulated_ms;
        for (what, count) in &report.operations {
            *self.operations.entry(what).or_default() += count;
        }
        for (fault, count) in &report.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (pair, count) in &report.midst {
            *self.midst.entry(*pair).or_default() += count;
        }
    }

    /// What should happen and never did; in very many seeds also what comes seldom.
    fn absent(&self, with_seldom: bool) -> Vec<String> {
        let faults = Fault::ALL.iter().filter(|fault| !self.faults.contains_key(fault));
        let is_absent = |what: &&str| self.operations.get(what).is_none_or(|count| *count == 0);
        let seldom = kinds::SELDOM.iter().filter(|_| with_seldom);
        let operations = kinds::ALWAYS.iter().chain(seldom).copied().filter(is_absent);
        let names = faults.map(|fault| fault.name()).chain(operations).map(str::to_owned);
        let must = Change::ALL.into_iter().flat_map(Change::must_bear);
        let seldom = Change::ALL.into_iter().filter(|_| with_seldom).flat_map(Change::bears_seldom);
        let pairs = must.chain(seldom).filter(|(change, fault)| self.in_midst(*change, *fault) == 0);
        names
            .chain(pairs.map(|(change, fault)| format!("{} in the midst of {}", fault.name(), change.name())))
            .collect()
    }

    fn print(&self, done: u64, took: Duration, out: &mut impl Write) -> io::Result<()> {
        let per_hundred_seconds = u128::from(done) * 100_000 / took.as_millis().max(1);
        let (whole, part) = (per_hundred_seconds / 100, per_hundred_seconds % 100);
        writeln!(out, "{done} seeds in {} s, {whole}.{part:02} a second", took.as_secs())?;
        writeln!(out, "{} steps in {} simulated seconds", self.steps, self.simulated_ms / 1_000)?;
        writeln!(out, "operations:")?;
        self.operations.iter().try_for_each(|(what, count)| writeln!(out, "  {count:>9} {what}"))?;
        writeln!(out, "faults:")?;
        Fault::ALL.iter().try_for_each(|fault| {
            let count = self.faults.get(fault).copied().unwrap_or(0);
            writeln!(out, "  {count:>9} {}", fault.name())
        })?;
        writeln!(out, "faults in the midst of a change:")?;
        Change::ALL.iter().try_for_each(|change| {
            let counts: Vec<_> =
                change.must_bear().map(|(change, fault)| (self.in_midst(change, fault), fault)).collect();
            let sum: u64 = counts.iter().map(|(count, _)| count).sum();
            let (fewest, rarest) =
                counts.iter().min().map_or((0, ""), |(count, fault)| (*count, fault.name()));
            let seldom: Vec<_> = change.bears_seldom().collect();
            let never = seldom.iter().filter(|(change, fault)| self.in_midst(*change, *fault) == 0);
            let never: Vec<&str> = never.map(|(_, fault)| fault.name()).collect();
            let more = match (seldom.len(), never.len()) {
                (0, _) => String::new(),
                (all, 0) => format!("; all {all} that come seldom"),
                (all, _) => format!("; of {all} that come seldom not yet: {}", never.join(", ")),
            };
            writeln!(
                out,
                "  {sum:>9} {}, of {} kinds; fewest: {fewest} {rarest}{more}",
                change.name(),
                counts.len()
            )
        })
    }

    fn in_midst(&self, change: Change, fault: Fault) -> u64 {
        self.midst.get(&(change, fault)).copied().unwrap_or(0)
    }
}

/// Says what was broken and how to see it again.
fn show(case: Case, seed: u64, report: &Report, out: &mut impl Write) -> io::Result<()> {
    let Some(violation) = &report.violation else { return Ok(()) };
    writeln!(out, "\nseed {seed}: {} is broken", violation.invariant)?;
    // As the lines of a trace begin.
    let Violation { cluster, step, at_ms, what, .. } = violation;
    writeln!(out, "  step {step} of c{cluster}, {at_ms} ms: {what}")?;
    let Case { plant, by } = case;
    let planted = if plant == Plant::None { String::new() } else { format!(" --plant {}", plant.name()) };
    let judged = by.map_or_else(String::new, |by| format!(" --by {by}"));
    writeln!(
        out,
        "replay: cargo run --release -p circlet-sim -- --seeds 1 --from {seed}{planted}{judged} --trace seed-{seed}.log"
    )
}

fn create(file: &Path) -> io::Result<File> {
    File::create(file)
        .map_err(|error| io::Error::other(format!("{} can't be written: {error}", file.display())))
}

fn write_trace(file: File, plan: Plan) -> io::Result<()> {
    let report = run(plan);
    let mut file = BufWriter::new(file);
    report.lines.iter().try_for_each(|line| writeln!(file, "{line}"))?;
    file.flush()
}

/// The table of planted bugs; fails if one isn't caught that does harm.
fn prove_plants(arguments: &Arguments, out: &mut impl Write) -> io::Result<ExitCode> {
    let mut escaped = false;
    writeln!(out, "| planted | seeds until caught | by |\n|---|---|---|")?;
    for (plant, name) in Plant::ALL {
        let found = search(arguments, Case { plant: *plant, by: arguments.by }, false, out)?;
        let seeds = found.until_failed(arguments.from);
        // A run that was broken off was caught by nobody.
        let broken = found.failed.and_then(|(_, report)| report.violation);
        let broken = broken.filter(|violation| invariant::named(violation.invariant).is_some());
        escaped |= broken.is_none() != plant.is_harmless();
        let by = broken.map_or("nothing", |violation| violation.invariant);
        writeln!(out, "| {name} | {seeds} | {by} |")?;
    }
    Ok(if escaped { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// The table of invariants, each with a bug that it catches by itself; fails if one doesn't.
fn prove_invariants(arguments: &Arguments, out: &mut impl Write) -> io::Result<ExitCode> {
    let mut escaped = false;
    writeln!(out, "| invariant | catches by itself | seeds until caught |\n|---|---|---|")?;
    for (invariant, plant) in PROOFS {
        let found = search(arguments, Case { plant: *plant, by: Some(invariant) }, false, out)?;
        let seeds = found.until_failed(arguments.from);
        let broken = found.failed.and_then(|(_, report)| report.violation);
        let caught = broken.is_some_and(|violation| violation.invariant == *invariant);
        let seeds = if caught { seeds.to_string() } else { format!("not in {seeds}") };
        escaped |= !caught;
        writeln!(out, "| {invariant} | {} | {seeds} |", plant.name())?;
    }
    Ok(if escaped { ExitCode::from(1) } else { ExitCode::SUCCESS })
}
