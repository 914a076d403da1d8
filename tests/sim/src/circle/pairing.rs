//! Pairing by an invitation: the product's own lines, over the way to whoever invites. Somebody on it repeats what guests and
//! hosts have said, or changes it.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{
    Action, Actor, ApproveMember, Approved, Command, InviteMember, IssuerLimits, Outcome, SealedKind, State,
    TrustIssuer,
};
use circlet_raft::Published;
use circlet_token::{CertificateFacts, ServiceId, SigningKey};
use openraft_rt::AsyncRuntime;
use sha2::{Digest, Sha256};

use super::Neighbour;
use super::guests::UnderWay;
use super::way::{Host, THIEVES, Way};
use crate::cluster::ask;
use crate::floor;
use crate::history::Event;
use crate::house::{self, Pair};
use crate::invitation::{self, Introduction, Invitation, Side};
use crate::machine::{Member, first_word};
use crate::pairing::{self, Guest, Hosts, Untold};
use crate::plant::Plant;
use crate::runtime::NodeRuntime;
use crate::scope::{self, Scope};
use crate::secret::Secret;
use crate::told;

/// How long one host may take for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a node waits until its view is proved fresh.
const FRESH_TIMEOUT: Duration = Duration::from_secs(2);
/// So many of a hundred guests arrive twice.
const TWICE_PERCENT: u64 = 20;

/// An invitation that was made.
#[derive(Clone)]
pub(crate) struct Invited {
    /// Its text.
    pub(crate) text: String,
    /// What the state keeps of it.
    pub(crate) hash: [u8; 32],
    /// As of which index it can be used.
    pub(crate) index: u64,
}

/// What was approved, as a number.
pub(crate) fn said(approved: &Approved) -> u64 {
    first_word(&Sha256::digest(format!("{approved:?}").as_bytes()))
}

/// Which invitation it is, as a number.
pub(crate) fn number(hash: &[u8; 32]) -> u64 {
    first_word(hash)
}

/// An administrator makes an invitation through this node, for a guest or for whoever is not known yet.
///
/// # Errors
/// It was not made, or nobody knows.
pub(crate) async fn invite(
    member: Arc<Member>,
    guest: Option<ServiceId>,
    hosts: Vec<String>,
    id: [u8; 16],
) -> Result<Invited, String> {
    let introduction = introduction(&member, hosts).await?;
    let scope = scope::current().ok_or("the node died")?;
    let secret = secret_of(&scope, &member.published().view, &id)?;
    let hash = invitation::hash_of(&secret);
    let invite = Action::InviteMember(InviteMember { hash, guest });
    let index = decided(&member, administrator(), invite).await?;
    let text = Invitation { id, secret, introduction: introduction.to_text() }.to_text();
    let text = text.expose_text().ok_or("an invitation is text")?.to_owned();
    Ok(Invited { text, hash, index })
}

/// An administrator accepts an invitation of a neighbour's through this node. As of which index that one is followed.
///
/// # Errors
/// It isn't, or nobody knows.
pub(crate) async fn accept(
    member: Arc<Member>,
    neighbour: Neighbour,
    text: String,
    hosts: Vec<String>,
    one_way: bool,
) -> Result<u64, String> {
    let garbled = |error: invitation::MalformedInvitation| error.to_string();
    let invitation = Invitation::parse(&text).map_err(garbled)?;
    let theirs = Introduction::parse(&invitation.introduction).map_err(garbled)?;
    let approved = theirs.to_approve(&pairing::name_of(&theirs)).map_err(garbled)?;
    let ours = introduction(&member, hosts).await?;
    if pairing::name_is_taken(&member.published().view, &approved) {
        return Err("another member has the name".to_owned());
    }
    if !one_way {
        let scope = scope::current().ok_or("the node died")?;
        let there = There { planted: scope.history().plant(), neighbour };
        let (introduction, hash) = (ours.to_text(), invitation::hash_of(&invitation.secret));
        there.speaks(&hash, &ours);
        let told = pairing::tell(&there, &approved.hosts, &invitation, &introduction).await;
        let believed = there.planted == Plant::AnyHost && matches!(told, Err(Untold::Unanswered(_)));
        if !believed {
            told.map_err(|untold| untold.to_string())?;
        }
        there.is_told(&hash, &ours);
    }
    let approve = ApproveMember { approved, invite: None, mutual: !one_way };
    follow(&member, administrator(), &theirs, approve).await.map_err(|untold| untold.to_string())
}

fn administrator() -> Actor {
    Actor::User { name: house::name("admin") }
}

/// What a cluster says of itself, by a view that was proved fresh.
async fn introduction(member: &Arc<Member>, hosts: Vec<String>) -> Result<Introduction, String> {
    let fresh = fresh(member).await?;
    Introduction::of(&fresh.view, hosts).ok_or_else(|| "there is no circle key".to_owned())
}

