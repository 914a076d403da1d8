//! Watermarks: everything of a user, of a user in some seconds, of users whose names begin alike, of a group, of a key, or
//! of everybody in some seconds that was issued before ends with one decision.

use std::collections::BTreeSet;
use std::sync::Arc;

use circlet_sim::history::Event;
use circlet_sim::linear::Object;
use circlet_sim::mark::{self, Target};
use circlet_token::KeyId;
use reqwest::Method;
use serde_json::json;

use super::issuing::USERS;
use super::{Held, Reply, Workload, Write, lock};
use crate::client::Shown;
use crate::lab::Node;

/// The group whose tokens are ended together. It has no members: only tokens claim it.
pub(crate) const MARKED_GROUP: &str = "writers";

/// Whenever a token was issued.
pub(super) const ALL_TIME: (u64, u64) = (0, u64::MAX);

/// Which kinds there are, the frequent ones more than once.
pub(crate) const KINDS: [Kind; 9] = [
    Kind::User,
    Kind::User,
    Kind::Seconds,
    Kind::Seconds,
    Kind::Start,
    Kind::Group,
    Kind::Group,
    Kind::Key,
    Kind::Everyone,
];

/// A kind of watermark.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Of a user.
    User,
    /// Of a user, issued in some seconds.
    Seconds,
    /// Of users whose names begin alike.
    Start,
    /// Of a group.
    Group,
    /// Of a key.
    Key,
    /// Of everybody, issued in some seconds: whatever becomes of it, what is issued later lives.
    Everyone,
}

/// Whose tokens a mark ends. That of a subject as a whole is not among them: the invariants know it by itself.
#[derive(Clone, Debug)]
pub(crate) enum Whom {
    /// Signed by this key.
    Key(KeyId),
    /// In this group by their own claim.
    Group(&'static str),
    /// Of this subject, issued from this second to that.
    Seconds(u64, u64, u64),
    /// Of everybody, issued from this second to that.
    Everyone(u64, u64),
    /// Of everybody, whoever signed it.
    Everything,
    /// Created with a token or its family, or with what was.
    Descendants(Object),
}

/// Something that has ended tokens, or may have.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) whom: Whom,
    /// Tokens with a lower index.
    pub(crate) below: u64,
    /// Where it was decided.
    pub(crate) index: u64,
    /// When it was asked for.
    pub(crate) sent: u64,
    /// Whether what it refuses counts as revoked, also where tokens are listed.
    pub(crate) ends: bool,
}

impl Mark {
    /// Whether it refuses a token.
    pub(crate) fn refuses(&self, held: &Held) -> bool {
        let is_meant = match &self.whom {
            Whom::Key(kid) => held.kid == *kid,
            Whom::Group(group) => held.groups.iter().any(|claimed| claimed == group),
            Whom::Seconds(subject, since, until) => {
                held.subject == *subject && (*since..=*until).contains(&held.issued_at)
            }
            Whom::Everything => true,
            Whom::Everyone(since, until) => (*since..=*until).contains(&held.issued_at),
            // What can't be revoked lives on; its family ends.
            Whom::Descendants(of) => held.revocable && held.origins.contains(of),
        };
        is_meant && held.index < self.below
    }

    /// Whether it may have ended a token or its family.
    pub(crate) fn concerns(&self, held: &Held) -> bool {
        let comes_of_it = |of: &Object| held.origins.contains(of);
        self.refuses(held) || matches!(&self.whom, Whom::Descendants(of) if comes_of_it(of))
    }
}

impl Workload {
    /// An administrator ends many tokens at once.
    pub(super) async fn mark(self: &Arc<Self>, node: &Arc<Node>) {
        let kind = lock(&self.marking).draw(&self.dice);
        let Some(held) = self.some_token() else { return };
        if !USERS.contains(&held.user.as_str()) {
            return;
        }
        match kind {
            Kind::User => self.mark_user(node, held).await,
            Kind::Start => self.mark_start(node, held).await,
            Kind::Everyone => self.mark_everyone(node, &held).await,
            Kind::Seconds => self.mark_seconds(node, held).await,
            Kind::Group => self.mark_group(node).await,
            Kind::Key => self.mark_key(node).await,
        }
    }

    async fn mark_user(self: &Arc<Self>, node: &Arc<Node>, held: Held) {
        self.touch_user(&held);
        let sent = self.judge.now();
        let body = json!({ "user": held.user });
        let decided = self.set_watermark(node, "watermark of a user", &body).await;
        match decided {
            Decided::Done(index) => {
                self.judge.tell(&Event::Watermark { subject: held.subject, index });
                self.tell_mark(Target::Subject(self.name_of(&held.user)), index, ALL_TIME);
                self.record_end_of(held.subject, sent, true);
                drop(tokio::spawn(Arc::clone(self).hunt(held.clone())));
            }
            Decided::Unknown => self.record_end_of(held.subject, sent, false),
            Decided::Refused => {}
        }
        if !matches!(decided, Decided::Unknown) {
            self.touched.removed(&held.user);
        }
    }

