//! The table from what the cluster refused to what the caller is told.

use circlet_authority::Refusal;

use super::failure::{Code, Failure};
use crate::cluster::Unavailable;

/// What a client is told to wait while the floor can't be written, in seconds.
const FLOOR_RETRY_SECS: u32 = 2;

/// No decision, or no fresh view, as a failure. Of a write whose fate is unknown it says neither done nor not done.
pub(crate) fn unavailable(error: &Unavailable) -> Failure {
    match error {
        Unavailable::NotDone(why) => {
            Failure::unavailable("not_done", "the cluster cannot decide at the moment; nothing was changed")
                .with_detail(why)
        }
        Unavailable::Unknown(why) => Failure::unavailable(
            "fate_unknown",
            "the request may or may not have been carried out; ask again, or look, before you rely on either",
        )
        .with_detail(why),
        Unavailable::NotFresh(why) => {
            Failure::unavailable("stale", "this node cannot prove that its view is fresh enough")
                .with_detail(why)
        }
        Unavailable::NotOnFloor { index, why } => Failure::unavailable(
            "floor_unwritable",
            "it was decided, and is not on this node's revocation floor",
        )
        .with_detail(format!("log entry {index}: {why}; ask again, here or at another node"))
        .retry_after(FLOOR_RETRY_SECS),
        Unavailable::TooLarge { .. } => {
            Failure::new(Code::TooLarge, "too_large", "the request asks for more than one decision can hold")
                .with_detail(error.to_string())
        }
        Unavailable::Defect(why) => {
            tracing::error!(why, "a command was refused before it reached the log");
            Failure::new(Code::Internal, "internal", "Internal error")
        }
    }
}

