//! What an access token is: its claims, how it is signed, and how it is verified.
//!
//! The crate is pure. It reads no clock, file, socket, environment or randomness: time and keys are parameters, so the
//! same call always gives the same answer.
//!
//! | read | for |
//! |---|---|
//! | [`ServiceId`], [`Subject`], [`UserName`], [`Scope`], [`Audience`], [`TokenId`], [`KeyId`], [`Lifetime`] | the words a token is made of, each parsed once |
//! | [`Claims`], [`mint`], [`SigningKey`] | issuing |
//! | [`read_certificate`], [`PublicKey`], [`KeySet`] | whom to believe |
//! | [`verify`], [`Parsed`], [`Check`], [`Reject`], [`SignatureFact`] | verifying, in one call or in its steps |
//! | [`Circle`], [`feed::Follower`] | verifying offline, revocable tokens too |
//! | [`feed`] | following what another cluster revoked |
//! | [`limits`] | every bound, with its unit |
//!
//! # Verifying offline
//!
//! A service that holds the root certificates of the clusters it trusts needs nothing else, no network either. It learns
//! whether a token is genuine, still valid and meant for it.
//!
//! ```
//! use circlet_token::{Check, KeySet, PublicKey, Reject, ServiceId, verify};
//!
//! let root = "\
//! -----BEGIN CERTIFICATE-----
//! MIIBWDCCAQqgAwIBAgIBATAFBgMrZXAwKjEoMCYGA1UEAwwfamZydEAwMWthMDAw
//! MDAwMDAwMDAwMDAwMDAwMGFhYTAgFw0yNjExMjMyMDQzMzZaGA82OTk4MTIwNzIw
//! NDMzNlowKjEoMCYGA1UEAwwfamZydEAwMWthMDAwMDAwMDAwMDAwMDAwMDAwMGFh
//! YTAqMAUGAytlcAMhAHm1Vi6P5lT5QHixEuipi6eQH4U65pW+1+DjkQutBJZko1Mw
//! UTAdBgNVHQ4EFgQUThzxuxUgzQ2ame4fSudSFkfdalMwHwYDVR0jBBgwFoAUThzx
//! uxUgzQ2ame4fSudSFkfdalMwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXADQQBaRrpL
//! cIymyo7YX7/A0nJahJ41KQFCI+CZVUITGn5p9Pp4HqMT0MFzZ+MtkoLVC8gm6TNW
//! cXnJKaqgDqQR/isO
//! -----END CERTIFICATE-----
//! ";
//! let mut keys = KeySet::new();
//! keys.insert(PublicKey::from_certificate(root.as_bytes(), None)?)?;
//!
//! // As it came in the header `Authorization: Bearer ...`.
//! let token = concat!(
//!     "eyJ2ZXIiOiIyIiwidHlwIjoiSldUIiwiYWxnIjoiRWREU0EiLCJraWQiOiJvY09IODNDMFpMUkRFaFh3UDZHZjR3Y2Y2Y2J4ZGdD",
//!     "anVzbkpZcW9xQy1RIn0.eyJzdWIiOiJqZnJ0QDAxa2EwMDAwMDAwMDAwMDAwMDAwMDAwYWFhL3VzZXJzL2FsaWNlIiwic2NwIjoi",
//!     "YXBwbGllZC1wZXJtaXNzaW9ucy91c2VyIiwiYXVkIjoiKkAqIiwiaXNzIjoiamZydEAwMWthMDAwMDAwMDAwMDAwMDAwMDAwMGFh",
//!     "YSIsImV4cCI6MTgwMDAwMzYwMCwiaWF0IjoxODAwMDAwMDAwLCJqdGkiOiI2YjFjOGQ4ZS0wZjVhLTRjNmUtOWE1Ny0xZDJmM2U0",
//!     "YTViNmMiLCJpZHgiOjQyfQ.OkYxDSN71Mpps4UwbzIipocD8f9ljCuZuMqbwX-7jDoND--dyn5WZY8X5nnmW7eJuZVsy4v7KrjE3",
//!     "RXkTocyAg",
//! );
//! let me = ServiceId::parse("jfxr@01ke0000000000000000000eee")?;
//! let now = 1_800_000_060; // seconds since 1970: the caller's clock
//!
//! let verified = verify(token, &keys, &Check::new(now, &me))?;
//! assert_eq!(verified.claims.subject.user_name(), Some("alice"));
//! assert!(verified.claims.scope.is_user());
//! assert_ne!(verified.claims.revocable, Some(true));
//!
//! // An hour later it is over, and the verdict says so.
//! let verdict = verify(token, &keys, &Check::new(now + 3600, &me));
//! assert_eq!(verdict, Err(Reject::Expired { at: 1_800_003_600, now: now + 3600 }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Revocable tokens
//!
//! Whether a *revocable* token was revoked only the issuing cluster can say. A service may follow what it says, from files, a
//! cache or a node: [`feed::Follower`] takes the bytes, whoever fetched them, and says what it promises. This is a feed as a node served it:
//!
//! ```
//! use circlet_token::feed::{FeedWant, Follower};
//! use circlet_token::{Check, Circle, KeySet, PublicKey, Reject, Revocation};
//!
//! // The caller fetches.
//! let fetch = |name: &str| std::fs::read(format!("{}/tests/data/offline/{name}", env!("CARGO_MANIFEST_DIR")));
//! let key = PublicKey::from_certificate(&fetch("root.crt")?, None)?;
//! let issuer = key.issuer().clone();
//! let mut keys = KeySet::new();
//! keys.insert(key)?;
//!
//! let mut follower = Follower::new(&issuer, &fetch("circle-key.der")?, 1_000_000).ok_or("no circle key")?;
//! assert_eq!(follower.want(), FeedWant::Page(Vec::new())); // GET /circlet/v1/feed/list?cursor=
//! follower.take(&fetch("list")?)?;
//! let now_ms = 1_795_987_403_670; // milliseconds since 1970: the caller's clock
//! follower.take_head(&fetch("head")?, now_ms)?; // GET /circlet/v1/feed/head
//!
//! // Kept over a restart, so that nothing goes backwards.
//! let kept = follower.to_bytes();
//! let mut circle = Circle::new(keys);
//! circle.follow(Follower::from_bytes(&kept).ok_or("not kept whole")?);
//!
//! let check = |now| Check::new(now, &issuer);
//! let (good, gone) = (String::from_utf8(fetch("good")?)?, String::from_utf8(fetch("gone")?)?);
//! let now = now_ms / 1_000;
//! assert_eq!(circle.verify(&good, &check(now))?.claims.revocable, Some(true));
//! assert_eq!(circle.verify(&gone, &check(now)), Err(Reject::Revoked { why: Revocation::Listed }));
//!
//! // A minute later nothing is known any more, unless another head has come.
//! let verdict = circle.verify(&good, &check(now + 60));
//! assert!(matches!(verdict, Err(Reject::Revoked { why: Revocation::ForeignStale { .. } })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod algorithm;
mod audience;
mod base64url;
mod certificate;
mod circle;
mod claims;
pub mod feed;
mod json;
mod key_id;
mod key_material;
mod key_set;
mod lifetime;
pub mod limits;
mod malformed;
mod mint;
mod parsed;
mod pem;
mod public_key;
mod reject;
mod scope;
mod service_id;
mod signing_key;
mod subject;
mod text;
mod token_id;
mod user_name;
mod verify;

pub use algorithm::Algorithm;
pub use audience::{Audience, AudienceEntry};
pub use certificate::{CertificateError, CertificateFacts, read_certificate};
pub use circle::Circle;
pub use claims::Claims;
pub use key_id::KeyId;
pub use key_material::KeyError;
pub use key_set::{KeyConflict, KeySet};
pub use lifetime::Lifetime;
pub use malformed::Malformed;
pub use mint::mint;
pub use parsed::Parsed;
pub use public_key::PublicKey;
pub use reject::{ParseReason, Reject, Revocation};
pub use scope::{Scope, ScopeItem};
pub use service_id::ServiceId;
pub use signing_key::{SigningKey, SigningKeyError};
pub use subject::Subject;
pub use token_id::TokenId;
pub use user_name::UserName;
pub use verify::{
    AudienceRule, Check, ExpiryRule, SignatureFact, Verified, verify, verify_claims, verify_signature,
};
