//! Another cluster with a life of its own, of one node, in a circle with the one that everything is about: each follows the
//! other's feed. It issues and revokes; its tokens are shown to our nodes, and ours to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_sim::dice::Dice;
use circlet_sim::history::Event;
use circlet_sim::house;
use circlet_sim::mark::{Mark, Target};
use circlet_token::{KeyId, ServiceId, Subject};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client, Shown};
use crate::judge::Judge;
use crate::lab::Node;
use crate::workload::past::Past;
use crate::workload::{Held, TOKENS, Workload, lock};

/// Its number where networks are cut, and where it judges.
pub(crate) const NUMBER: u64 = 200;

/// `circle.max-staleness-ms` of both.
pub(crate) const STALENESS_MS: u64 = 2_500;

/// After a revoke its token is shown at the other cluster this much later than the bound, in milliseconds.
const LATER_MS: [u64; 5] = [10, 150, 600, 1_500, 3_000];

/// Whom its tokens speak for.
const USERS: [&str; 3] = ["dora", "emil", "fritz"];

/// It keeps so many of its tokens, the newest.
const HELD_MAX: usize = 300;

/// So many tokens of before are shown to it once a new generation has begun.
const OF_BEFORE_MAX: usize = 300;

/// Between two of its clients' requests at most, in milliseconds.
const REST_MS: u64 = 120;

/// Between two looks at something that is waited for; the whole has a deadline.
const LOOK: Duration = Duration::from_millis(200);

/// So often something is asked for that must be done in a cluster in which nothing is wrong.
const ATTEMPTS_MAX: usize = 100;

/// The other cluster and its clients.
pub(crate) struct Neighbour {
    /// Who judges what it makes of our tokens.
    judge: Arc<Judge>,
    url: String,
    service: ServiceId,
    password: String,
    client: Client,
    dice: Dice,
    /// What its administrator shows.
    token: Mutex<String>,
    held: Mutex<Vec<Held>>,
    /// The clients of the cluster that it is in a circle with.
    ours: Mutex<Arc<Workload>>,
    over: AtomicBool,
}

impl Neighbour {
    /// Makes it, and pairs it with ours, of which each node knows that then.
    pub(crate) async fn meet(ours: &Arc<Workload>, dice: Dice) -> Result<Arc<Self>, String> {
        ours.lab.run(&["neighbour"]).await?;
        let made = std::fs::read_to_string(ours.lab.folder.join("neighbour/admin.json"));
        let made: Value = serde_json::from_str(&made.map_err(|error| error.to_string())?)
            .map_err(|error| error.to_string())?;
        let service = made["service_id"].as_str().and_then(|text| ServiceId::parse(text).ok());
        let (Some(service), Some(password)) = (service, made["admin"]["password"].as_str()) else {
            return Err(format!("the neighbour can't be read: {made}"));
        };
        let this = Arc::new(Self {
            judge: Arc::new(Judge::new(None)),
            url: ours.lab.run(&["url", &NUMBER.to_string()]).await?.trim().to_owned(),
            service,
            password: password.to_owned(),
            client: ours.client.clone(),
            dice,
            token: Mutex::default(),
            held: Mutex::default(),
            ours: Mutex::new(Arc::clone(ours)),
            over: AtomicBool::new(false),
        });
        this.renew().await;
        let bound = json!({ "circle.max-staleness-ms": STALENESS_MS });
        let set = this.ask(Method::PATCH, "/circlet/v1/config", Some(&bound)).await;
        if set.as_ref().is_none_or(|answer| answer.status != 200) {
            return Err(format!("the neighbour's settings could not be changed: {set:?}"));
        }
        this.pair().await?;
        this.judge.tell(&Event::CircleBound { ms: STALENESS_MS });
        Ok(this)
    }

    /// An administrator of ours invites it, and one of its own accepts.
    pub(crate) async fn pair(&self) -> Result<(), String> {
        let ours = self.ours();
        let mut said = None;
        for _ in 0..ATTEMPTS_MAX {
            let guest = json!({ "guest": self.service.as_str() });
            let invited = ours.ask_as_administrator("/circlet/v1/circle/invitations", &guest).await;
            let invitation = invited.as_ref().and_then(|answer| answer.text("invitation"));
            if let Some(invitation) = invitation {
                let accept = json!({ "invitation": invitation, "name": "ours" });
                let accepted = self.ask(Method::POST, "/circlet/v1/circle/members", Some(&accept)).await;
                if accepted.as_ref().is_some_and(|answer| answer.status == 201) {
                    return Ok(());
                }
                said = accepted;
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(format!("no pair: {said:?}"))
    }

    /// Clients and administrators of it, until they are told to stop.
    pub(crate) async fn live(self: Arc<Self>) {
        while !self.over.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(self.dice.between(10, REST_MS))).await;
            match self.dice.between(0, 199) {
                0..=49 => drop(self.issue(self.dice.percent(60)).await),
                50..=79 => self.revoke().await,
                80 => self.mark().await,
                81 => self.taint().await,
                82..=139 => self.show_some_here().await,
                _ => self.show_some_there().await,
            }
        }
    }

