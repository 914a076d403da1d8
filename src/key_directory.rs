//! The cluster's own pair, `etc/keys/root.crt` and `etc/keys/private.key`, as an interface on every node.
//!
//! Every node shows in `root.crt` what the cluster signs with. A new pair that an operator places on any node is adopted
//! by the whole cluster: published in the log, and activated once every node has unsealed it (see `rotation`). `scan`
//! reads both files, `plan` says what follows, and this module does it. What can't be adopted is said in the log and in
//! the node's status, and never changes what the cluster signs with.

mod plan;
mod scan;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use circlet_authority::{Action, Actor, Key, KeyOrigin, Outcome, RotateKey, State};
use circlet_token::{CertificateFacts, KeyId, SigningKey};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::announce::Announcer;
use crate::audit::{self, Audit, Change};
use crate::certificates::{self, KeyAndCertificate};
use crate::cluster::{Cluster, Decided};
use crate::home::{self, HomeError, Paths};
use crate::rotation;
use crate::seal::hex;
use crate::secret::Secret;
use crate::watched::{self, Watched};
use plan::Step;
use scan::{Certificate, PrivateKey, Scan};

/// Two readings so far apart must be equal before anything is done, so that half-written files are waited for.
const SETTLE: Duration = Duration::from_millis(200);
/// How often the cluster's side is looked at; it changes without a sign in this directory.
const LOOK: Duration = Duration::from_millis(500);
/// In the first line of a sealed private key, and of nothing else.
const SEALED_LABEL: &str = "CIRCLET SEALED PRIVATE KEY";
/// How long one file may wait for the other before that is a problem.
const PATIENCE: Duration = Duration::from_secs(2);
/// What problems with the pair are filed under.
const PAIR: &str = "etc/keys/root.crt, etc/keys/private.key";
/// The same for a pair that was set aside.
const CONFLICT: &str = "etc/keys/*.conflict";

/// When to look again: if something changes, or at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Rest,
    LookAgain,
}

/// What taking a step gave; an error is for the operator.
type Taken = Result<After, String>;

/// Which certificate a node has last shown.
#[derive(Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    shown: String,
}

/// Keeps the pair and the keyring the same. Never returns.
pub(crate) async fn run(cluster: Cluster, paths: Paths, poll: Duration, audit: Audit, watched: Arc<Watched>) {
    let changed = Arc::new(Notify::new());
    // Kept as long as the loop runs; without it, as on some file systems, polling alone must do.
    let _watcher = watched::watch(&paths.keys(), &changed);
    let mut keeper = Keeper {
        announcer: Announcer::new(cluster.clone(), paths.clone()),
        shown: read_manifest(&paths.key_manifest()),
        keys_seen: None,
        waiting: None,
        warned_of: None,
        cluster,
        paths,
        audit,
        watched,
    };
    let mut scanned = None;
    loop {
        let is_due = scanned.is_none_or(|at: Instant| at.elapsed() >= poll) || keeper.keys_have_changed();
        if is_due {
            keeper.keep().await;
            scanned = Some(Instant::now());
        }
        tokio::select! {
            () = changed.notified() => scanned = None,
            () = tokio::time::sleep(LOOK.min(poll)) => {}
        }
    }
}

/// One node's side of the keyring.
struct Keeper {
    cluster: Cluster,
    paths: Paths,
    audit: Audit,
    watched: Arc<Watched>,
    announcer: Announcer,
    shown: Option<KeyId>,
    /// The active key and the next when the pair was last looked at.
    keys_seen: Option<(Option<KeyId>, Option<KeyId>)>,
    /// What is waited for, and since when.
    waiting: Option<(String, Instant)>,
    /// The key whose file this node can't replace.
    warned_of: Option<KeyId>,
}

impl Keeper {
    fn keys_have_changed(&self) -> bool {
        self.keys_seen.as_ref() != Some(&keys_of(&self.cluster.published().view))
    }

    /// Reads, compares, acts. What can't be done now is tried again at the next look.
    async fn keep(&mut self) {
        // A view that was never proved fresh may be of long ago.
        if self.cluster.isolation_ms().is_none() {
            return;
        }
        let Some(scan) = self.settled().await else { return };
        let published = match self.cluster.fresh().await {
            Ok(published) => published,
            Err(error) => {
                tracing::debug!(%error, "the pair of keys waits for a fresh view");
                return;
            }
        };
        let view = &published.view;
        let step = plan::plan(&scan, view, self.shown.as_ref(), self.cluster.now_at(&published).secs());
        if !matches!(step, Step::Wait(_)) {
            self.waiting = None;
        }
        let taken = match &step {
            Step::Rest => self.rest(&scan, view),
            Step::ShowCertificate => self.show(view),
            Step::Adopt => self.adopt(&scan, view).await,
            Step::SealKey => self.seal(&scan, view),
            Step::Wait(why) => self.wait(why),
            Step::SetAside(why) => self.set_aside(why),
        };
        match &taken {
            Ok(_) => self.watched.problems.clear(PAIR),
            Err(problem) => self.watched.problems.set(PAIR, problem.clone()),
        }
        self.note_conflicts();
        self.keys_seen = (taken != Ok(After::LookAgain)).then(|| keys_of(view));
    }

