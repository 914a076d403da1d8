//! Users who come and go, are shut out for a while, and are in groups. The end of one is a watermark under everything of
//! that name.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use circlet_sim::history::Event;
use circlet_sim::linear::value::{self, ABSENT, DISABLED, GOOD};
use circlet_sim::linear::{Object, Step};
use circlet_sim::mark::Target;
use circlet_token::TokenId;
use reqwest::Method;
use serde_json::{Value, json};

use super::issuing::USERS;
use super::marks::ALL_TIME;
use super::plain::PLAIN_USER;
use super::{Reply, Workload, Write, lock};
use crate::client::Shown;
use crate::lab::Node;

const USERS_PATH: &str = "/access/api/v2/users";
const GROUPS_PATH: &str = "/access/api/v2/groups";

/// What every user logs in with.
pub(super) const PASSWORD: &str = "correct-horse-battery-9";

/// A group that comes and goes. No token claims it.
const GROUP: &str = "testers";

/// What was changed is put right with so many attempts at most.
const ATTEMPTS_MAX: usize = 100;

/// Between two attempts to put right what was changed.
const RETRY: Duration = Duration::from_millis(200);

impl Workload {
    /// Creates a user; whether the cluster says that there is one now.
    pub(crate) async fn add_user(&self, node: &Arc<Node>, user: &'static str) -> bool {
        let body = json!({
            "username": user, "email": format!("{user}@example.org"), "password": PASSWORD,
        });
        let told = Some((user, GOOD));
        let order = (Method::POST, USERS_PATH.to_owned(), Some(&body));
        // Another client may remove the user before this one is told of it.
        is_so(&self.change(node, "add user", order, told).await, 409)
    }

    /// Creates a group; whether the cluster says that there is one now.
    pub(crate) async fn add_group(&self, node: &Arc<Node>, group: &str) -> bool {
        let body = json!({ "name": group, "auto_join": false });
        let order = (Method::POST, GROUPS_PATH.to_owned(), Some(&body));
        is_so(&self.change(node, "add group", order, None).await, 409)
    }

    /// An administrator removes a user, and with it everything that was issued to it; then makes it anew.
    pub(super) async fn remove_user(&self, node: &Arc<Node>) {
        let Some(held) = self.some_token() else { return };
        if held.user == PLAIN_USER {
            return;
        }
        let Some(user) = USERS.iter().find(|user| **user == held.user) else { return };
        self.touched.removing(user);
        let of_user: Vec<TokenId> =
            self.held().iter().filter(|known| known.subject == held.subject).map(|known| known.id).collect();
        self.touched.tokens(of_user);
        let sent = self.judge.now();
        let order = (Method::DELETE, format!("{USERS_PATH}/{user}"), None);
        let reply = self.change(node, "remove user", order, Some((user, ABSENT))).await;
        match reply {
            Reply::Done(_, index) => {
                self.judge.tell(&Event::Watermark { subject: held.subject, index });
                self.tell_mark(Target::Subject(self.name_of(user)), index, ALL_TIME);
                self.record_end_of(held.subject, sent, true);
            }
            Reply::Unknown => self.record_end_of(held.subject, sent, false),
            Reply::Refused(_) => {}
        }
        if !matches!(reply, Reply::Unknown) {
            self.touched.removed(user);
        }
        let mut through = Arc::clone(node);
        while !self.add_user(&through, user).await && !self.is_over() {
            tokio::time::sleep(RETRY).await;
            through = self.another(&through).unwrap_or(through);
        }
    }

    /// An administrator shuts a user out for a while.
    pub(super) async fn disable_user(&self, node: &Arc<Node>) {
        let user = self.dice.pick(&USERS).copied().unwrap_or("alice");
        let body = json!({ "status": "disabled" });
        let order = (Method::PATCH, format!("{USERS_PATH}/{user}"), Some(&body));
        drop(self.change(node, "disable user", order, Some((user, DISABLED))).await);
        tokio::time::sleep(Duration::from_millis(self.dice.between(100, 1_500))).await;
        let mut through = Arc::clone(node);
        while !self.enable_user(&through, user).await && !self.is_over() {
            tokio::time::sleep(RETRY).await;
            through = self.another(&through).unwrap_or(through);
        }
    }

