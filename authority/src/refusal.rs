//! Why a command was not carried out.

use circlet_token::{KeyId, ServiceId, Subject, TokenId, UserName};

use crate::codec::wire_enum;

/// One reason per variant. Its `Display` is one line: what was asked, what is allowed, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant's message is its documentation")]
pub enum Refusal {
    #[error("the cluster has not been initialised; run `circlet init` first")]
    NotBootstrapped = 1,
    #[error("the cluster is already initialised as {service_id}")]
    AlreadyBootstrapped { service_id: ServiceId } = 2,
    #[error("{asked} is not allowed; {allowed}")]
    Forbidden { asked: String, allowed: String } = 3,
    #[error("the token of the caller is refused: {why}")]
    ActorRevoked { why: String } = 4,
    #[error("the token of the caller expired at {at}")]
    ActorExpired { at: u64 } = 5,
    #[error("user {name} is not a user of this cluster")]
    ActorUnknown { name: UserName } = 6,
    #[error("user {name} is disabled")]
    UserDisabled { name: UserName } = 7,
    #[error("user {name} does not exist")]
    UserUnknown { name: UserName } = 8,
    #[error("user {name} exists already")]
    UserExists { name: UserName } = 9,
    #[error("group {name} does not exist")]
    GroupUnknown { name: String } = 10,
    #[error("group {name} exists already")]
    GroupExists { name: String } = 11,
    #[error("user {name} is the last administrator; make another user administrator first")]
    LastAdministrator { name: UserName } = 12,
    #[error("without group {name} nobody would be administrator; make a user administrator first")]
    LastAdministratorGroup { name: String } = 13,
    #[error("{}", reached(limit, *max))]
    LimitReached { limit: String, max: u64 } = 14,
    #[error("{what} has {found} bytes; {limit} allows {max}")]
    TooLong { what: String, found: u64, limit: String, max: u64 } = 15,
    #[error("token {id} is not known here")]
    UnknownToken { id: TokenId } = 16,
    #[error("token {id} has been revoked")]
    TokenRevoked { id: TokenId } = 17,
    #[error(
        "Token not revocable: token {id} lives to its expiry; only tokens that never expire, live long enough or were created with force_revocable can be revoked"
    )]
    NotRevocable { id: TokenId, expires_at: Option<u64> } = 18,
    #[error("token {id} was issued by {issuer}, not by this cluster ({here}); ask there")]
    ForeignToken { id: TokenId, issuer: ServiceId, here: ServiceId } = 19,
    #[error("the id {id} belongs to another token")]
    IdTaken { id: TokenId } = 20,
    #[error("the Idempotency-Key was used for another request; use a new key")]
    IdempotencyConflict = 21,
    #[error("the refresh token has been used before; use the one that came with its successor")]
    RefreshUsed = 22,
    #[error("the refresh token has been used before; its family of tokens was revoked for that")]
    RefreshUsedFamilyRevoked = 23,
    #[error("the refresh token is not known here")]
    RefreshUnknown = 24,
    #[error("the refresh token has been revoked")]
    RefreshRevoked = 25,
    #[error("access token and refresh token do not belong together")]
    RefreshMismatch = 26,
    #[error(
        "the refresh token's access token expired at {expired_at}; refreshing was possible until {until}"
    )]
    RefreshExpired { expired_at: u64, until: u64 } = 27,
    #[error("Cannot refresh token, token owner does not exist: {name}")]
    OwnerUnknown { name: UserName } = 28,
    #[error("the user {asked_by} can only create user tokens for themselves (requested: {requested})")]
    OnlyForSelf { asked_by: UserName, requested: String } = 29,
    #[error("the user {asked_by} cannot request a token with scope {item}")]
    ScopeForbidden { asked_by: UserName, item: String } = 30,
    #[error("the user {asked_by} is not a member of the following groups: {groups}")]
    NotMember { asked_by: UserName, groups: String } = 31,
    #[error(
        "the user {asked_by} can only create tokens that expire within {max} seconds (requested: {requested})"
    )]
    ExpiryTooLong { asked_by: UserName, max: u64, requested: String } = 32,
    #[error("insufficient scope: {scope}; name at least one group, or a scope that the subject can use")]
    InsufficientScope { scope: String } = 33,
    #[error("unaccepted scope: {item}; {why}")]
    ScopeUnaccepted { item: String, why: String } = 34,
    #[error("subject {subject} does not belong to this cluster ({here})")]
    ForeignSubject { subject: Subject, here: ServiceId } = 35,
    #[error("configuration: {why}")]
    ConfigInvalid { why: String } = 36,
    #[error("the configuration is at version {current}, not {expected}; read it again and repeat the change")]
    ConfigChanged { expected: u64, current: u64 } = 37,
    #[error("key {kid} is not in the keyring")]
    KeyUnknown { kid: KeyId } = 38,
    #[error("key {kid} is {state}; {why}")]
    KeyState { kid: KeyId, state: String, why: String } = 39,
    #[error("certificate {kid} carries a key of this cluster itself")]
    KeyIsOurs { kid: KeyId } = 40,
    #[error("{issuer} is this cluster itself")]
    IssuerIsUs { issuer: ServiceId } = 41,
    #[error("the key of certificate {kid} already speaks for {issuer}; one key belongs to one issuer")]
    KeyOfAnotherIssuer { kid: KeyId, issuer: ServiceId } = 42,
    #[error("certificate {kid} is not trusted here")]
    IssuerUnknown { kid: KeyId } = 43,
    #[error("the join token is not known; make one with `circlet cluster token`")]
    JoinTokenUnknown = 44,
    #[error("the join token expired at {at}; make a new one with `circlet cluster token`")]
    JoinTokenExpired { at: u64 } = 45,
    #[error("the join token was used by another node; make a new one with `circlet cluster token`")]
    JoinTokenUsed = 46,
    #[error("node {node} has the same {what}; remove it first")]
    NodeTaken { node: u64, what: String } = 47,
    #[error("this key was node {node}'s, which was removed, and never returns; join from an empty home")]
    KeyOfRemovedNode { node: u64 } = 55,
    #[error("nothing was marked at log index {mark}; mark again")]
    MarkUnknown { mark: u64 } = 48,
    #[error("the mark is {elapsed_ms} ms old; removing needs {needed_ms} ms")]
    MarkTooYoung { elapsed_ms: u64, needed_ms: u64 } = 49,
    #[error("{what} is in use already; draw a new one")]
    Taken { what: String } = 50,
    #[error("{what} must not be empty")]
    Empty { what: String } = 51,
    #[error(
        "key {kid} is published and not active yet; wait for it, or give it up with `circlet key rotate --cancel`"
    )]
    RotationUnderWay { kid: KeyId } = 52,
    #[error("key {kid} can't sign yet: {why}")]
    KeyNotReady { kid: KeyId, why: String } = 53,
    #[error("key {kid} can't retire yet: {why}")]
    KeyNeeded { kid: KeyId, why: String } = 54,
    #[error(
        "joining with a join key is not allowed here; set join.allow-key, or join with `circlet cluster token`"
    )]
    JoinKeyOff = 140,
    #[error("the cluster's CA has been replaced meanwhile; look again")]
    CaReplaced = 141,
    #[error("it was sealed under another master key than the cluster's; ask again")]
    SealedUnderAnother = 142,
    #[error("another master key is on its way; it goes on by itself")]
    MasterKeyUnderWay = 143,
    #[error("this master key is not on its way; look again")]
    MasterKeyUnknown = 144,
    #[error("the next master key can't take its place yet: {why}")]
    MasterKeyNotReady { why: String } = 145,
    #[error("node {node} is a member; remove it first")]
    NodeNotRemoved { node: u64 } = 146,
    #[error("the cluster's master key has been replaced meanwhile; look again")]
    MasterKeyReplaced = 147,
    #[error("what a lost node knew is being replaced; join when that is done")]
    LostNodePending = 148,
    #[error("node {node} is not a node of this cluster")]
    NodeUnknown { node: u64 } = 150,
    #[error("feature level {to} can't be written yet: node {node} supports {supports}")]
    LevelNotSupported { to: u32, node: u64, supports: u32 } = 151,
    #[error(
        "the cluster writes at feature level {level}, and this node supports up to {supports}; run a newer version of circlet there"
    )]
    NodeTooOld { level: u32, supports: u32 } = 152,
    #[error("{issuer} is no member of the circle, or was approved anew meanwhile")]
    MemberUnknown { issuer: ServiceId } = 70,
    #[error("the feed of {issuer} has been followed further meanwhile")]
    FeedMoved { issuer: ServiceId } = 71,
    #[error("the entries are not those of the feed of {issuer}")]
    FeedBroken { issuer: ServiceId } = 72,
    #[error("this cluster has no circle key yet; ask again")]
    NoCircleKey = 73,
    #[error("the invitation is not known; make one with `circlet circle invite`")]
    InviteUnknown = 74,
    #[error("the invitation expired at {at}; make a new one with `circlet circle invite`")]
    InviteExpired { at: u64 } = 75,
    #[error("the invitation was used by another cluster; make a new one with `circlet circle invite`")]
    InviteUsed = 76,
    #[error("the invitation is for {guest}")]
    InviteForAnother { guest: ServiceId } = 77,
    #[error("{issuer} is known here already; invite it by name, with `circlet circle invite --for {issuer}`")]
    IssuerKnown { issuer: ServiceId } = 78,
    #[error("the circle key has been replaced meanwhile; look again")]
    CircleKeyReplaced = 79,
    #[error("{issuer} has said that key {kid} ended; it is not trusted again")]
    KeyEnded { kid: KeyId, issuer: ServiceId } = 80,
    #[error(
        "{issuer} may not revoke tokens of this cluster; an administrator here allows it with `circlet circle limits {issuer} --revoke true`"
    )]
    MemberMayNotRevoke { issuer: ServiceId } = 81,
}

