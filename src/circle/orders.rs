//! How an order to revoke a token goes to its issuer and a verdict comes back, and which orders an issuer carries out. No
//! clock, no socket, no node, so that the simulator's clusters do it by the same lines.

use std::future::Future;
use std::sync::Arc;

use circlet_authority::{Action, Descendants, Member, Outcome, Refusal, RevokeForMember, Revoked, State};
use circlet_token::SigningKey;
use circlet_token::feed::CirclePublicKey;

use super::forward::{Order, is_challenge};

/// The hosts of an issuer, as whoever asks them has them.
pub trait Hosts: Sync {
    /// Asks a host for a challenge. An error says why none came.
    fn challenge(&self, host: &str) -> impl Future<Output = Result<Vec<u8>, String>> + Send;

    /// 32 bytes that nobody can guess and that were never drawn before.
    fn nonce(&self) -> [u8; 32];

    /// Sends a host an order and our signature; its verdict and what it says is the signature under that. An error says why
    /// nothing came.
    fn order(
        &self,
        host: &str,
        order: &Order<'_>,
        signature: &[u8],
    ) -> impl Future<Output = Result<(String, Vec<u8>), String>> + Send;
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Unjudged {
    /// No host was sent an order: nothing was revoked.
    #[error("{0}")]
    Unreachable(String),
    /// A host was sent one; whether it has been carried out is not known.
    #[error("{0}")]
    Unknown(String),
}

/// The verdict of the first host that gives one under the issuer's circle key, `theirs`. `wanted` is the order, which gets a
/// challenge and a nonce of its own for each host. A verdict that isn't `done` speaks for its own order alone: it counts only
/// if no order before it was left without one.
///
/// # Errors
/// No host gave one that counts, after an order was sent or before.
pub async fn verdict<H: Hosts>(
    hosts: &H,
    names: &[String],
    wanted: &Order<'_>,
    (ours, theirs): (&SigningKey, CirclePublicKey),
    done: impl Fn(&str) -> bool + Send,
) -> Result<String, Unjudged> {
    let (mut sent, mut last) = (false, "it has no hosts".to_owned());
    for host in names {
        let challenge = match hosts.challenge(host).await {
            Ok(challenge) => challenge,
            Err(error) => {
                last = format!("{host}: {error}");
                continue;
            }
        };
        let order = Order { challenge, nonce: hosts.nonce(), ..wanted.clone() };
        let is_first = !std::mem::replace(&mut sent, true);
        match hosts.order(host, &order, &order.sign(ours)).await {
            Ok((verdict, signature)) if order.is_verdict(theirs, &verdict, &signature) => {
                if is_first || done(&verdict) {
                    return Ok(verdict);
                }
                last = format!(
                    "{host} has not revoked it, but an order that was sent before may have been carried out"
                );
            }
            Ok(_) => last = format!("{host}: its answer is not signed with the issuer's circle key"),
            Err(error) => last = format!("{host}: {error}"),
        }
    }
    Err(if sent { Unjudged::Unknown(last) } else { Unjudged::Unreachable(last) })
}

/// The member whose order this is, in a view that was proved fresh after it came.
///
/// # Errors
/// Why it is not heard.
pub fn heard<'a>(
    view: &'a State,
    secret: &[u8; 32],
    now_secs: u64,
    order: &Order<'_>,
    signature: &[u8],
) -> Result<&'a Arc<Member>, &'static str> {
    if !is_challenge(secret, order.member, now_secs, &order.challenge) {
        return Err("the challenge is not one that this cluster made a moment ago");
    }
    let member = view.member(order.member).ok_or("only members of the circle may ask")?;
    if !member.circle_key().is_some_and(|key| order.is_signed_by(key, signature)) {
        return Err("the order is not signed with the circle key of the member");
    }
    Ok(member)
}

/// What came of an order that was heard.
#[derive(Debug)]
pub enum Judged {
    /// The token has ended, and all that was to end with it.
    Revoked {
        /// What the first decision ended.
        first: Box<Revoked>,
        /// What was found of the tokens that were created with it.
        found: Descendants,
    },
    /// There is no such token.
    Unknown,
    /// The member or the token is not of the kind.
    Refused(Box<Refusal>),
    /// The log answered something else, or it refused the rest of what it had begun: what ended is not undone.
    Unforeseen,
}