    async fn mark_seconds(self: &Arc<Self>, node: &Arc<Node>, held: Held) {
        let since = held.issued_at.saturating_sub(self.dice.between(0, 4));
        let until = held.issued_at + self.dice.between(0, 2);
        self.touched.seconds_of(Some(held.subject), since, until);
        let sent = self.judge.now();
        let body = json!({ "user": held.user, "since": since, "until": until });
        let decided = self.set_watermark(node, "watermark of some seconds", &body).await;
        self.keep_mark(Whom::Seconds(held.subject, since, until), &decided, sent);
        if let Decided::Done(index) = decided {
            self.tell_mark(Target::Subject(self.name_of(&held.user)), index, (since, until));
            drop(tokio::spawn(Arc::clone(self).hunt(held)));
        }
    }

    /// More than one name may begin so.
    async fn mark_start(self: &Arc<Self>, node: &Arc<Node>, held: Held) {
        let start: String = held.user.chars().take(2).collect();
        let meant: Vec<&str> = USERS.into_iter().filter(|user| user.starts_with(&start)).collect();
        let subjects: BTreeSet<u64> = meant.iter().map(|user| self.subject_of(user)).collect();
        for user in &meant {
            self.touched.removing(user);
        }
        let of_them: Vec<_> = self
            .held()
            .iter()
            .filter(|known| subjects.contains(&known.subject))
            .map(|known| known.id)
            .collect();
        self.touched.tokens(of_them);
        let sent = self.judge.now();
        let body = json!({ "user": format!("{start}*") });
        let decided = self.set_watermark(node, "watermark of a beginning", &body).await;
        for subject in subjects {
            if let Decided::Done(index) = decided {
                self.judge.tell(&Event::Watermark { subject, index });
            }
            if !matches!(decided, Decided::Refused) {
                self.record_end_of(subject, sent, matches!(decided, Decided::Done(_)));
            }
        }
        if let Decided::Done(index) = decided {
            self.tell_mark(Target::Start(self.name_of(&start)), index, ALL_TIME);
            drop(tokio::spawn(Arc::clone(self).hunt(held)));
        }
        if !matches!(decided, Decided::Unknown) {
            for user in meant {
                self.touched.removed(user);
            }
        }
    }

    /// Also the administrator's and those that the log doesn't hold.
    async fn mark_everyone(self: &Arc<Self>, node: &Arc<Node>, held: &Held) {
        let since = held.issued_at.saturating_sub(self.dice.between(0, 1));
        let until = held.issued_at + self.dice.between(0, 1);
        self.touched.seconds_of(None, since, until);
        let sent = self.judge.now();
        let body = json!({ "everyone": true, "since": since, "until": until });
        let decided = self.set_watermark(node, "watermark of everybody", &body).await;
        if let Decided::Done(index) = decided {
            self.tell_mark(Target::Everyone, index, (since, until));
        }
        self.keep_mark(Whom::Everyone(since, until), &decided, sent);
        self.hunt_refused(&decided);
        self.admin_is_out();
    }

    async fn mark_group(self: &Arc<Self>, node: &Arc<Node>) {
        self.touched.group(MARKED_GROUP);
        let sent = self.judge.now();
        let body = json!({ "group": MARKED_GROUP });
        let decided = self.set_watermark(node, "watermark of a group", &body).await;
        if let Decided::Done(index) = decided {
            let (name, members) = (MARKED_GROUP.to_owned(), BTreeSet::new());
            self.tell_mark(Target::Group { name, members }, index, ALL_TIME);
        }
        self.keep_mark(Whom::Group(MARKED_GROUP), &decided, sent);
        self.hunt_refused(&decided);
    }

    async fn mark_key(self: &Arc<Self>, node: &Arc<Node>) {
        let Some(kid) = self.usable_key(node).await else { return };
        if self.touched.ends_key(&kid, u64::MAX - 1) {
            return; // It leaks at this moment, and there is nothing more to end.
        }
        self.touched.ending_key(&kid);
        let sent = self.judge.now();
        let body = json!({ "key": kid.as_str() });
        let decided = self.set_watermark(node, "watermark of a key", &body).await;
        if let Decided::Done(index) = decided {
            self.touched.key_ended(&kid, index);
            self.tell_mark(Target::Key(kid.clone()), index, ALL_TIME);
        }
        self.keep_mark(Whom::Key(kid), &decided, sent);
        self.hunt_refused(&decided);
        self.admin_is_out();
    }

    /// Of what nobody holds any more nobody can say that it lives, also of what is issued at this moment.
    fn touch_user(&self, held: &Held) {
        self.touched.removing(&held.user);
        let of_user: Vec<_> =
            self.held().iter().filter(|known| known.subject == held.subject).map(|known| known.id).collect();
        self.touched.tokens(of_user);
    }

    async fn set_watermark(&self, node: &Arc<Node>, what: &'static str, body: &serde_json::Value) -> Decided {
        let admin = self.admin();
        let write = Write {
            method: Method::POST,
            path: "/circlet/v1/watermarks".to_owned(),
            shown: Shown::Token(&admin.text),
            body: Some(body),
            idempotency_key: None,
        };
        match self.write(node, what, self.hollowed(write), &[404]).await {
            Reply::Done(_, index) => Decided::Done(index),
            Reply::Refused(_) => Decided::Refused,
            Reply::Unknown => Decided::Unknown,
        }
    }