/// A view that was proved fresh after this was asked.
pub(crate) async fn fresh(member: &Arc<Member>) -> Result<Arc<Published<State>>, String> {
    let fresh = NodeRuntime::timeout(FRESH_TIMEOUT, member.fresh(None)).await;
    fresh.map_err(|_| "no freshness in time".to_owned())?.map_err(|error| error.0)
}

fn secret_of(scope: &Scope, view: &State, id: &[u8; 16]) -> Result<Secret, String> {
    let which = SealedKind::RefreshSecret;
    let sealed = view.sealed(&which).ok_or("there is no refresh secret")?;
    let opened = scope.ring().of(&sealed.under).and_then(|key| key.open(&which, sealed));
    let refresh = Secret::new(opened.ok_or("the refresh secret can't be had")?);
    Ok(invitation::secret_of(&refresh, id))
}

/// Has the cluster decide; the view of this node holds it then.
async fn decided(member: &Arc<Member>, actor: Actor, action: Action) -> Result<u64, String> {
    let command = Command { actor, action }.encode();
    let committed = member.propose(command).await.map_err(|error| error.to_string())?;
    floor::may_acknowledge(member, committed.index).await?;
    let outcome = Outcome::decode(&committed.outcome).map_err(|error| error.to_string())?;
    outcome.refusal().map_or(Ok(committed.index), |refusal| Err(refusal.to_string()))
}

/// Approves a member and trusts the certificates that it introduced itself with.
async fn follow(
    member: &Arc<Member>,
    actor: Actor,
    theirs: &Introduction,
    approve: ApproveMember,
) -> Result<u64, Untold> {
    let refused = |why: String| Untold::Refused(why);
    let approved = approve.approved.clone();
    let issuer = &approved.issuer;
    let certificates = pairing::certificates(theirs, issuer).map_err(|bad| refused(bad.to_string()))?;
    let approve = Action::ApproveMember(Box::new(approve));
    let index = decided(member, actor.clone(), approve).await.map_err(refused)?;
    let trust = |facts: CertificateFacts, limits| {
        let trust = Action::TrustIssuer(Box::new(trusting(facts, issuer, limits)));
        decided(member, actor.clone(), trust)
    };
    let planted = scope::current().is_some_and(|scope| scope.history().plant() == Plant::RepeatsTrusted);
    if planted {
        // As if it were the member still.
        for facts in certificates {
            let view = Arc::clone(&member.published().view);
            if view.trusted(&facts.key_id).is_none() && !view.has_ended(issuer, &facts.key_id) {
                let limits = view.shared_limits(issuer).unwrap_or_default();
                trust(facts, limits).await.map_err(refused)?;
            }
        }
        return Ok(index);
    }
    let view = || Arc::clone(&member.published().view);
    let trusted = pairing::trust_all(&approved, index, certificates, view, trust).await;
    trusted.map_err(refused)?.ok_or_else(|| refused("the guest was dismissed since".to_owned()))
}

fn trusting(facts: CertificateFacts, issuer: &ServiceId, limits: IssuerLimits) -> TrustIssuer {
    let file_name = told::file_name(issuer.ulid(), facts.key_id.as_str());
    TrustIssuer {
        kid: facts.key_id,
        algorithm: facts.algorithm,
        spki_der: facts.spki_der,
        certificate_der: facts.der,
        issuer: issuer.clone(),
        common_name: facts.common_name.unwrap_or_default(),
        not_after: crate::audit::date_of(facts.not_after),
        limits,
        file_name,
    }
}

/// What a node of whoever invites answers to a guest.
async fn paired(member: Arc<Member>, guest: Guest, under_way: UnderWay) -> Result<String, Untold> {
    let lost = |why: &str| Untold::Unanswered(why.to_owned());
    let scope = scope::current().ok_or_else(|| lost("the node died"))?;
    let fresh = fresh(&member).await.map_err(Untold::Unanswered)?;
    let secret = secret_of(&scope, &fresh.view, &guest.id).map_err(Untold::Unanswered)?;
    let unproved = Guest { proof: invitation::prove(&secret, Side::Guest, &guest.introduction), ..guest };
    let proved = Guest { proof: guest.proof, ..unproved.clone() };
    // Where that is planted, whoever comes has proved that he knows the secret.
    let believed = if scope.history().plant() == Plant::AnyGuest { &unproved } else { &proved };
    let heard = pairing::heard(&secret, believed);
    let (theirs, approve) = heard.map_err(|unheard| Untold::Refused(unheard.to_string()))?;
    follow(&member, Actor::System, &theirs, approve).await?;
    drop(under_way);
    Ok(invitation::prove(&secret, Side::Host, &proved.introduction))
}

/// The hosts of whoever invited, over the way to them.
struct There {
    planted: Plant,
    neighbour: Neighbour,
}

impl There {
    fn way(&self) -> &Way {
        &self.neighbour.way
    }

    /// Whoever invited is told, for the judges alone, what is said by somebody who has the invitation.
    fn speaks(&self, hash: &[u8; 32], ours: &Introduction) {
        self.neighbour.hears_guest(hash, ours);
    }

