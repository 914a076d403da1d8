//! Users who are no administrators, and ask for more than they may.

use circlet_authority::{Action, Actor, MintJoinToken, RevokeBefore, RotateKey, SetConfig, Whom};
use circlet_token::{Lifetime, Scope};

use super::{Reply, Workload};
use crate::cluster::Computer;
use crate::history::Event;
use crate::house;

impl Workload {
    /// A user asks for something that only administrators may have.
    pub(super) async fn overreach(&self, computer: &Computer) {
        self.count("overreach");
        let Some((_, member)) = computer.node() else { return };
        let view = std::sync::Arc::clone(&member.published().view);
        drop(member);
        let lifetime = Lifetime::from_secs(600);
        let (what, action) = match self.dice.between(0, 5) {
            0 => {
                let mut order = self.order("bob", "bob", lifetime);
                order.scope = Scope::parse("applied-permissions/admin").expect("the scope of administrators");
                ("a token of an administrator", Action::IssueToken(Box::new(order)))
            }
            1 => {
                let order = self.order("alice", "bob", lifetime);
                ("a token of another user", Action::IssueToken(Box::new(order)))
            }
            2 => {
                let whom = Whom::Subject(house::subject(&self.cluster.service, "alice"));
                ("ending another user's tokens", Action::RevokeBefore(RevokeBefore::all_of(whom)))
            }
            3 => {
                let config = view.config().as_ref().clone();
                (
                    "setting the configuration",
                    Action::SetConfig(Box::new(SetConfig { config, if_version: None })),
                )
            }
            4 => (
                "tainting a key",
                Action::RotateKey(Box::new(RotateKey::Taint {
                    kid: house::Pair::first(&self.cluster.service).kid,
                    next: None,
                })),
            ),
            _ => {
                let hash = [u8::try_from(self.dice.between(0, 255)).unwrap_or(0); 32];
                ("letting a node join", Action::MintJoinToken(MintJoinToken { hash }))
            }
        };
        let actor = Actor::User { name: house::name("bob") };
        if let Reply::Decided { outcome, index, .. } = self.propose(computer, actor, action).await {
            let done = outcome.refusal().is_none_or(|refusal| !forbids(refusal));
            self.cluster.history.tell(&Event::Overreached { what, done, index });
        }
    }
}

/// Whether a refusal is for want of rights, and not because of something else that happens to be in the way.
fn forbids(refusal: &circlet_authority::Refusal) -> bool {
    use circlet_authority::Refusal;
    matches!(
        refusal,
        Refusal::Forbidden { .. }
            | Refusal::ActorUnknown { .. }
            | Refusal::UserDisabled { .. }
            | Refusal::OnlyForSelf { .. }
            | Refusal::ScopeForbidden { .. }
            | Refusal::ScopeUnaccepted { .. }
            | Refusal::InsufficientScope { .. }
    )
}