/// Has the cluster revoke, and goes on until nothing is left that was to end with the token.
///
/// # Errors
/// What `decide` said: then part of it may have been done.
pub async fn carry_out<F, E>(
    revoke: &RevokeForMember,
    mut decide: impl FnMut(Action) -> F,
) -> Result<Judged, E>
where
    F: Future<Output = Result<Outcome, E>>,
{
    let mut first = None;
    let mut found = Descendants::default();
    loop {
        let revoked = match decide(Action::RevokeForMember(revoke.clone())).await? {
            Outcome::Revoked(revoked) => revoked,
            _ if first.is_some() => return Ok(Judged::Unforeseen),
            Outcome::NotFound { .. } => return Ok(Judged::Unknown),
            Outcome::Refused(refusal) if matches!(*refusal, Refusal::UnknownToken { .. }) => {
                return Ok(Judged::Unknown);
            }
            Outcome::Refused(refusal) => return Ok(Judged::Refused(refusal)),
            _ => return Ok(Judged::Unforeseen),
        };
        let Descendants { ended, living, more } = revoked.descendants;
        found.ended = found.ended.saturating_add(ended);
        found.living = found.living.saturating_add(living);
        let first = first.get_or_insert(revoked);
        if !more {
            return Ok(Judged::Revoked { first: first.clone(), found });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use circlet_authority::RevokeNote;
    use circlet_token::{ServiceId, TokenId};

    use super::*;

    /// Hosts that say, one after the other, what each is to say under the issuer's key; nothing if the answer is lost.
    struct Said {
        key: SigningKey,
        verdicts: Mutex<Vec<Option<&'static str>>>,
    }

    impl Hosts for Said {
        async fn challenge(&self, _: &str) -> Result<Vec<u8>, String> {
            Ok(Vec::new())
        }

        fn nonce(&self) -> [u8; 32] {
            [1; 32]
        }

        async fn order(&self, _: &str, order: &Order<'_>, _: &[u8]) -> Result<(String, Vec<u8>), String> {
            let said = self.verdicts.lock().expect("nobody panics").pop().flatten();
            let verdict = said.ok_or("the answer is lost")?;
            Ok((verdict.to_owned(), order.sign_verdict(&self.key, verdict)))
        }
    }

    async fn asked(verdicts: &[Option<&'static str>]) -> Result<String, Unjudged> {
        let service = |text: &str| ServiceId::parse(text).expect("it is one");
        let (issuer, us) = (service("jfrt@01issuer"), service("jfrt@01us"));
        let (key, ours) = (SigningKey::from_ed25519_seed(&[1; 32]), SigningKey::from_ed25519_seed(&[2; 32]));
        let theirs = CirclePublicKey::of(&key).expect("it is an Ed25519 key");
        let hosts = vec!["a host".to_owned(); verdicts.len()];
        let said = Said { key, verdicts: Mutex::new(verdicts.iter().rev().copied().collect()) };
        let (id, challenge) = (TokenId([3; 16]), Vec::new());
        let wanted = Order {
            issuer: &issuer,
            member: &us,
            challenge,
            nonce: [0; 32],
            id,
            cascade: false,
            by: "admin",
        };
        verdict(&said, &hosts, &wanted, (&ours, theirs), |verdict| verdict == "done").await
    }

    #[tokio::test]
    async fn a_refusal_after_an_order_that_was_lost_says_nothing_of_that_one() {
        assert_eq!(asked(&[Some("refused")]).await.expect("it is a verdict"), "refused");
        assert_eq!(asked(&[None, Some("done")]).await.expect("it is a verdict"), "done");
        for lost in [&[None, Some("refused")][..], &[None], &[None, Some("refused"), Some("refused")]] {
            assert!(matches!(asked(lost).await, Err(Unjudged::Unknown(_))), "{lost:?}");
        }
        assert!(matches!(asked(&[]).await, Err(Unjudged::Unreachable(_))), "nobody was asked");
    }

    /// What comes of an order with all that was created with the token, if the log answers this, one after the other.
    async fn carried_out(outcomes: Vec<Outcome>) -> Judged {
        let issuer = ServiceId::parse("jfrt@01us").expect("it is one");
        let revoke = RevokeForMember { issuer, member: 1, id: TokenId([3; 16]), cascade: true };
        let mut outcomes = outcomes.into_iter();
        let decide = |_| std::future::ready(outcomes.next().ok_or("nothing more was to be decided"));
        carry_out(&revoke, decide).await.expect("there is an answer to each")
    }

    #[tokio::test]
    async fn a_refusal_of_the_rest_is_no_refusal_of_what_was_revoked() {
        let revoked = |more| {
            let descendants = Descendants { ended: 2, living: 1, more };
            let (ids, already, note) = (vec![TokenId([3; 16])], false, RevokeNote::None);
            Outcome::Revoked(Box::new(Revoked { ids, already, note, descendants }))
        };
        let refused = || {
            let issuer = ServiceId::parse("jfrt@01us").expect("it is one");
            Outcome::Refused(Box::new(Refusal::MemberMayNotRevoke { issuer }))
        };
        assert!(matches!(carried_out(vec![refused()]).await, Judged::Refused(_)));
        assert!(matches!(carried_out(vec![revoked(true), refused()]).await, Judged::Unforeseen));
        let Judged::Revoked { found, .. } = carried_out(vec![revoked(true), revoked(false)]).await else {
            panic!("both parts were done")
        };
        assert_eq!((found.ended, found.living), (4, 2));
    }
}