/// Some limits are settings, and others nobody can raise.
fn reached(limit: &str, max: u64) -> String {
    if limit.starts_with("limits.") {
        format!("{limit} allows {max}; raise the setting or remove something")
    } else {
        format!("{limit} are {max} at most")
    }
}

wire_enum!(Refusal {
    1 => NotBootstrapped,
    2 => AlreadyBootstrapped { service_id },
    3 => Forbidden { asked, allowed },
    4 => ActorRevoked { why },
    5 => ActorExpired { at },
    6 => ActorUnknown { name },
    7 => UserDisabled { name },
    8 => UserUnknown { name },
    9 => UserExists { name },
    10 => GroupUnknown { name },
    11 => GroupExists { name },
    12 => LastAdministrator { name },
    13 => LastAdministratorGroup { name },
    14 => LimitReached { limit, max },
    15 => TooLong { what, found, limit, max },
    16 => UnknownToken { id },
    17 => TokenRevoked { id },
    18 => NotRevocable { id, expires_at },
    19 => ForeignToken { id, issuer, here },
    20 => IdTaken { id },
    21 => IdempotencyConflict,
    22 => RefreshUsed,
    23 => RefreshUsedFamilyRevoked,
    24 => RefreshUnknown,
    25 => RefreshRevoked,
    26 => RefreshMismatch,
    27 => RefreshExpired { expired_at, until },
    28 => OwnerUnknown { name },
    29 => OnlyForSelf { asked_by, requested },
    30 => ScopeForbidden { asked_by, item },
    31 => NotMember { asked_by, groups },
    32 => ExpiryTooLong { asked_by, max, requested },
    33 => InsufficientScope { scope },
    34 => ScopeUnaccepted { item, why },
    35 => ForeignSubject { subject, here },
    36 => ConfigInvalid { why },
    37 => ConfigChanged { expected, current },
    38 => KeyUnknown { kid },
    39 => KeyState { kid, state, why },
    40 => KeyIsOurs { kid },
    41 => IssuerIsUs { issuer },
    42 => KeyOfAnotherIssuer { kid, issuer },
    43 => IssuerUnknown { kid },
    44 => JoinTokenUnknown,
    45 => JoinTokenExpired { at },
    46 => JoinTokenUsed,
    47 => NodeTaken { node, what },
    48 => MarkUnknown { mark },
    49 => MarkTooYoung { elapsed_ms, needed_ms },
    50 => Taken { what },
    51 => Empty { what },
    52 => RotationUnderWay { kid },
    53 => KeyNotReady { kid, why },
    54 => KeyNeeded { kid, why },
    55 => KeyOfRemovedNode { node },
    140 => JoinKeyOff,
    141 => CaReplaced,
    142 => SealedUnderAnother,
    143 => MasterKeyUnderWay,
    144 => MasterKeyUnknown,
    145 => MasterKeyNotReady { why },
    146 => NodeNotRemoved { node },
    147 => MasterKeyReplaced,
    148 => LostNodePending,
    150 => NodeUnknown { node },
    151 => LevelNotSupported { to, node, supports },
    152 => NodeTooOld { level, supports },
    70 => MemberUnknown { issuer },
    71 => FeedMoved { issuer },
    72 => FeedBroken { issuer },
    73 => NoCircleKey,
    74 => InviteUnknown,
    75 => InviteExpired { at },
    76 => InviteUsed,
    77 => InviteForAnother { guest },
    78 => IssuerKnown { issuer },
    79 => CircleKeyReplaced,
    80 => KeyEnded { kid, issuer },
    81 => MemberMayNotRevoke { issuer },
});