    /// From this index on every view has the mark, and refuses by it what can't be revoked as well.
    pub(super) fn tell_mark(&self, target: Target, index: u64, (since, until): (u64, u64)) {
        let mark = Arc::new(mark::Mark { target, index, since, until });
        self.judge.tell(&Event::MarkHeld(Arc::clone(&mark)));
        self.tell_abroad(&Event::MarkedAbroad { issuer: self.service().clone(), mark });
    }

    pub(super) fn keep_mark(&self, whom: Whom, decided: &Decided, sent: u64) {
        match decided {
            Decided::Done(index) => {
                let (below, index) = (*index, *index);
                self.set_mark(Mark { whom, below, index, sent, ends: true });
            }
            Decided::Unknown => lock(&self.maybe_marks).push((whom, sent)),
            Decided::Refused => {}
        }
    }

    /// A mark was set: whatever it refuses counts as revoked.
    pub(super) fn set_mark(&self, mark: Mark) {
        let held = self.held();
        for refused in held.iter().filter(|held| mark.refuses(held)) {
            self.note_end(refused.id, mark.index);
        }
        lock(&self.marks).push(mark);
    }

    /// A token has become known: some mark may have ended it meanwhile.
    pub(super) fn see_marks(&self, held: &Held) {
        let marks = lock(&self.marks);
        for mark in marks.iter().filter(|mark| mark.refuses(held)) {
            self.note_end(held.id, mark.index);
        }
    }

    /// Shows around the latest token that the last mark refuses.
    pub(super) fn hunt_refused(self: &Arc<Self>, decided: &Decided) {
        let Decided::Done(_) = decided else { return };
        let Some(mark) = lock(&self.marks).last().cloned() else { return };
        let refused = self.held().iter().rev().find(|held| held.revocable && mark.refuses(held)).cloned();
        if let Some(refused) = refused {
            drop(tokio::spawn(Arc::clone(self).hunt(refused)));
        }
    }
}

/// What came of a watermark, or of a key.
pub(super) enum Decided {
    Done(u64),
    Refused,
    Unknown,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use circlet_sim::house;
    use circlet_sim::mark::Facts;
    use circlet_token::{Audience, Claims, KeyId, Scope, ServiceId, Subject, TokenId};

    use super::{Held, Mark, Object, Whom};

    /// Nobody looks at them here.
    fn facts() -> Arc<Facts> {
        let service = ServiceId::parse("jfrt@01m8n999md246vgfhmfywycff6").expect("a service id");
        let claims = Claims {
            revocable: None,
            subject: Subject::user(&service, &house::name("alice")),
            scope: Scope::parse("applied-permissions/user").expect("a scope"),
            audience: Audience::service(&service),
            issuer: service,
            expires_at: None,
            issued_at: 1_000,
            not_before: None,
            id: None,
            index: Some(40),
        };
        Arc::new(Facts::of_claims(&claims, &KeyId::of_certificate(b"one")))
    }

    #[test]
    fn a_mark_refuses_what_it_means_and_what_was_issued_before() {
        let held = Held {
            id: TokenId([1; 16]),
            user: "alice".to_owned(),
            subject: 7,
            index: 40,
            issued_at: 1_000,
            kid: KeyId::of_certificate(b"one"),
            revocable: true,
            is_plain: false,
            groups: vec!["writers".to_owned()],
            facts: facts(),
            origins: vec![Object::Subject(3)],
            text: Arc::from(""),
            refresh: None,
            since: 0,
        };
        let refuses = |whom, below| Mark { whom, below, index: below, sent: 0, ends: true }.refuses(&held);
        let meant = [
            Whom::Key(held.kid.clone()),
            Whom::Group("writers"),
            Whom::Seconds(7, 1_000, 1_000),
            Whom::Everyone(999, 1_000),
            Whom::Everything,
            Whom::Descendants(Object::Subject(3)),
        ];
        for whom in meant {
            assert!(refuses(whom.clone(), 41), "{whom:?}");
            assert!(!refuses(whom.clone(), 40), "{whom:?}: issued by a view that knew of it");
        }
        let other = Whom::Key(KeyId::of_certificate(b"other"));
        let not_meant = [
            other,
            Whom::Group("readers"),
            Whom::Seconds(7, 1_001, 1_005),
            Whom::Seconds(8, 0, 2_000),
            Whom::Everyone(1_001, 1_002),
            Whom::Descendants(held.object()),
        ];
        for whom in not_meant {
            assert!(!refuses(whom.clone(), 41), "{whom:?}");
        }
        let below = |whom| Mark { whom, below: 41, index: 41, sent: 0, ends: true };
        let lasting = Held { revocable: false, ..held.clone() };
        let cascade = below(Whom::Descendants(Object::Subject(3)));
        assert!(!cascade.refuses(&lasting) && cascade.concerns(&lasting));
    }
}