    /// The guest has been told that it is followed.
    fn is_told(&self, hash: &[u8; 32], ours: &Introduction) {
        let (Some(theirs), Some(who)) = (self.neighbour.cluster(), said_by(ours)) else { return };
        theirs.history.tell(&Event::GuestTold { invite: number(hash), who });
    }

    /// Somebody changes what a guest says on its way: his circle key in place of the guest's.
    fn changed(guest: &Guest) -> Option<Guest> {
        let said = Introduction::parse(&guest.introduction).ok()?;
        let issuer = ServiceId::parse(&said.service_id).ok()?;
        Some(Guest { introduction: stranger(&issuer, said.hosts).to_text(), ..guest.clone() })
    }
}

impl Hosts for There {
    async fn pair(&self, host: &str, guest: &Guest) -> Result<String, Untold> {
        let way = self.way();
        let lost = |why: &str| Untold::Unanswered(why.to_owned());
        // Guests are few, so whoever lies doesn't wait for them to come.
        let host_there = match way.dice().between(0, 99) {
            _ if way.host() != Host::Honest => way.host(),
            0..=7 => Host::Replays,
            8..=24 => Host::Forges,
            _ => Host::Honest,
        };
        match host_there {
            Host::Honest => {
                way.overhear_guest(guest);
                if way.dice().percent(TWICE_PERCENT) {
                    self.neighbour.repeat_guest();
                }
                let proof = self.neighbour.carry(host, guest.clone()).await?;
                way.overhear_proof(&proof);
                Ok(proof)
            }
            Host::Replays => {
                self.neighbour.repeat_guest();
                way.repeated_proof().ok_or_else(|| lost("nothing was heard yet"))
            }
            Host::Forges => {
                if let Some(changed) = Self::changed(guest).filter(|_| way.dice().percent(60)) {
                    return self.neighbour.carry(host, changed).await;
                }
                Ok(guest.proof.clone())
            }
        }
    }
}

impl Neighbour {
    /// The neighbours are told of a guest; it may never arrive, nor the answer.
    async fn carry(&self, host: &str, guest: Guest) -> Result<String, Untold> {
        let lost = |why: &str| Untold::Unanswered(why.to_owned());
        let carried = async {
            self.way.ask().await;
            let under_way = self.cluster().ok_or_else(|| lost("the neighbours are gone"))?.guests.begin();
            let host = self.host(host, self.way.dice()).ok_or_else(|| lost("nobody is there"))?;
            let answer = ask(&host, move |member| paired(member, guest, under_way)).await;
            let answer = answer.ok_or_else(|| lost("the host died"))??;
            self.way.answer().await;
            Ok(answer)
        };
        let carried = NodeRuntime::timeout(ANSWER_TIMEOUT, carried).await;
        carried.unwrap_or_else(|_| Err(lost("no answer in time")))
    }

    /// Somebody repeats to the neighbours what a guest of theirs has said, and gets nothing of it.
    pub(crate) fn repeat_guest(&self) {
        let Some(guest) = self.way.repeated_guest() else { return };
        let neighbour = self.clone();
        let repeating = async move { drop(neighbour.carry("", guest).await) };
        scope::outside(|| drop(NodeRuntime::spawn(repeating)));
    }

    /// Somebody has found an invitation of the neighbours', and comes with it in a name of his own or of this cluster.
    pub(crate) async fn find(&self, text: &str, name: &ServiceId) -> Result<(), String> {
        let invitation = Invitation::parse(text).map_err(|error| error.to_string())?;
        let ours = stranger(name, vec!["https://somewhere".to_owned()]);
        self.hears_guest(&invitation::hash_of(&invitation.secret), &ours);
        let came = self.carry("", Guest::with(&invitation, ours.to_text())).await;
        came.map(|_| ()).map_err(|untold| untold.to_string())
    }

    /// The judges of the neighbours learn what somebody says who has an invitation of theirs.
    fn hears_guest(&self, hash: &[u8; 32], ours: &Introduction) {
        let (Some(theirs), Some(who)) = (self.cluster(), said_by(ours)) else { return };
        theirs.history.tell(&Event::GuestSpoke { invite: number(hash), who });
    }
}

/// What an introduction has whoever hears it approve, as a number.
fn said_by(ours: &Introduction) -> Option<u64> {
    ours.to_approve(&pairing::name_of(ours)).ok().map(|approved| said(&approved))
}

/// How somebody introduces himself in this name who has nothing of its owner's.
fn stranger(name: &ServiceId, hosts: Vec<String>) -> Introduction {
    let circle_key = SigningKey::from_ed25519_seed(&house::seed(THIEVES)).spki_der();
    let approved = Approved {
        issuer: name.clone(),
        name: String::new(),
        circle_key,
        hosts,
        ca_certificate_der: Vec::new(),
    };
    let pair = Pair::named(name, THIEVES);
    Introduction::of_member(&approved, std::iter::once(pair.certificate()))
}
