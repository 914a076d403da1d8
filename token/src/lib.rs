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
//! | [`limits`] | every bound, with its unit |
mod algorithm;
mod audience;
mod base64url;
mod certificate;
mod claims;
mod json;
mod key_id;
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
pub use claims::Claims;
pub use key_id::KeyId;
pub use key_set::{KeyConflict, KeySet};
pub use lifetime::Lifetime;
pub use malformed::Malformed;
pub use mint::mint;
pub use parsed::Parsed;
pub use public_key::{KeyError, PublicKey};
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