    /// Lets everybody in again.
    pub(crate) async fn let_all_in(&self) {
        for user in USERS {
            for _ in 0..ATTEMPTS_MAX {
                let Some(node) = self.dice.pick(&self.lab.running()).cloned() else { continue };
                if self.add_user(&node, user).await && self.enable_user(&node, user).await {
                    break;
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Lets a user in again, unless there is none any more; whether that was decided.
    async fn enable_user(&self, node: &Arc<Node>, user: &'static str) -> bool {
        let body = json!({ "status": "enabled" });
        let order = (Method::PATCH, format!("{USERS_PATH}/{user}"), Some(&body));
        is_so(&self.change(node, "enable user", order, Some((user, GOOD))).await, 404)
    }

    /// An administrator changes a group, or who is in one.
    pub(super) async fn change_group(&self, node: &Arc<Node>) {
        let user = self.dice.pick(&USERS).copied().unwrap_or("alice");
        let one = format!("{GROUPS_PATH}/{GROUP}");
        match self.dice.between(0, 3) {
            0 => drop(self.add_group(node, GROUP).await),
            1 => {
                let body = json!({ "members": [user], "auto_join": self.dice.percent(30) });
                drop(self.change(node, "change group", (Method::PATCH, one, Some(&body)), None).await);
            }
            2 => {
                let body = json!({ "groups": [GROUP] });
                let order = (Method::PATCH, format!("{USERS_PATH}/{user}"), Some(&body));
                drop(self.change(node, "user into a group", order, None).await);
            }
            _ => drop(self.change(node, "delete group", (Method::DELETE, one, None), None).await),
        }
    }

    /// Asks a node on a fresh view who is there.
    pub(super) async fn read_people(&self, node: &Arc<Node>) {
        let sent = self.judge.now();
        let Some(answer) = self.read(node, &format!("{USERS_PATH}?consistency=strong")).await else { return };
        let Some(users) = answer.body["users"].as_array() else { return };
        for user in USERS {
            let found = users.iter().find(|found| found["username"] == user);
            let read = match found.map(|found| found["status"] == "enabled") {
                Some(true) => GOOD,
                Some(false) => DISABLED,
                None => ABSENT,
            };
            self.record_now(Object::User(user), Step::Value(value::Step::Read(read)), sent);
        }
    }

    /// Has something of the people changed, and keeps what became of a user or may have.
    async fn change(
        &self,
        node: &Arc<Node>,
        what: &'static str,
        (method, path, body): (Method, String, Option<&Value>),
        told: Option<(&'static str, value::Value)>,
    ) -> Reply {
        let admin = self.admin();
        let write = Write { method, path, shown: Shown::Token(&admin.text), body, idempotency_key: None };
        let sent = self.judge.now();
        if let Some((user, GOOD)) = told {
            self.letting_in(user);
        }
        let reply = self.write(node, what, write, &[400, 404, 409]).await;
        if let Some((user, value)) = told {
            self.tell_standing(user, value, &reply);
            let (object, step) = (Object::User(user), Step::Value(value::Step::Write(value)));
            match reply {
                Reply::Done(..) => self.record_now(object, step, sent),
                Reply::Unknown => self.record(object, step, sent, None),
                Reply::Refused(_) => {}
            }
        }
        reply
    }

    /// Somebody is about to let a user in. Whatever is decided from now on has a higher index than what was acknowledged.
    fn letting_in(&self, user: &'static str) {
        *lock(&self.being_let_in).entry(user).or_default() += 1;
        let index = self.acknowledged.load(Ordering::SeqCst) + 1;
        self.judge.tell(&Event::UserPut { subject: self.subject_of(user), index, enabled: Some(true) });
    }

    /// What a view from some index on knows of a user, as far as that is certain: what would let in a user and was never
    /// answered may be decided at any later time.
    fn tell_standing(&self, user: &'static str, value: value::Value, reply: &Reply) {
        let mut being_let_in = lock(&self.being_let_in);
        let open = being_let_in.entry(user).or_default();
        if value == GOOD && !matches!(reply, Reply::Unknown) {
            *open = open.saturating_sub(1);
        }
        let (subject, enabled) = (self.subject_of(user), Some(value == GOOD));
        if let Reply::Done(_, index) = reply
            && (value == GOOD || (value == DISABLED && *open == 0))
        {
            if value == DISABLED {
                self.judge.count("user known to be shut out");
            }
            self.judge.tell(&Event::UserPut { subject, index: *index, enabled });
        }
    }
}

/// Whether it was done, or refused with the status that says that there is nothing to do.
fn is_so(reply: &Reply, already: u16) -> bool {
    match reply {
        Reply::Done(..) => true,
        Reply::Refused(answer) => answer.status == already,
        Reply::Unknown => false,
    }
}
