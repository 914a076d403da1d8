//! Plain tokens: any node signs them by its view, without the log. An administrator asks for them, users with their password,
//! and whoever bears a token of theirs.

use std::sync::Arc;

use circlet_sim::history::Event;
use reqwest::Method;
use serde_json::{Value, json};

use super::issuing::{ISSUE_MAX_ISOLATION_MS, LASTING_USER, USERS, VERIFY_MAX_ISOLATION_MS};
use super::people::PASSWORD;
use super::{Held, TOKENS, Workload};
use crate::client::{Answer, Shown};
use crate::lab::Node;

/// What the plain tokens claim that administrators ask for. Nobody changes it.
pub(crate) const PLAIN_GROUP: &str = "readers";

/// Whom they speak for; and nobody is called so.
pub(crate) const PLAIN_USER: &str = "plain";

/// So long a plain token lives, in seconds: shorter than what the log records.
pub(super) const PLAIN_SECS: u64 = 600;

/// So long before it expires nobody can say any more that it lives.
const AND_LESS_SECS: u64 = 60;

/// What a node says that could ask nobody for a new master key while the others waited for it.
const NO_MASTER_KEY: &str = "does not hold the master key";

/// What a node says that was cut off as soon as it had started: it dates no plain token by a clock that it compared with none.
const NO_CLOCK_SEEN: &str = "no other node has shown its clock yet";

/// Who wants a plain token.
enum Wish {
    /// An administrator, for somebody else.
    Administrator,
    /// A user, who gives the password.
    User(&'static str),
    /// Whoever shows this token of a user.
    Bearer(Held),
}

impl Wish {
    fn is_counted_as(&self) -> &'static str {
        match self {
            Self::Administrator => "plain token for an administrator",
            Self::User(_) => "plain token for a password",
            Self::Bearer(_) => "plain token for a token",
        }
    }

    /// For whom the token is to be.
    fn user(&self) -> &str {
        match self {
            Self::Administrator => PLAIN_USER,
            Self::User(user) => user,
            Self::Bearer(held) => &held.user,
        }
    }

    fn order(&self) -> Value {
        let scope = match self {
            Self::Administrator => format!("applied-permissions/groups:{PLAIN_GROUP}"),
            Self::User(_) | Self::Bearer(_) => "applied-permissions/user".to_owned(),
        };
        json!({ "username": self.user(), "scope": scope, "expires_in": PLAIN_SECS })
    }
}

impl Workload {
    /// A plain token, and whether it is good everywhere: that needs no leader, so a sound node never refuses. Now and then
    /// whoever asks wants more than there is for him.
    pub(crate) async fn issue_plain(&self, node: &Arc<Node>) {
        let wish = self.wish();
        if !matches!(wish, Wish::Administrator) && self.dice.percent(20) {
            let shown = match &wish {
                Wish::Bearer(held) => Shown::Token(&held.text),
                wish => Shown::Password(wish.user(), PASSWORD),
            };
            return self.overreach_plainly(node, wish.user(), shown).await;
        }
        let was_sound = node.is_sound(self.judge.now());
        let Some(held) = self.plain(node, was_sound, wish).await else { return };
        for verifier in self.lab.running() {
            let was_sound = was_sound && verifier.is_sound(self.judge.now());
            self.verify_plain(&verifier, &held, was_sound).await;
        }
    }

    /// As often as in the simulation.
    fn wish(&self) -> Wish {
        let bearer = self.some_token().filter(|held| self.dice.percent(40) && held.user != PLAIN_USER);
        match (bearer, self.dice.between(0, 5)) {
            (Some(held), _) => Wish::Bearer(held),
            (None, 0..=3) => Wish::Administrator,
            (None, 4) => Wish::User(LASTING_USER),
            (None, _) => Wish::User(self.dice.pick(&USERS).copied().unwrap_or("alice")),
        }
    }