/// A refusal as a failure: its kind, a stable word, the message, and a detail where clients match the message.
pub(crate) fn failure(refusal: &Refusal) -> Failure {
    let text = refusal.to_string();
    let (code, reason) = row(refusal);
    match refusal {
        Refusal::NotRevocable { .. } => {
            let why = text.strip_prefix("Token not revocable: ").unwrap_or(&text);
            Failure::new(code, reason, "Token not revocable").with_detail(why)
        }
        Refusal::RefreshUsed
        | Refusal::RefreshUsedFamilyRevoked
        | Refusal::RefreshUnknown
        | Refusal::RefreshRevoked
        | Refusal::RefreshMismatch
        | Refusal::RefreshExpired { .. } => {
            Failure::new(code, reason, "Token matching the provided refresh token was not found.")
                .with_detail(text)
        }
        Refusal::ActorRevoked { .. } => Failure::token(reason, "revoked").with_detail(text),
        Refusal::ActorExpired { .. } => Failure::token(reason, "expired").with_detail(text),
        Refusal::ActorUnknown { .. } => Failure::unauthorized(reason, text),
        Refusal::NotBootstrapped => Failure::unavailable(reason, text),
        _ => Failure::new(code, reason, text),
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "a table: a line for each refusal, and the compiler sees that none is missing"
)]
fn row(refusal: &Refusal) -> (Code, &'static str) {
    use Refusal as R;
    match refusal {
        R::NotBootstrapped => (Code::Unavailable, "not_bootstrapped"),
        R::AlreadyBootstrapped { .. } => (Code::Conflict, "already_bootstrapped"),
        R::Forbidden { .. } => (Code::Forbidden, "forbidden"),
        R::ActorRevoked { .. } => (Code::Unauthorized, "revoked"),
        R::ActorExpired { .. } => (Code::Unauthorized, "expired"),
        R::ActorUnknown { .. } => (Code::Unauthorized, "unknown_user"),
        R::UserDisabled { .. } => (Code::Forbidden, "user_disabled"),
        R::UserUnknown { .. } => (Code::NotFound, "unknown_user"),
        R::GroupUnknown { .. } => (Code::NotFound, "unknown_group"),
        R::UserExists { .. } | R::GroupExists { .. } => (Code::Conflict, "exists"),
        R::LastAdministrator { .. } | R::LastAdministratorGroup { .. } => {
            (Code::Conflict, "last_administrator")
        }
        R::LimitReached { .. } => (Code::Conflict, "limit_reached"),
        R::TooLong { .. } => (Code::BadRequest, "too_long"),
        R::UnknownToken { .. } => (Code::NotFound, "unknown_token"),
        R::TokenRevoked { .. } => (Code::NotFound, "revoked"),
        R::NotRevocable { .. } => (Code::BadRequest, "not_revocable"),
        R::ForeignToken { .. } => (Code::BadRequest, "foreign_token"),
        R::IdTaken { .. } | R::Taken { .. } => (Code::Conflict, "taken"),
        R::IdempotencyConflict => (Code::Conflict, "idempotency_conflict"),
        R::RefreshUsed | R::RefreshUsedFamilyRevoked => (Code::RefreshUnknown, "refresh_used"),
        R::RefreshUnknown => (Code::RefreshUnknown, "refresh_unknown"),
        R::RefreshRevoked => (Code::RefreshUnknown, "refresh_revoked"),
        R::RefreshMismatch => (Code::RefreshUnknown, "refresh_mismatch"),
        R::RefreshExpired { .. } => (Code::RefreshUnknown, "refresh_expired"),
        R::OwnerUnknown { .. } => (Code::InvalidGrant, "owner_unknown"),
        R::OnlyForSelf { .. } => (Code::TooMuchAsked, "only_for_self"),
        R::ScopeForbidden { .. } => (Code::TooMuchAsked, "scope_forbidden"),
        R::NotMember { .. } => (Code::TooMuchAsked, "not_member"),
        R::ExpiryTooLong { .. } => (Code::TooMuchAsked, "expiry_too_long"),
        R::InsufficientScope { .. } => (Code::BadRequest, "insufficient_scope"),
        R::ScopeUnaccepted { .. } => (Code::BadRequest, "scope_unaccepted"),
        R::ForeignSubject { .. } => (Code::BadRequest, "foreign_subject"),
        R::ConfigInvalid { .. } => (Code::BadRequest, "config_invalid"),
        R::ConfigChanged { .. } => (Code::Conflict, "config_changed"),
        R::KeyUnknown { .. } => (Code::NotFound, "key_unknown"),
        R::KeyState { .. } => (Code::Conflict, "key_state"),
        R::RotationUnderWay { .. } => (Code::Conflict, "rotation_under_way"),
        R::KeyNotReady { .. } => (Code::Conflict, "key_not_ready"),
        R::KeyNeeded { .. } => (Code::Conflict, "key_needed"),
        R::KeyIsOurs { .. } | R::IssuerIsUs { .. } => (Code::BadRequest, "issuer_is_us"),
        R::KeyOfAnotherIssuer { .. } => (Code::Conflict, "key_of_another_issuer"),
        R::IssuerUnknown { .. } => (Code::NotFound, "issuer_unknown"),
        R::JoinTokenUnknown => (Code::NotFound, "join_token_unknown"),
        R::JoinTokenExpired { .. } => (Code::Forbidden, "join_token_expired"),
        R::CaReplaced => (Code::Conflict, "ca_replaced"),
        R::SealedUnderAnother | R::MasterKeyReplaced | R::MasterKeyUnknown => {
            (Code::Conflict, "master_key_replaced")
        }
        R::MasterKeyUnderWay | R::MasterKeyNotReady { .. } => (Code::Conflict, "master_key_under_way"),
        R::LostNodePending => (Code::Conflict, "lost_node_pending"),
        R::NodeNotRemoved { .. } => (Code::Conflict, "node_not_removed"),
        R::JoinKeyOff => (Code::Forbidden, "join_key_off"),
        R::JoinTokenUsed => (Code::Conflict, "join_token_used"),
        R::NodeUnknown { .. } => (Code::NotFound, "node_unknown"),
        R::LevelNotSupported { .. } | R::NodeTooOld { .. } => (Code::Conflict, "feature_level"),
        R::NodeTaken { .. } => (Code::Conflict, "node_taken"),
        R::KeyOfRemovedNode { .. } => (Code::Conflict, "key_of_removed_node"),
        R::MarkUnknown { .. } | R::MarkTooYoung { .. } => (Code::Conflict, "purge_mark"),
        R::Empty { .. } => (Code::BadRequest, "empty"),
        R::MemberUnknown { .. } => (Code::NotFound, "member_unknown"),
        R::FeedMoved { .. } | R::FeedBroken { .. } => (Code::Conflict, "feed_moved"),
        R::NoCircleKey => (Code::NotFound, "no_circle_key"),
        R::InviteUnknown => (Code::Forbidden, "invite_unknown"),
        R::InviteExpired { .. } => (Code::Forbidden, "invite_expired"),
        R::InviteUsed => (Code::Conflict, "invite_used"),
        R::InviteForAnother { .. } => (Code::Forbidden, "invite_for_another"),
        R::IssuerKnown { .. } => (Code::Conflict, "issuer_known"),
        R::CircleKeyReplaced => (Code::Conflict, "circle_key_replaced"),
        R::KeyEnded { .. } => (Code::Conflict, "key_ended"),
        R::MemberMayNotRevoke { .. } => (Code::Forbidden, "member_may_not_revoke"),
    }
}