    /// An operator may be about to place the other file.
    fn wait(&mut self, why: &str) -> Taken {
        match &self.waiting {
            Some((waited_for, since)) if waited_for == why && since.elapsed() >= PATIENCE => {
                Err(why.to_owned())
            }
            Some((waited_for, _)) if waited_for == why => Ok(After::LookAgain),
            _ => {
                self.waiting = Some((why.to_owned(), Instant::now()));
                Ok(After::LookAgain)
            }
        }
    }

    /// Both files, once two readings agree; `None` if they don't, or if they can't be read.
    async fn settled(&self) -> Option<Scan> {
        let first = self.read()?;
        tokio::time::sleep(SETTLE).await;
        let second = self.read()?;
        (first.digest == second.digest).then_some(second)
    }

    fn read(&self) -> Option<Scan> {
        scan::scan(&self.paths)
            .inspect_err(|error| {
                self.watched.problems.set(PAIR, format!("the files can't be read: {error}"));
            })
            .ok()
    }

    /// The files show the truth: remember it, and keep what lies sealed beside it up to date.
    fn rest(&mut self, scan: &Scan, view: &State) -> Taken {
        let Certificate::Read(facts) = &scan.certificate else { return Ok(After::Rest) };
        if view.active_key().is_some_and(|active| active.kid == facts.key_id) {
            self.remember(&facts.key_id);
        }
        let Some(key) = view.key(&facts.key_id) else { return Ok(After::Rest) };
        match &scan.key {
            PrivateKey::Sealed(text) if sealed_text(key, view).as_ref() != Some(text) => {
                return self.write_sealed(key, view);
            }
            PrivateKey::Plain(_) if self.warned_of.as_ref() != Some(&key.kid) => {
                tracing::warn!(
                    kid = %key.kid, file = %self.paths.private_key().display(),
                    "the private key stays readable here: its file is a link, and is left to whoever placed it"
                );
                self.warned_of = Some(key.kid.clone());
            }
            _ => {}
        }
        Ok(After::Rest)
    }

    fn show(&mut self, view: &State) -> Taken {
        let Some(active) = view.active_key() else { return Ok(After::Rest) };
        let pem = certificates::certificate_pem(&active.certificate_der);
        home::write_public(&self.paths.root_crt(), pem.as_bytes())
            .map_err(|error| format!("the cluster's certificate can't be shown: {error}"))?;
        tracing::info!(kid = %active.kid, "etc/keys/root.crt shows what the cluster signs with");
        self.remember(&active.kid);
        Ok(After::LookAgain)
    }

    /// Has the cluster adopt the pair.
    async fn adopt(&mut self, scan: &Scan, view: &State) -> Taken {
        let (PrivateKey::Plain(plain), Certificate::Read(facts)) = (&scan.key, &scan.certificate) else {
            return Ok(After::Rest);
        };
        if plain.is_open {
            tracing::warn!(
                kid = %facts.key_id, file = %self.paths.private_key().display(),
                "others than its owner can read the private key that is adopted; chmod 600 keeps it private"
            );
        }
        self.audit.admit_write().map_err(|refused| format!("the pair is not adopted: {refused}"))?;
        let decided = match self.publish(&plain.key, facts, view).await {
            Ok(decided) => decided,
            Err(error) => {
                tracing::warn!(kid = %facts.key_id, %error, "a pair of keys could not be adopted yet");
                return Ok(After::LookAgain);
            }
        };
        if let Outcome::Refused(refusal) = decided.outcome {
            return self.set_aside(&refusal.to_string());
        }
        tracing::info!(
            file = %self.paths.root_crt().display(), kid = %facts.key_id,
            common_name = %facts.common_name.as_deref().unwrap_or_default(),
            not_after = %audit::date_of(facts.not_after),
            "key pair adopted: it signs once every node has unsealed it"
        );
        rotation::record(&self.cluster, &self.audit, Change::Created, &facts.key_id, "published");
        self.announcer.announce(decided.index);
        // The next look, with a view that holds the key, seals the file.
        Ok(After::LookAgain)
    }

    async fn publish(
        &self,
        key: &SigningKey,
        facts: &CertificateFacts,
        view: &State,
    ) -> Result<Decided, Box<dyn std::error::Error + Send + Sync>> {
        let pair = KeyAndCertificate {
            certificate: facts.der.clone(),
            private_key: Secret::new(key.to_pkcs8_der().to_vec()),
        };
        let key = rotation::sealed(&self.cluster, view, &pair, KeyOrigin::Adopted)?;
        // Whoever placed the pair saw, at most, what this node had shown.
        let shown = self.shown.clone().filter(|shown| view.key(shown).is_some());
        let replaces = shown.or_else(|| view.active_key().map(|active| active.kid.clone()));
        let replaces = replaces.ok_or("no key is active yet")?;
        let publish = RotateKey::Publish { key: Box::new(key), replaces, overlap_secs: None };
        Ok(self.cluster.decide(Actor::System, Action::RotateKey(Box::new(publish))).await?)
    }

