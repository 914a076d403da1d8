//! The directory of trusted certificates, `etc/keys/trusted`, as an interface to the circle of trust on every node.
//!
//! A certificate dropped there becomes trusted by the whole cluster; one removed while the node runs is distrusted; and
//! every node's directory then shows the replicated truth. `scan` reads the directory, `merge` compares three sides
//! (what is there, what this node last saw and wrote, what the cluster decided) and says what to do, and this module
//! does it. What the node did not see happen is not an intention: see `merge::plan`.

mod flapping;
mod manifest;
mod merge;
mod scan;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use circlet_authority::{Action, Actor, DistrustIssuer, Outcome, State, TrustIssuer, TrustedIssuer};
use circlet_token::{CertificateFacts, KeyId, ServiceId};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::announce::Announcer;
use crate::audit::{self, Audit, Change, Entity, Line};
use crate::certificates;
use crate::cluster::Cluster;
use crate::home::{self, Paths};
use crate::watched::{self, Watched};
use flapping::Flapping;
use manifest::Manifest;
use merge::{Seen, Step};
use scan::Scan;

/// Two readings so far apart must be equal before anything is done, so that half-written files are waited for.
const SETTLE: Duration = Duration::from_millis(200);
/// How often the cluster's side is looked at; it changes without a sign in this directory.
const LOOK: Duration = Duration::from_millis(500);
/// The ending of a file that the cluster has distrusted.
const ASIDE: &str = "distrusted";

/// Keeps directory and circle the same. Never returns.
pub(crate) async fn run(cluster: Cluster, paths: Paths, poll: Duration, audit: Audit, watched: Arc<Watched>) {
    let changed = Arc::new(Notify::new());
    // Kept as long as the loop runs; without it, as on some file systems, polling alone must do.
    let _watcher = watched::watch(&paths.trusted(), &changed);
    let mut keeper = Keeper {
        announcer: Announcer::new(cluster.clone(), paths.clone()),
        manifest: Manifest::read(&paths.trust_manifest()),
        seen: Seen::default(),
        flapping: Flapping::default(),
        circle_seen: None,
        audit,
        cluster,
        paths,
    };
    let mut scanned = None;
    loop {
        let is_due = scanned.is_none_or(|at: Instant| at.elapsed() >= poll) || keeper.circle_has_changed();
        if is_due {
            watched.trusted.begin();
            keeper.keep().await;
            watched.trusted.end();
            scanned = Some(Instant::now());
        }
        tokio::select! {
            () = changed.notified() => scanned = None,
            () = watched.trusted.wanted() => scanned = None,
            () = tokio::time::sleep(LOOK.min(poll)) => {}
        }
    }
}

/// One node's side of the circle of trust.
struct Keeper {
    cluster: Cluster,
    paths: Paths,
    /// What this node last saw and wrote; `None` if it has no memory of the directory.
    manifest: Option<Manifest>,
    /// What it has seen with its own eyes since it started.
    seen: Seen,
    flapping: Flapping,
    announcer: Announcer,
    audit: Audit,
    /// The certificates that the cluster trusted when the directory was last merged.
    circle_seen: Option<Vec<KeyId>>,
}

impl Keeper {
    fn circle_has_changed(&self) -> bool {
        let view = &self.cluster.published().view;
        let circle: Vec<KeyId> = view.circle().map(|issuer| issuer.kid.clone()).collect();
        self.circle_seen.as_ref() != Some(&circle)
    }

    /// Reads, compares, acts. What can't be done now is tried again at the next look.
    async fn keep(&mut self) {
        // A view that was never proved fresh may be of long ago.
        if self.cluster.isolation_ms().is_none() {
            return;
        }
        let Some(scan) = settled(&self.paths.trusted()).await else { return };
        let published = match self.cluster.fresh().await {
            Ok(published) => published,
            Err(error) => {
                tracing::debug!(%error, "the trusted directory waits for a fresh view");
                return;
            }
        };
        let steps = merge::plan(&scan, self.manifest.as_ref(), &self.seen, &published.view);
        let mut manifest = self.manifest.take().unwrap_or_default();
        let mut complete = true;
        for step in steps {
            complete &= self.take(&step, &scan, &published.view, &mut manifest).await;
        }
        manifest.index = published.index;
        if let Err(error) = manifest.write(&self.paths.trust_manifest()) {
            tracing::warn!(%error, "the memory of the trusted directory could not be written");
        }
        for file in self.seen.note(&scan) {
            tracing::warn!(%file, "a file in the trusted directory is not a certificate, or not yet; it is waited for");
        }
        self.manifest = Some(manifest);
        let circle = published.view.circle().map(|issuer| issuer.kid.clone()).collect();
        self.circle_seen = complete.then_some(circle);
    }

    /// Takes one step; false if it must be tried again.
    async fn take(&mut self, step: &Step, scan: &Scan, view: &State, manifest: &mut Manifest) -> bool {
        match step {
            Step::Trust { file } => match scan.certificates.get(file) {
                Some(facts) => self.trust(file, facts, view, manifest).await,
                None => true,
            },
            Step::Distrust { kid } => match view.trusted(kid) {
                Some(issuer) => self.distrust(issuer, manifest).await,
                None => true,
            },
            Step::Show { kid, file } => match view.trusted(kid) {
                Some(issuer) => self.show(issuer, file, manifest),
                None => true,
            },
            Step::MoveAside { file, kid } => self.move_aside(file, kid, manifest),
            Step::Note { kid, file } => {
                manifest.put(kid, file);
                true
            }
            Step::Forget { kid } => {
                manifest.remove(kid);
                true
            }
        }
    }

