//! Following one member: question after question, while this node leads.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, Approved, FollowFeed, FollowStep, Member, Progress, State};
use circlet_raft::{Instants, Published};
use circlet_token::feed::{
    FEED_ANSWER_BYTES_MAX, FeedAnswer, FeedEntry, FeedFault, FeedHeard, FeedPosition, FeedStep, Question,
    Succession, Taken, check_answer,
};

use super::ask::{self, Unanswered};
use super::told;
use crate::cluster::{Cluster, Unavailable};
use crate::seal::hex;

/// After something went wrong.
const PAUSE: Duration = Duration::from_millis(500);
/// After something that only a person or time can mend.
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// An answer may take so much longer than it was asked to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// So many times within `circle.max-isolation` it is noted that a member answers.
const CONTACTS: u64 = 4;

/// Why a question led nowhere.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("{0}")]
    Undecided(#[from] Unavailable),
    #[error("{0}")]
    Fault(FeedFault),
    #[error("its feed has more entries than circle.feed-entries-max allows")]
    OverQuota,
    #[error("its next circle key is refused: {0}")]
    CircleKey(String),
}

/// Follows a member until it is dismissed or approved anew.
pub(super) async fn member(cluster: Cluster, approved: Approved, since_index: u64) {
    let (issuer, name) = (&approved.issuer, &approved.name);
    let http = match ask::client(&approved.ca_certificate_der) {
        Ok(http) => http,
        Err(error) => {
            tracing::error!(%issuer, name, %error, "a member can't be asked");
            return;
        }
    };
    let mut follower =
        Follower { cluster, approved: &approved, since_index, http, host: 0, read_list: false, well: true };
    while let Some(published) = follower.present() {
        let Some(member) = published.view.member(issuer).cloned() else { return };
        if matches!(member.progress, Progress::Broken { .. }) {
            tokio::time::sleep(LONG_PAUSE).await;
            continue;
        }
        match follower.round(&published, &member).await {
            Ok(()) => follower.say_well(),
            Err(trouble) => follower.say(&trouble).await,
        }
    }
}

struct Follower<'a> {
    cluster: Cluster,
    approved: &'a Approved,
    since_index: u64,
    http: reqwest::Client,
    /// Which host is asked next.
    host: usize,
    /// The chain leads on elsewhere: the list is asked for from its first page.
    read_list: bool,
    /// The last question led somewhere; what changes is said once.
    well: bool,
}

