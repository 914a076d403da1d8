//! Following one member: question after question, while this node leads. Generic over the node, so that the simulator
//! follows by the same lines.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Approved, FollowFeed, FollowStep, Member, Outcome, Progress, State};
use circlet_raft::{Instants, Published, SourceId};
use circlet_token::ServiceId;
use circlet_token::feed::{
    FeedAnswer, FeedEntry, FeedFault, FeedHeard, FeedPosition, FeedStep, Question, Succession, check_answer,
};

use super::told;

/// After something went wrong.
const PAUSE: Duration = Duration::from_millis(500);
/// After something that only a person or time can mend.
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// An answer may take so much longer than it was asked to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// So many times within `circle.max-isolation` it is noted that a member answers.
const CONTACTS: u64 = 4;

/// What following needs of the node that leads, and of the way to the other cluster.
pub trait Leader: Sync {
    /// The present view with its index and freshness.
    fn published(&self) -> Arc<Published<State>>;

    /// Both clocks, now.
    fn instants(&self) -> Instants;

    /// The node's time, milliseconds since the epoch, and no earlier than what a view knows.
    fn now_ms(&self, view: &State) -> u64;

    /// 32 bytes that nobody can guess and that were never drawn before.
    fn nonce(&self) -> [u8; 32];

    /// Notes that the view holds all that a source had revoked before `noted`.
    fn prove_source(&self, source: SourceId, noted: Instants);

    /// Has the cluster decide; the view holds the decision then. An error says why it did not, or may not have.
    fn decide(&self, action: Action) -> impl Future<Output = Result<Outcome, String>> + Send;

    /// Asks a host, and reads no more than [`FEED_ANSWER_BYTES_MAX`](circlet_token::feed::FEED_ANSWER_BYTES_MAX) bytes within
    /// `deadline`. An error says why nothing came.
    fn ask(
        &self,
        host: &str,
        asked: Asked<'_>,
        deadline: Duration,
    ) -> impl Future<Output = Result<Vec<u8>, String>> + Send;

    /// Lets time pass.
    fn pause(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// What a host is asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whose feed it is.
    pub issuer: &'a ServiceId,
    /// Drawn for this question.
    pub nonce: [u8; 32],
    /// What for.
    pub place: Place<'a>,
}

/// A part of a feed.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// Where the chain goes on from here, waiting a little for something new. Whoever asks says with it, under our circle
    /// key, that we have it up to here: a key of the issuer's may wait for that.
    After {
        /// What is known.
        at: FeedPosition,
        /// How long to wait.
        wait: Duration,
    },
    /// The page of the list behind a cursor.
    Page {
        /// The cursor; empty for the first page.
        cursor: &'a [u8],
    },
}

/// Why a question led nowhere.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Unanswered(String),
    #[error("{0}")]
    Undecided(String),
    #[error("{0}")]
    Fault(FeedFault),
    #[error("its feed has more entries than circle.feed-entries-max allows")]
    OverQuota,
    #[error("its next circle key is refused: {0}")]
    CircleKey(String),
}

/// Follows a member until it is dismissed or approved anew.
pub async fn member<L: Leader>(leader: L, approved: &Approved, since_index: u64) {
    let mut follower = Follower { leader, approved, since_index, host: 0, read_list: false, well: true };
    while let Some(published) = follower.present() {
        let Some(member) = published.view.member(&approved.issuer).cloned() else { return };
        if matches!(member.progress, Progress::Broken { .. }) {
            follower.leader.pause(LONG_PAUSE).await;
            continue;
        }
        match follower.round(&published, &member).await {
            Ok(()) => follower.say_well(),
            Err(trouble) => follower.say(&trouble).await,
        }
    }
}

struct Follower<'a, L> {
    leader: L,
    approved: &'a Approved,
    since_index: u64,
    /// Which host is asked next.
    host: usize,
    /// The chain leads on elsewhere: the list is asked for from its first page.
    read_list: bool,
    /// The last question led somewhere; what changes is said once.
    well: bool,
}

impl<L: Leader> Follower<'_, L> {
    /// The present view, as long as the member in it is the one that we follow.
    fn present(&self) -> Option<Arc<Published<State>>> {
        let published = self.leader.published();
        let member = published.view.member(&self.approved.issuer)?;
        (member.since_index == self.since_index).then_some(published)
    }

    /// One question, and what follows from the answer.
    async fn round(&mut self, published: &Published<State>, member: &Member) -> Result<(), Trouble> {
        let noted = self.leader.instants();
        let nonce = self.leader.nonce();
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
                self.leader.prove_source(self.since_index, noted);
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
        let published = self.leader.published();
        let member = published.view.member(&self.approved.issuer);
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
        let place = match (cursor, at) {
            (None, Some(at)) => Place::After { at, wait },
            (cursor, _) => Place::Page { cursor: cursor.unwrap_or_default() },
        };
        let asked = Asked { issuer: &self.approved.issuer, nonce, place };
        let answer = self.leader.ask(host, asked, wait + ANSWER_TIMEOUT).await;
        answer.map_err(Trouble::Unanswered)
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
        let outcome = self.leader.decide(Action::FollowFeed(Box::new(follow))).await;
        let outcome = outcome.map_err(Trouble::Undecided)?;
        let refusal = outcome.refusal();
        if let Some(refusal) = refusal {
            tracing::debug!(%refusal, "a step along a feed was refused");
        }
        Ok(refusal.map(ToString::to_string))
    }

    /// Counts the instant of the question, if the view holds all that the answer led to.
    fn prove_at(&self, to: FeedPosition, noted: Instants) {
        let view = self.leader.published();
        let held = view.view.member(&self.approved.issuer).is_some_and(|member| {
            member.since_index == self.since_index
                && member.progress == (Progress::Following { at: to })
                && !member.over_quota
        });
        if held {
            self.leader.prove_source(self.since_index, noted);
        }
    }

    /// Unchanged heads are not logged; that a member answers at all is, now and then.
    async fn note_contact(&self, published: &Published<State>, member: &Member) -> Result<(), Trouble> {
        let view = &published.view;
        let isolation_ms =
            u64::try_from(view.config().circle_max_isolation).unwrap_or(0).saturating_mul(1_000);
        let silent_ms = self.leader.now_ms(view).saturating_sub(member.contact_ms);
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
        self.leader.pause(pause).await;
    }
}