    async fn trust(
        &mut self,
        file: &str,
        facts: &CertificateFacts,
        view: &State,
        manifest: &mut Manifest,
    ) -> bool {
        let kid = &facts.key_id;
        let common_name = facts.common_name.clone().unwrap_or_default();
        let not_after = audit::date_of(facts.not_after);
        let Some(issuer) = facts.issuer.clone() else {
            if self.seen.complain(file, kid) {
                tracing::warn!(
                    %file, %kid, %common_name, "a certificate in the trusted directory is ignored: its common name \
                     does not end with a service id; trust it with `circlet trust add --service-id`"
                );
            }
            return true;
        };
        if self.seen.has_complained(file, kid) || !self.flapping.allows(kid) {
            return true;
        }
        let action = TrustIssuer {
            kid: kid.clone(),
            algorithm: facts.algorithm,
            spki_der: facts.spki_der.clone(),
            certificate_der: facts.der.clone(),
            issuer: issuer.clone(),
            common_name: common_name.clone(),
            not_after: not_after.clone(),
            limits: merge::limits_of(view, &issuer),
            file_name: file.to_owned(),
        };
        if self.audit.admit_write().is_err() {
            return false;
        }
        let decided = self.cluster.decide(Actor::System, Action::TrustIssuer(Box::new(action))).await;
        match decided.map(|decided| (decided.index, decided.outcome)) {
            Ok((index, Outcome::Done)) => {
                tracing::info!(%file, %kid, %common_name, %issuer, %not_after, "certificate trusted");
                self.record(
                    Change::Created,
                    &issuer,
                    json!({"added": {
                        "kid": kid.as_str(), "serviceId": issuer.as_str(), "commonName": common_name,
                        "notAfter": not_after, "file": file,
                    }}),
                );
                manifest.put(kid, file);
                self.announcer.announce(index);
                true
            }
            Ok((_, Outcome::Refused(refusal))) => {
                if self.seen.complain(file, kid) {
                    tracing::warn!(%file, %kid, %common_name, %refusal, "a certificate in the trusted directory is refused");
                }
                true
            }
            Ok((_, outcome)) => {
                tracing::warn!(%file, %kid, ?outcome, "unexpected outcome of trusting a certificate");
                true
            }
            Err(error) => {
                tracing::warn!(%file, %kid, %error, "a certificate could not be trusted yet");
                false
            }
        }
    }

    async fn distrust(&mut self, issuer: &TrustedIssuer, manifest: &mut Manifest) -> bool {
        let kid = &issuer.kid;
        if !self.flapping.allows(kid) {
            return true;
        }
        if self.audit.admit_write().is_err() {
            return false;
        }
        let action = Action::DistrustIssuer(DistrustIssuer { kid: kid.clone() });
        match self.cluster.decide(Actor::System, action).await {
            Ok(decided) => {
                tracing::info!(
                    file = %issuer.file_name, %kid, common_name = %issuer.common_name, issuer = %issuer.issuer,
                    not_after = %issuer.not_after, "certificate distrusted: its file was removed"
                );
                self.record(
                    Change::Deleted,
                    &issuer.issuer,
                    json!({"removed": {
                        "kid": kid.as_str(), "serviceId": issuer.issuer.as_str(), "file": issuer.file_name,
                    }}),
                );
                manifest.remove(kid);
                self.announcer.announce(decided.index);
                true
            }
            Err(error) => {
                tracing::warn!(%kid, %error, "a certificate could not be distrusted yet");
                false
            }
        }
    }

    /// The audit line of what a file in the directory, or its removal, has changed.
    fn record(&self, change: Change, issuer: &ServiceId, data: Value) {
        if self.cluster.published().view.config().audit_enabled {
            self.audit.record(&Line::by_node(change, Entity::Trust, issuer.as_str(), data));
        }
    }

    /// Writes the file of a certificate that another node, or a person elsewhere, has brought in.
    fn show(&mut self, issuer: &TrustedIssuer, file: &str, manifest: &mut Manifest) -> bool {
        let path = self.paths.trusted().join(file);
        let pem = certificates::certificate_pem(&issuer.certificate_der);
        match home::write_public(&path, pem.as_bytes()) {
            Ok(()) => {
                tracing::info!(
                    %file, kid = %issuer.kid, common_name = %issuer.common_name, issuer = %issuer.issuer,
                    not_after = %issuer.not_after, "certificate of the circle written"
                );
                manifest.put(&issuer.kid, file);
                self.seen.shown(&issuer.kid);
                true
            }
            Err(error) => {
                if self.seen.complain(file, &issuer.kid) {
                    tracing::warn!(%error, "the trusted directory can't show the circle of trust");
                }
                true
            }
        }
    }

    fn move_aside(&mut self, file: &str, kid: &KeyId, manifest: &mut Manifest) -> bool {
        let path = self.paths.trusted().join(file);
        let aside = self.paths.trusted().join(format!("{file}.{ASIDE}"));
        match std::fs::rename(&path, &aside) {
            Ok(()) => {
                tracing::info!(%file, %kid, aside = %aside.display(), "moved aside: the cluster distrusts it");
                manifest.remove(kid);
            }
            Err(error) => {
                if self.seen.complain(file, kid) {
                    tracing::warn!(%file, %kid, %error, "a distrusted certificate could not be moved aside");
                }
            }
        }
        true
    }
}

/// What the directory holds, once two readings agree; `None` if they don't, or if it can't be read.
async fn settled(directory: &Path) -> Option<Scan> {
    let first = read(directory)?;
    tokio::time::sleep(SETTLE).await;
    let second = read(directory)?;
    (first.digest == second.digest).then_some(second)
}

fn read(directory: &Path) -> Option<Scan> {
    let scan = scan::scan(directory);
    scan.inspect_err(
        |error| tracing::debug!(%error, "the trusted directory can't be read; nothing follows from that"),
    )
    .ok()
}
