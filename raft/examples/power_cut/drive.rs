//! The driver: an ext4 image on a loop device, a writer on it, and the power cut at a random moment.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::model::mix;

const BATCHES: [u64; 3] = [1, 4, 16];
const IMAGE_BYTES: u64 = 256 << 20;
/// A store begins anew after this many cuts, so that its creation is cut as well.
const CUTS_PER_STORE: u64 = 5;
/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: what isn't on the device now never gets there.
const SHUTDOWN: &str = "import fcntl,os,struct,sys
fd=os.open(sys.argv[1],os.O_RDONLY)
sys.stdin.readline()
fcntl.ioctl(fd,0x8004587D,struct.pack('I',2))";

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What to do and how often.
pub(crate) struct Plan {
    pub(crate) scratch: PathBuf,
    pub(crate) rounds: u64,
    pub(crate) seed: u64,
    /// Without it the cuts must show a loss, and the run ends with the first.
    pub(crate) fdatasync: bool,
}

/// What a run showed.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) rounds: u64,
    pub(crate) acknowledged: u64,
    pub(crate) lost: Option<String>,
}

/// One store and how far it is.
struct Store {
    batch: u64,
    seed: u64,
    cuts: u64,
    /// Operations that it holds.
    count: u64,
}

/// Cuts the power round after round; stops at the first loss.
pub(crate) fn run(plan: &Plan) -> Outcome<Tally> {
    let image = plan.scratch.join("image");
    let mount = plan.scratch.join("mount");
    fs::create_dir_all(&mount)?;
    fs::File::create(&image)?.set_len(IMAGE_BYTES)?;
    tool("mkfs.ext4", &["-q", "-F", &text(&image)])?;
    tool("mount", &["-o", "loop", &text(&image), &text(&mount)])?;
    let mut stores = BATCHES.map(|batch| Store { batch, seed: mix(plan.seed ^ batch), cuts: 0, count: 0 });
    let mut tally = Tally::default();
    let result = (0..plan.rounds).try_for_each(|round| {
        let store = &mut stores[usize::try_from(round).unwrap_or(0) % BATCHES.len()];
        let result = one_round(plan, &image, &mount, round, store, &mut tally);
        tally.rounds += 1;
        result
    });
    tool("umount", &[&text(&mount)])?;
    match result {
        Err(error) if error.to_string().contains("LOST") => tally.lost = Some(error.to_string()),
        other => other?,
    }
    Ok(tally)
}

fn one_round(
    plan: &Plan,
    image: &Path,
    mount: &Path,
    round: u64,
    store: &mut Store,
    tally: &mut Tally,
) -> Outcome<()> {
    let folder = mount.join(format!("batch-{}", store.batch));
    if store.cuts == CUTS_PER_STORE {
        fs::remove_dir_all(&folder)?;
        *store = Store { seed: mix(store.seed), cuts: 0, count: 0, ..*store };
        // Otherwise the cut could bring the old store back.
        tool("sync", &["-f", &text(mount)])?;
    }
    let dice = mix(plan.seed ^ mix(round));
    let run_for = Duration::from_millis(5 + dice % 700);
    let acknowledged = write_and_cut(plan, mount, &folder, store, run_for)?;
    tool("umount", &[&text(mount)])?;
    tool("mount", &["-o", "loop", &text(image), &text(mount)])?;

    let told = acknowledged.map_or(store.count, |last| last + 1);
    let new = told - store.count;
    let found = check(&folder, store, told)?;
    tally.acknowledged += new;
    println!(
        "round {round:3}  batch {:2}  cut after {:3} ms  {new:5} acknowledged  {found:6} found of {told:6}",
        store.batch,
        run_for.as_millis(),
    );
    store.count = found;
    store.cuts += 1;
    Ok(())
}

/// Lets a writer run for a while, then takes the disk away under it; returns the last acknowledged operation.
fn write_and_cut(
    plan: &Plan,
    mount: &Path,
    folder: &Path,
    store: &Store,
    run_for: Duration,
) -> Outcome<Option<u64>> {
    let mut cutter =
        Command::new("python3").args(["-c", SHUTDOWN, &text(mount)]).stdin(Stdio::piped()).spawn()?;
    let started = Instant::now();
    let mut writer = ourselves("write", folder, store, store.count);
    if !plan.fdatasync {
        writer.arg("--no-fdatasync");
    }
    let mut writer = writer.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let out = writer.stdout.take().ok_or("no output")?;
    let reader = std::thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).filter_map(|line| line.parse().ok()).last()
    });
    std::thread::sleep(run_for.saturating_sub(started.elapsed()));
    let cut = cut(&mut cutter);
    writer.kill()?;
    writer.wait()?;
    cut?;
    Ok(reader.join().map_err(|_| "the reader panicked")?)
}

/// Pulls the plug; the cutter has the mount open and waits for a line.
fn cut(cutter: &mut Child) -> Outcome<()> {
    drop(cutter.stdin.take());
    if cutter.wait()?.success() {
        Ok(())
    } else {
        Err("the power can't be cut: is this ext4, and are we root?".into())
    }
}

/// Opens the store in a process of its own; returns how many operations it holds.
fn check(folder: &Path, store: &Store, told: u64) -> Outcome<u64> {
    if told == 0 && !folder.exists() {
        return Ok(0);
    }
    let output = ourselves("check", folder, store, told).output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?.trim().parse()?);
    }
    Err(format!("batch {}: {}", store.batch, String::from_utf8_lossy(&output.stderr).trim()).into())
}

/// This program in another role.
fn ourselves(role: &str, folder: &Path, store: &Store, count: u64) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(role).arg(folder);
    command.args([store.seed, store.batch, count].map(|number| number.to_string()));
    command
}

fn tool(name: &str, arguments: &[&str]) -> Outcome<()> {
    let output = Command::new(name).args(arguments).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