impl Follower<'_> {
    /// The present view, as long as the member in it is the one that we follow.
    fn present(&self) -> Option<Arc<Published<State>>> {
        let published = self.cluster.published();
        let member = published.view.member(&self.approved.issuer)?;
        (member.since_index == self.since_index).then_some(published)
    }

    /// One question, and what follows from the answer.
    async fn round(&mut self, published: &Published<State>, member: &Member) -> Result<(), Trouble> {
        let noted = self.cluster.instants();
        let mut nonce = [0; 32];
        rand::fill(&mut nonce);
        let (cursor, reading) = match &member.progress {
            Progress::Following { .. } if !self.read_list => (None, None),
            Progress::Reading { next, from, .. } if !self.read_list => (Some(next.clone()), Some(*from)),
            _ => (Some(Vec::new()), None),
        };
        let at = member.progress.at();
        let bytes = self.ask(nonce, at, cursor.as_deref(), published).await?;
        let Some(answer) = FeedAnswer::read(&bytes) else {
            return self.refuse(member, FeedFault::Unreadable, Vec::new()).await;
        };
        let keys = member.circle_keys();
        let (issuer, asked) = (&self.approved.issuer, cursor.as_deref());
        let question = Question { issuer, keys: &keys, nonce, at, reading, cursor: asked };
        let FeedHeard { successions, step } = match check_answer(&question, &answer) {
            Ok(heard) => heard,
            Err(fault) => return self.refuse(member, fault, told::evidence(fault, &question, &answer)).await,
        };
        self.believe(successions).await?;
        match step {
            FeedStep::Unchanged => {
                self.cluster.prove_source(self.since_index, noted);
                self.note_contact(published, member).await
            }
            FeedStep::Entries { entries, to, complete } => {
                self.check_room(published, member, entries.len())?;
                let at = at.unwrap_or_default();
                let bytes = entries.iter().flat_map(FeedEntry::to_bytes).collect();
                self.take_over(FollowStep::Entries { at, to, entries: bytes }, &entries).await?;
                if complete {
                    self.prove_at(to, noted);
                }
                Ok(())
            }
            FeedStep::ReadList => {
                self.read_list = true;
                Ok(())
            }
            FeedStep::Page { entries, from, next } => {
                self.check_room(published, member, entries.len())?;
                let bytes = entries.iter().flat_map(FeedEntry::to_bytes).collect();
                let cursor = cursor.unwrap_or_default();
                self.take_over(FollowStep::Page { cursor, from, entries: bytes, next }, &entries).await?;
                self.read_list = false;
                Ok(())
            }
        }
    }

    /// Believes the circle keys that lead from the one that was believed to the one that signed.
    async fn believe(&self, successions: Vec<Succession>) -> Result<(), Trouble> {
        if successions.is_empty() {
            return Ok(());
        }
        if let Some(why) = self.propose(FollowStep::CircleKeys { successions }, &[]).await? {
            return Err(Trouble::CircleKey(why));
        }
        tracing::info!(issuer = %self.approved.issuer, name = %self.approved.name, "a member of the circle has another circle key, by the word of the one before");
        Ok(())
    }

    /// Takes over what the feed tells, and alarms if a key among it is refused.
    async fn take_over(&self, step: FollowStep, entries: &[FeedEntry]) -> Result<(), Trouble> {
        let known = self.faults();
        self.propose(step, entries).await?;
        for code in self.faults().into_iter().filter(|code| !known.contains(code)) {
            tracing::error!(issuer = %self.approved.issuer, name = %self.approved.name, fault = code, "a key that a member of the circle tells was refused");
        }
        Ok(())
    }

    fn faults(&self) -> Vec<String> {
        let view = &self.cluster.published().view;
        let member = view.member(&self.approved.issuer);
        member
            .map(|member| member.faults.iter().map(|fault| fault.code.clone()).collect())
            .unwrap_or_default()
    }

    /// Where the chain goes on, or a page of the list.
    async fn ask(
        &self,
        nonce: [u8; 32],
        at: Option<FeedPosition>,
        cursor: Option<&[u8]>,
        published: &Published<State>,
    ) -> Result<Vec<u8>, Trouble> {
        let host = &self.approved.hosts[self.host % self.approved.hosts.len()];
        let staleness_ms = u64::try_from(published.view.config().circle_max_staleness_ms).unwrap_or(0);
        // Most of the time that an answer counts for is left when it comes.
        let wait = Duration::from_millis(staleness_ms / 4).min(ANSWER_TIMEOUT);
        let nonce = hex(&nonce);
        let url = match (cursor, at) {
            (None, Some(at @ FeedPosition { generation, sequence, hash })) => format!(
                "{host}/circlet/v1/feed?nonce={nonce}&generation={generation}&sequence={sequence}&hash={}&wait_ms={}{}",
                hex(&hash),
                wait.as_millis(),
                self.taken(&published.view, at).unwrap_or_default()
            ),
            (cursor, _) => {
                let cursor = hex(cursor.unwrap_or_default());
                format!("{host}/circlet/v1/feed/list?nonce={nonce}&cursor={cursor}")
            }
        };
        Ok(ask::read(self.http.get(url), FEED_ANSWER_BYTES_MAX, wait + ANSWER_TIMEOUT).await?)
    }

    /// What we have of its feed, under our circle key: a key of it may wait for that.
    fn taken(&self, view: &State, at: FeedPosition) -> Option<String> {
        let (member, key) = (view.service_id()?, self.cluster.keys().circle_key(view).ok()?);
        let taken = Taken { issuer: &self.approved.issuer, member, at };
        Some(format!("&member={member}&taken={}", hex(&taken.sign(&key))))
    }

    /// What a member has more of than is kept is not even proposed again: it would fill the log.
    fn check_room(&self, published: &Published<State>, member: &Member, more: usize) -> Result<(), Trouble> {
        let view = &published.view;
        let most = usize::try_from(view.config().circle_feed_entries_max).unwrap_or(0);
        let known = view.followed_count(&self.approved.issuer);
        if member.over_quota && known.saturating_add(more) > most { Err(Trouble::OverQuota) } else { Ok(()) }
    }

    /// Proposes a step. Why it was refused, if it was.
    async fn propose(&self, step: FollowStep, entries: &[FeedEntry]) -> Result<Option<String>, Trouble> {
        let issuer = self.approved.issuer.clone();
        let keys = told::token_keys(&issuer, &self.approved.name, entries);
        let follow = FollowFeed { member: self.since_index, issuer, step, keys };
        let decided = self.cluster.decide(Actor::System, Action::FollowFeed(Box::new(follow))).await?;
        let refusal = decided.outcome.refusal();
        if let Some(refusal) = refusal {
            tracing::debug!(%refusal, "a step along a feed was refused");
        }
        Ok(refusal.map(ToString::to_string))
    }

    /// Counts the instant of the question, if the view holds all that the answer led to.
    fn prove_at(&self, to: FeedPosition, noted: Instants) {
        let view = self.cluster.published();
        let held = view.view.member(&self.approved.issuer).is_some_and(|member| {
            member.since_index == self.since_index
                && member.progress == (Progress::Following { at: to })
                && !member.over_quota
        });
        if held {
            self.cluster.prove_source(self.since_index, noted);
        }
    }

    /// Unchanged heads are not logged; that a member answers at all is, now and then.
    async fn note_contact(&self, published: &Published<State>, member: &Member) -> Result<(), Trouble> {
        let view = &published.view;
        let isolation_ms =
            u64::try_from(view.config().circle_max_isolation).unwrap_or(0).saturating_mul(1_000);
        let silent_ms = self.cluster.now_at(published).millis().saturating_sub(member.contact_ms);
        if silent_ms > isolation_ms / CONTACTS {
            self.propose(FollowStep::Contact, &[]).await?;
        }
        Ok(())
    }

    /// Keeps the first of each kind of fault as evidence. What the member's own signature proves ends the belief in it.
    async fn refuse(&self, member: &Member, fault: FeedFault, evidence: Vec<u8>) -> Result<(), Trouble> {
        let (issuer, name) = (&self.approved.issuer, &self.approved.name);
        let code = fault.code().to_owned();
        let known = member.faults.iter().any(|known| known.code == code);
        if !known || fault.is_proved() {
            tracing::error!(%issuer, name, %fault, proved = fault.is_proved(), "an answer of a member of the circle was refused");
            self.propose(FollowStep::Fault { code, proved: fault.is_proved(), evidence }, &[]).await?;
        }
        Err(Trouble::Fault(fault))
    }

    fn say_well(&mut self) {
        if !std::mem::replace(&mut self.well, true) {
            tracing::info!(issuer = %self.approved.issuer, name = %self.approved.name, "a member of the circle answers again");
        }
    }

    /// Says once that a member can't be followed, turns to its next host, and waits for a moment.
    async fn say(&mut self, trouble: &Trouble) {
        if std::mem::replace(&mut self.well, false) {
            tracing::warn!(issuer = %self.approved.issuer, name = %self.approved.name, %trouble, "a member of the circle can't be followed");
        }
        self.host = self.host.wrapping_add(1);
        let pause =
            if matches!(trouble, Trouble::OverQuota | Trouble::CircleKey(_)) { LONG_PAUSE } else { PAUSE };
        tokio::time::sleep(pause).await;
    }
}