    /// Nothing begins from now on; what was broken there is held against the run.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.judge.finish();
        for broken in self.judge.violations() {
            self.ours().judge.accuse(broken.invariant, format!("at the neighbour: {}", broken.what));
        }
    }

    fn ours(&self) -> Arc<Workload> {
        Arc::clone(&lock(&self.ours))
    }

    /// Something happened at ours that matters there.
    pub(crate) fn tell(&self, event: &Event) {
        self.judge.tell(event);
    }

    /// Its administrator gets another token: the one before has ended, if there was one.
    async fn renew(&self) {
        let order =
            json!({ "username": "admin", "scope": "applied-permissions/admin", "expires_in": 14_400 });
        let shown = Shown::Password("admin", &self.password);
        let answer =
            self.client.send(Method::POST, format!("{}{TOKENS}", self.url), shown, Some(&order)).await;
        if let Some(text) = answer.as_ref().and_then(|answer| answer.text("access_token")) {
            text.clone_into(&mut lock(&self.token));
        }
    }

    /// Asks as its administrator; an answer, if it isn't that the token has ended or that nothing is known.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Option<Answer> {
        let token = lock(&self.token).clone();
        let answer =
            self.client.send(method, format!("{}{path}", self.url), Shown::Token(&token), body).await?;
        if answer.status == 401 {
            self.renew().await;
        }
        (!matches!(answer.status, 401 | 429 | 503)).then_some(answer)
    }

    /// Some token of it, rather a recent one.
    fn some(&self) -> Option<Held> {
        let held = lock(&self.held);
        let recent = if self.dice.percent(70) { held.len().saturating_sub(12) } else { 0 };
        self.dice.pick(held.get(recent..)?).cloned()
    }

    async fn issue(&self, revocable: bool) -> Option<Held> {
        let order = json!({
            "username": self.dice.pick(&USERS).copied().unwrap_or("dora"),
            "scope": "applied-permissions/groups:readers",
            "expires_in": if revocable { 2_400 } else { 600 },
            "force_revocable": revocable,
        });
        let answer = self.ask(Method::POST, TOKENS, Some(&order)).await?;
        let held = Held::of(&answer, self.judge.now())?;
        self.ours().judge.count("token of the neighbour");
        let mut all = lock(&self.held);
        if all.len() >= HELD_MAX {
            all.remove(0);
        }
        all.push(held.clone());
        Some(held)
    }

    async fn revoke(self: &Arc<Self>) {
        let Some(held) = self.some().filter(|held| held.revocable) else { return };
        let path = format!("{TOKENS}/{}", held.id);
        let answer = self.ask(Method::DELETE, &path, None).await;
        if answer.is_some_and(|answer| answer.status == 200) {
            self.ours().judge.tell(&Event::RevokedAbroad { id: held.id });
            drop(tokio::spawn(Arc::clone(self).hunt_here(held)));
        }
    }

    async fn mark(self: &Arc<Self>) {
        let Some(held) = self.some() else { return };
        let order = json!({ "user": held.user });
        let answer = self.ask(Method::POST, "/circlet/v1/watermarks", Some(&order)).await;
        if let Some(index) = answer.filter(|answer| answer.status == 200).and_then(|answer| answer.index) {
            let target = Target::Subject(Subject::user(&self.service, &house::name(&held.user)).to_string());
            let mark = Arc::new(Mark { target, index, since: 0, until: u64::MAX });
            let issuer = self.service.clone();
            self.ours().judge.count("watermark of the neighbour");
            self.ours().judge.tell(&Event::MarkedAbroad { issuer, mark });
            drop(tokio::spawn(Arc::clone(self).hunt_here(held)));
        }
    }

    async fn taint(self: &Arc<Self>) {
        let answer = self.ask(Method::POST, "/circlet/v1/keys/active/taint", None).await;
        let leaked = answer.filter(|answer| answer.status == 200);
        let leaked = leaked.and_then(|answer| answer.text("kid").and_then(|kid| KeyId::parse(kid).ok()));
        let Some(kid) = leaked else { return };
        self.ours().judge.count("key of the neighbour tainted");
        self.ours().judge.tell(&Event::TaintedAbroad { kid: kid.clone() });
        let signed = lock(&self.held).iter().rev().find(|held| held.kid == kid && held.revocable).cloned();
        if let Some(held) = signed {
            drop(tokio::spawn(Arc::clone(self).hunt_here(held)));
        }
    }

    async fn show_some_here(&self) {
        let ours = self.ours();
        if let (Some(held), Some(node)) = (self.some(), self.dice.pick(&ours.lab.running())) {
            self.show_here(node, &held).await;
        }
    }

    async fn show_some_there(&self) {
        if let Some(held) = self.ours().some_token() {
            self.show_there(&held).await;
        }
    }

    /// Shows a token of it to a node of ours.
    async fn show_here(&self, node: &Node, held: &Held) -> Option<bool> {
        let ours = self.ours();
        let sent = ours.judge.now();
        let seen = seen(&ours.show(node, &held.text).await?)?;
        ours.judge.count(if seen.0 {
            "token of the neighbour accepted"
        } else {
            "token of the neighbour refused"
        });
        ours.judge.tell(&verified(node.number, &self.service, held, sent, seen));
        Some(seen.0)
    }

    /// Shows it a token of ours.
    async fn show_there(&self, held: &Held) -> Option<bool> {
        let ours = self.ours();
        let sent = self.judge.now();
        let url = format!("{}/circlet/v1/verify", self.url);
        let answer = self.client.send(Method::GET, url, Shown::Token(&held.text), None).await?;
        let seen = seen(&answer)?;
        ours.judge.count(if seen.0 { "accepted by the neighbour" } else { "refused by the neighbour" });
        self.judge.tell(&verified(NUMBER, ours.service(), held, sent, seen));
        Some(seen.0)
    }

    /// Shows a token of it that has ended to all of our nodes, from the moment on at which each must refuse it.
    async fn hunt_here(self: Arc<Self>, held: Held) {
        let begun = tokio::time::Instant::now();
        for later_ms in LATER_MS {
            tokio::time::sleep_until(begun + Duration::from_millis(STALENESS_MS + later_ms)).await;
            for node in self.ours().lab.running() {
                let (this, held) = (Arc::clone(&self), held.clone());
                drop(tokio::spawn(async move { this.show_here(&node, &held).await }));
            }
            self.ours().judge.count("ended token of the neighbour shown");
        }
    }

    /// Shows it a token of ours that has ended just now, from the moment on at which it must refuse it.
    pub(crate) async fn hunt_there(&self, held: &Held, ended: tokio::time::Instant) {
        for later_ms in LATER_MS {
            tokio::time::sleep_until(ended + Duration::from_millis(STALENESS_MS + later_ms)).await;
            self.show_there(held).await;
            self.ours().judge.count("ended token shown to the neighbour");
        }
    }

    /// The cluster that it is in a circle with is lost, and another begins: from now on these are its clients.
    pub(crate) fn begins_anew(&self, ours: &Arc<Workload>) {
        *lock(&self.ours) = Arc::clone(ours);
    }

    /// Shows a node of ours all that it has issued: of before the node's cluster began nothing counts.
    pub(crate) async fn show_all_here(&self, node: &Node) {
        let all = lock(&self.held).clone();
        for held in &all {
            self.show_here(node, held).await;
        }
    }

    /// Administrators of both pair the clusters anew; then what is issued in one is good in the other, and nothing of before is.
    pub(crate) async fn pair_anew(&self, past: &Past, generation: u64) -> Result<(), String> {
        tokio::time::sleep(Duration::from_millis(STALENESS_MS)).await;
        self.show_past_there(past).await;
        self.pair().await?;
        self.until_honoured().await;
        let (node, issuer) = (NUMBER, self.ours().service().clone());
        self.judge.tell(&Event::Follows { node, index: 0, issuer, generation });
        self.show_past_there(past).await;
        self.ours().judge.count("paired anew");
        Ok(())
    }

    async fn show_past_there(&self, past: &Past) {
        for held in past.held().take(OF_BEFORE_MAX) {
            self.show_there(held).await;
            self.ours().judge.count("token of before shown to the neighbour");
        }
    }

    /// Waits until each accepts what the other issues, though it can be revoked.
    async fn until_honoured(&self) {
        let ours = self.ours();
        loop {
            for node in ours.lab.nodes() {
                ours.issue_revocable(&node).await;
            }
            let newest = ours.held().last().cloned();
            if let Some(held) = newest.filter(|held| held.revocable)
                && self.show_there(&held).await == Some(true)
                && self.is_honoured().await
            {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn is_honoured(&self) -> bool {
        let Some(held) = self.issue(true).await else { return false };
        for node in self.ours().lab.nodes() {
            if self.show_here(&node, &held).await != Some(true) {
                return false;
            }
        }
        true
    }
}

/// Whether a verification accepted, and by which view; by which one it refuses, no node says.
fn seen(answer: &Answer) -> Option<(bool, u64)> {
    match answer.status {
        200 => Some((true, answer.body["index"].as_u64().unwrap_or(0))),
        401 => Some((false, u64::MAX)),
        _ => None,
    }
}

fn verified(node: u64, issuer: &ServiceId, held: &Held, sent: u64, (accepted, view): (bool, u64)) -> Event {
    Event::VerifiedAbroad {
        node,
        id: held.id,
        issuer: issuer.clone(),
        facts: Arc::clone(&held.facts),
        kid: held.kid.clone(),
        revocable: held.revocable,
        view,
        sent,
        accepted,
        // That a key is unknown may be right: which keys a view has can't be seen.
        unknown: false,
    }
}
