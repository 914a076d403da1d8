//! Every limit of the state, with its unit last. What may differ between clusters is a setting (`limits.*`, see
//! [`Config`](crate::Config)) whose default stands here: a limit that decides an outcome is part of the state, never of a
//! binary. No limit ever refuses a revoke.

/// Users.
pub const USERS_MAX: i64 = 100_000;
/// Groups.
pub const GROUPS_MAX: i64 = 20_000;
/// Recorded tokens in all.
pub const RECORDED_TOKENS_MAX: i64 = 5_000_000;
/// Recorded tokens that one user created.
pub const RECORDED_TOKENS_PER_OWNER_MAX: i64 = 500_000;
/// Trusted issuers.
pub const TRUSTED_ISSUERS_MAX: i64 = 1_000;
/// Signing keys, retired ones included.
pub const KEYS_MAX: i64 = 1_000;
/// The text of a scope.
pub const SCOPE_BYTES_MAX: i64 = 500;
/// The text of an audience.
pub const AUDIENCE_BYTES_MAX: i64 = 255;
/// Entries of an audience.
pub const AUDIENCE_ENTRIES_MAX: i64 = 32;
/// A description, of a token or a group.
pub const DESCRIPTION_BYTES_MAX: i64 = 1_024;
/// Join tokens that can be redeemed.
pub const JOIN_TOKENS_MAX: i64 = 100;
/// Nodes, admitted ones included.
pub const NODES_MAX: i64 = 64;
/// Any other text in a command: names, addresses, mail addresses, file names.
pub const TEXT_BYTES_MAX: i64 = 1_024;
/// Revoked ids that can be looked up without their expiry, to tell "already revoked" from "unknown".
pub const REVOKED_LATELY_IDS_MAX: usize = 100_000;
/// What one purge step removes, so that no entry takes long to apply.
pub const PURGE_STEP_ENTRIES_MAX: usize = 20_000;
/// Tokens that one revoke looks at of those that were created with the revoked one, so that no entry takes long to apply.
pub const CASCADE_STEP_ENTRIES_MAX: usize = 10_000;
/// Tokens that one command imports.
pub const IMPORT_ENTRIES_MAX: usize = 50;
/// Tokens whose use one command notes.
pub const USES_MAX: usize = 2_000;
/// Changes of the configuration that are remembered.
pub const CONFIG_CHANGES_MAX: usize = 100;
/// A page of a listing.
pub const PAGE_ENTRIES_MAX: usize = 10_000;
/// Log entries that a generation of a cluster can have: the next one begins at the next multiple, so that no log index is
/// used twice. Ten thousand entries a second take three years, and numbers up to 2^53 hold nine thousand generations.
pub const GENERATION_ENTRIES: u64 = 1_000_000_000_000;
/// The feature level that every version supports.
pub const FIRST_FEATURE_LEVEL: u32 = 1;
/// The feature level from which on a cluster may require a floor under its revocations.
pub const FLOOR_FEATURE_LEVEL: u32 = 3;
/// One record in a snapshot; larger is damage.
pub const SNAPSHOT_RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Entries of our feed that are kept one by one; what is older is in the list only.
pub const FEED_WINDOW_ENTRIES_MAX: usize = 16_384;
/// Hosts of a member of the circle.
pub const MEMBER_HOSTS_MAX: usize = 16;
/// Token keys of a member that its feed has brought in, at a time: retiring ones and the next one are among them.
pub const MEMBER_KEYS_MAX: usize = 16;
/// Bytes of public keys that one step along a feed takes over, so that it fits into an entry of the log.
pub const TOLD_KEYS_BYTES_MAX: usize = 16 * 1024;
/// What is kept of an answer that was refused.
pub const FAULT_EVIDENCE_BYTES_MAX: usize = 1_024;
/// Fingerprints of former master keys that are remembered.
pub const FORMER_MASTER_KEYS_MAX: usize = 100;
/// Lost nodes that are remembered; those of whose secrets some are still to be replaced are never forgotten.
pub const LOST_NODES_MAX: usize = 100;
