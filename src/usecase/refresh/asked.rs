//! What makes two refreshes the same request, so that one repeats the other. No session, so that the simulator's clients
//! repeat each other by the same lines.

use circlet_authority::Actor;
use circlet_token::{Lifetime, TokenId};

use crate::digest;

/// What a refresh was asked for with, as it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The refresh token.
    pub(crate) refresh_token: &'a str,
    /// The id of the access token that came with it.
    pub(crate) access: Option<TokenId>,
    /// Another scope.
    pub(crate) scope: Option<&'a str>,
    /// Another audience.
    pub(crate) audience: Option<&'a str>,
    /// Another lifetime.
    pub(crate) lifetime: Option<Lifetime>,
    /// Whether a reference token is to come with the successor.
    pub(crate) reference: bool,
}

impl Asked<'_> {
    /// Equal for equal requests. What needs a credential beyond the pair is another request where it comes with another one:
    /// a repeat asks for nothing that its successor doesn't have, so the log takes it for a refresh that changes nothing.
    pub(crate) fn digest(&self, actor: &Actor) -> [u8; 32] {
        let access = self.access.map(|id| id.to_string());
        let lifetime = self.lifetime.map(|lifetime| lifetime.secs().unwrap_or(0).to_string());
        let by = self.credential(actor);
        let mut parts = vec![
            Some(self.refresh_token),
            access.as_deref(),
            self.scope,
            self.audience,
            lifetime.as_deref(),
            Some(if self.reference { "reference" } else { "" }),
        ];
        parts.extend(by.iter().map(|part| Some(part.as_str())));
        digest::of(&parts)
    }

    /// Whom the request is authenticated as, and as how much of them, if it needs that and isn't so by the pair itself: the
    /// access token of the pair is rotated out when the refresh is repeated.
    fn credential(&self, actor: &Actor) -> Vec<String> {
        let changes = self.scope.is_some() || self.audience.is_some() || self.lifetime.is_some();
        match actor {
            Actor::User { name } if changes => vec!["user".to_owned(), name.to_string()],
            Actor::Token(token) if changes && (token.id.is_none() || token.id != self.access) => {
                vec!["token".to_owned(), token.subject.to_string(), token.scope.to_string()]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use circlet_authority::TokenActor;
    use circlet_token::{KeyId, Scope, ServiceId, Subject, UserName};

    use super::*;

    const PAIR: TokenId = TokenId([1; 16]);

    fn user(name: &str) -> Actor {
        Actor::User { name: UserName::parse(name).unwrap() }
    }

    fn token(id: TokenId, name: &str, scope: &str) -> Actor {
        let service = ServiceId::parse("jfrt@01us").unwrap();
        Actor::Token(Box::new(TokenActor {
            subject: Subject::user(&service, &UserName::parse(name).unwrap()),
            id: Some(id),
            key: KeyId::of_certificate(b"a certificate"),
            issued_at: 1,
            index: Some(1),
            scope: Scope::parse(scope).unwrap(),
            expires_at: None,
            revocable: None,
        }))
    }

    #[test]
    fn a_change_is_repeated_with_the_credential_that_it_was_asked_for_with() {
        let scope = Some("applied-permissions/admin");
        let asked = Asked {
            refresh_token: "it",
            access: Some(PAIR),
            scope,
            audience: None,
            lifetime: None,
            reference: false,
        };
        let others = TokenId([2; 16]);
        let by = [
            user("admin"),
            user("alice"),
            token(others, "admin", "applied-permissions/admin"),
            token(others, "admin", "applied-permissions/groups:readers"),
            Actor::RefreshPair,
        ];
        for (at, one) in by.iter().enumerate() {
            for (beside, other) in by.iter().enumerate() {
                assert_eq!(asked.digest(one) == asked.digest(other), at == beside, "{one:?} {other:?}");
            }
        }
        let renewed = token(TokenId([3; 16]), "admin", "applied-permissions/admin");
        assert_eq!(asked.digest(&by[2]), asked.digest(&renewed), "which token says so is the same");
        let itself = token(PAIR, "alice", "applied-permissions/user");
        assert_eq!(asked.digest(&itself), asked.digest(&Actor::RefreshPair), "it is rotated out by then");
    }

    #[test]
    fn whoever_asks_for_no_change_repeats_the_pair() {
        let (access, reference) = (Some(PAIR), true);
        let asked =
            Asked { refresh_token: "it", access, scope: None, audience: None, lifetime: None, reference };
        assert_eq!(asked.digest(&user("admin")), asked.digest(&Actor::RefreshPair));
        let longer = Asked { lifetime: Some(Lifetime::from_secs(60)), ..asked };
        assert_ne!(longer.digest(&user("admin")), longer.digest(&Actor::RefreshPair));
        assert_ne!(longer.digest(&user("admin")), asked.digest(&user("admin")));
    }
}