    /// The cluster has the key: the file keeps only its sealed form.
    fn seal(&self, scan: &Scan, view: &State) -> Taken {
        let Certificate::Read(facts) = &scan.certificate else { return Ok(After::Rest) };
        view.key(&facts.key_id).map_or(Ok(After::Rest), |key| self.write_sealed(key, view))
    }

    fn write_sealed(&self, key: &Key, view: &State) -> Taken {
        let Some(text) = sealed_text(key, view) else { return Ok(After::Rest) };
        home::write_secret(&self.paths.private_key(), text.as_bytes())
            .map_err(|error| format!("the private key of {} stays readable here: {error}", key.kid))?;
        tracing::info!(kid = %key.kid, "etc/keys/private.key was replaced by its sealed form");
        Ok(After::Rest)
    }

    /// Puts the pair out of the way, so that nothing of it is lost, and the truth can be shown.
    fn set_aside(&self, why: &str) -> Taken {
        for file in [self.paths.private_key(), self.paths.root_crt()] {
            if file.symlink_metadata().is_ok() {
                std::fs::rename(&file, free_name(&file)).map_err(|error| {
                    format!("the pair is not adopted, and can't be set aside ({error}): {why}")
                })?;
            }
        }
        let problem = format!(
            "a pair of keys was not adopted and set aside: {why}; remove the files, or place them again if they \
             shall replace what the cluster signs with now"
        );
        self.watched.problems.set(CONFLICT, problem);
        Ok(After::LookAgain)
    }

    /// The alarm about a pair that was set aside lasts as long as its files.
    fn note_conflicts(&self) {
        let left =
            [self.paths.root_crt(), self.paths.private_key()].iter().any(|file| conflict(file, 1).exists());
        if !left {
            self.watched.problems.clear(CONFLICT);
        } else if !self.watched.problems.all().iter().any(|(file, _)| *file == CONFLICT) {
            let problem = "a pair of keys was not adopted and set aside; the log of an earlier run says why";
            self.watched.problems.set(CONFLICT, problem.to_owned());
        }
    }

    fn remember(&mut self, kid: &KeyId) {
        if self.shown.as_ref() == Some(kid) {
            return;
        }
        let manifest = Manifest { shown: kid.as_str().to_owned() };
        let mut text = serde_json::to_vec_pretty(&manifest).expect("a text has a JSON form");
        text.push(b'\n');
        match home::write_public(&self.paths.key_manifest(), &text) {
            Ok(()) => self.shown = Some(kid.clone()),
            Err(error) => tracing::warn!(%error, "which certificate was shown could not be remembered"),
        }
    }
}

fn keys_of(view: &State) -> (Option<KeyId>, Option<KeyId>) {
    (view.active_key().map(|key| key.kid.clone()), view.next_key().map(|key| key.kid.clone()))
}

fn read_manifest(file: &Path) -> Option<KeyId> {
    let bytes = match home::read(file, "it says which certificate was shown") {
        Ok(bytes) => bytes,
        Err(HomeError::Missing { .. }) => return None,
        Err(error) => {
            tracing::warn!(%error, "which certificate was shown is not known");
            return None;
        }
    };
    let manifest: Manifest = serde_json::from_slice(&bytes).ok()?;
    KeyId::parse(&manifest.shown).ok()
}

/// What stays of a private key: of use to whoever has the master key, and to nobody else. `None` once it has retired.
fn sealed_text(key: &Key, view: &State) -> Option<String> {
    let sealed = key.private_key.as_ref()?;
    let service_id = view.service_id()?;
    let body = STANDARD.encode([&sealed.nonce[..], &sealed.ciphertext].concat());
    let under = hex(&sealed.under);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    Some(format!(
        "Key {} of {service_id}, sealed under the cluster's master key {under}.\nThe cluster keeps it; this file is not needed.\n\
         -----BEGIN {SEALED_LABEL}-----\n{}\n-----END {SEALED_LABEL}-----\n",
        key.kid,
        lines.join("\n")
    ))
}

/// `private.key.conflict`, and with a number if there are more.
fn conflict(file: &Path, number: u32) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".conflict");
    if number > 1 {
        name.push(format!("-{number}"));
    }
    PathBuf::from(name)
}

fn free_name(file: &Path) -> PathBuf {
    (1..1000)
        .map(|number| conflict(file, number))
        .find(|name| !name.exists())
        .unwrap_or_else(|| conflict(file, 1000))
}
