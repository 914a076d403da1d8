//! Another administrator, who is made one and unmade, shut out and removed, and people with passwords: all of them ask
//! meanwhile, whatever they may. What they may is judged where it is applied.

use circlet_authority::{Action, Actor, DeleteUser, PutUser, UserStatus};
use circlet_token::Lifetime;

use super::Workload;
use crate::cluster::Computer;
use crate::house;

/// Who is an administrator at times.
pub(super) const DEPUTY: &str = "dora";

impl Workload {
    /// An administrator decides what the deputy is from now on.
    pub(super) async fn change_deputy(&self, computer: &Computer) {
        let put = |admin, status| {
            let put = PutUser { admin: Some(admin), status: Some(status), ..house::person(DEPUTY) };
            Action::PutUser(Box::new(put))
        };
        let (what, action) = match self.dice.between(0, 9) {
            0..=1 => ("deputy removed", Action::DeleteUser(DeleteUser { name: house::name(DEPUTY) })),
            2..=3 => ("deputy shut out", put(true, UserStatus::Disabled)),
            4..=5 => ("deputy unmade", put(false, UserStatus::Enabled)),
            _ => ("deputy made", put(true, UserStatus::Enabled)),
        };
        let _ = self.order_done(computer, what, action, None).await;
    }

    /// Somebody asks with a password: the deputy for a token of another's, or a user for one of theirs.
    pub(super) async fn issue_with_password(&self, computer: &Computer) {
        let user = self.dice.pick(&house::USERS).copied().unwrap_or("alice");
        let by_deputy = self.dice.percent(60);
        self.count(if by_deputy { "issue by the deputy" } else { "issue with a password" });
        let who = if by_deputy { DEPUTY } else { user };
        let order = self.order_recorded(user, who, Lifetime::from_secs(600));
        let actor = Actor::User { name: house::name(who) };
        self.issue_by(computer, &actor, order, None, true).await;
    }
}