    async fn plain(&self, node: &Arc<Node>, was_sound: bool, wish: Wish) -> Option<Held> {
        self.judge.count("plain issue");
        let (admin, sent) = (self.admin(), self.judge.now());
        let shown = match &wish {
            Wish::Administrator => Shown::Token(&admin.text),
            Wish::User(user) => Shown::Password(user, PASSWORD),
            Wish::Bearer(held) => Shown::Token(&held.text),
        };
        let is_entitled = || match &wish {
            Wish::Administrator => true,
            Wish::User(user) => *user == LASTING_USER,
            Wish::Bearer(held) => self.lives_anyhow(held),
        };
        let was_entitled = is_entitled();
        let url = format!("{}{TOKENS}", node.url);
        let (before, user) = (node.condition(), wish.user());
        let removals = self.touched.before_issue(user);
        let answer = self.client.send(Method::POST, url, shown, Some(&wish.order())).await;
        let alone = before.is_alone_until(&node.condition());
        let asked = Plain {
            what: "issue",
            bound_ms: ISSUE_MAX_ISOLATION_MS,
            ended: "plain refused: its bearer out",
            shown,
        };
        let must = was_sound && was_entitled && is_entitled();
        let Some(answer) = answer.filter(|answer| self.is_plain_answer(node, &asked, answer, must)) else {
            self.judge.count("plain issue without success");
            return None;
        };
        node.note(|known| known.has_dated = true);
        self.judge.count(wish.is_counted_as());
        self.gaps.success("plain issue", self.judge.now());
        let Some(mut held) = Held::of(&answer, self.judge.now()) else {
            self.judge.accuse("answers", "a plain token can't be read".to_owned());
            return None;
        };
        held.is_plain = true;
        // A node that lags behind may sign what a mark had ended that it hasn't heard of.
        if removals != Some(0) || !self.touched.spared(user, removals) {
            self.touched.tokens([held.id]);
        }
        let (index, by) = (held.index, if let Wish::Bearer(by) = &wish { Some(by) } else { None });
        let (id, by_id, sum) = (held.id, by.map(|by| by.id), held.sum());
        self.judge.tell(&Event::Issued { id, by: by_id, index, sum });
        if let Some(by) = by {
            self.tell_accepted(node, by, index, sent, !alone).await;
        }
        if let Wish::Bearer(by) = wish {
            held.origins = by.with_origins();
        }
        self.keep(held.clone());
        self.signed_after(node, &held, true, sent, !alone).await;
        Some(held)
    }

    async fn verify_plain(&self, node: &Arc<Node>, held: &Held, was_sound: bool) {
        self.judge.count("plain verify");
        let must = was_sound && self.lives_anyhow(held);
        let (before, sent) = (node.condition(), self.judge.now());
        let answer = self.show(node, &held.text).await;
        let asked = Plain {
            what: "verify",
            bound_ms: VERIFY_MAX_ISOLATION_MS,
            ended: "plain refused: key ended",
            shown: Shown::Token(&held.text),
        };
        let must = must && self.lives_anyhow(held);
        match answer.filter(|answer| self.is_plain_answer(node, &asked, answer, must)) {
            Some(answer) => {
                self.gaps.success("plain verify", self.judge.now());
                let alone = before.is_alone_until(&node.condition());
                let view = answer.body["index"].as_u64().unwrap_or(0);
                self.tell_accepted(node, held, view, sent, !alone).await;
            }
            None => self.judge.count("plain verify without success"),
        }
    }

    /// Whether a sound node accepts it without asking others: it is plain, and of somebody whom nobody shuts out, and nobody
    /// has tried to end it. That its key may have ended is another matter.
    fn lives_anyhow(&self, held: &Held) -> bool {
        self.is_in_time(held)
            && held.is_plain
            && [LASTING_USER, PLAIN_USER].contains(&held.user.as_str())
            && !self.touched.holds_but_for_key(held)
    }

    /// Whether it is long until a token expires; one that the log holds doesn't in a run.
    pub(crate) fn is_in_time(&self, held: &Held) -> bool {
        !held.is_plain || self.judge.now() < held.since + (PLAIN_SECS - AND_LESS_SECS) * 1_000_000_000
    }

    /// Whether it is a success; if it is not, though it must be, the node must be unsound, or something excuses it.
    fn is_plain_answer(&self, node: &Node, asked: &Plain<'_>, answer: &Answer, must: bool) -> bool {
        if answer.status == 200 {
            return true;
        }
        let now = self.judge.now();
        if !must || !node.is_sound(now) || !self.lab.is_alive(node) {
            return false;
        }
        if let Some(excuse) = self.excuse(node, asked, answer, now) {
            self.judge.count(excuse);
        } else {
            let Plain { what, .. } = asked;
            let said = format!("plain {what} at node {}: {} {}", node.number, answer.status, answer.body);
            self.judge.accuse("plain-without-leader", said);
        }
        false
    }

    /// Why a sound node may refuse what needs no leader.
    fn excuse(&self, node: &Node, asked: &Plain<'_>, answer: &Answer, now: u64) -> Option<&'static str> {
        match answer.status {
            // Nothing shows that it has proved freshness lately enough to go on.
            503 if now > node.fresh_since() + asked.bound_ms * 1_000_000 => Some("plain refused: isolated"),
            // The key that signs in the place of one that leaked waits for nobody.
            503 if !node.condition().has_dated && answer.body.to_string().contains(NO_CLOCK_SEEN) => {
                Some("plain refused: no other clock seen")
            }
            // A key waits for nobody longer than `verify.max-isolation`, however short the time was in which a node could ask for
            // it. That it gets it in the end is looked at then.
            503 if answer.body.to_string().contains(NO_MASTER_KEY) => {
                Some("plain refused: master key missed")
            }
            503 if node.fresh_since() <= self.touched.last_leak() => Some("plain refused: key unknown"),
            401 if self.explains_refusal(asked.shown) => Some(asked.ended),
            _ => None,
        }
    }
}

/// What is asked for and needs no leader.
struct Plain<'a> {
    what: &'static str,
    /// For how long a node that is cut off does it.
    bound_ms: u64,
    /// How it is counted that it was refused since the key had been ended.
    ended: &'static str,
    /// What is shown.
    shown: Shown<'a>,
}
