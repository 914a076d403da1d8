//! Every bound of this crate, with its unit last in the name.

/// The longest token that is looked at; a longer one is rejected before anything in it is decoded.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The longest scope that the Access API takes (contract 1.6). The caller that serves that API checks it with
/// [`Scope::chars`](crate::Scope::chars); a legacy scope that lists many groups may be longer.
pub const ACCESS_SCOPE_CHARS_MAX: usize = 500;

/// The longest scope that can be issued, counted as it stands in the token's JSON, where a character that is escaped
/// takes six bytes or twelve. Together with the longest subject, audience and signature it stays below
/// [`TOKEN_BYTES_MAX`].
pub const SCOPE_JSON_BYTES_MAX: usize = 5 * 1024;

/// The longest audience that can be issued (contract 1.6).
pub const AUDIENCE_CHARS_MAX: usize = 255;

/// The most services that an audience of ours names.
pub const AUDIENCE_ENTRIES_MAX: usize = 64;

/// The longest user name.
pub const USER_NAME_CHARS_MAX: usize = 255;

/// The longest subject: a service id, `/users/` and the longest user name in its widest encoding.
pub const SUBJECT_BYTES_MAX: usize = SERVICE_ID_BYTES_MAX + 7 + 4 * USER_NAME_CHARS_MAX;

/// The longest service id: its kind, `@` and its unique part.
pub const SERVICE_ID_BYTES_MAX: usize = SERVICE_KIND_BYTES_MAX + 1 + SERVICE_UNIQUE_BYTES_MAX;

/// The longest kind of a service (`jfrt`, `jf-artifactory`).
pub const SERVICE_KIND_BYTES_MAX: usize = 32;

/// The longest unique part of a service id; a ULID has 26.
pub const SERVICE_UNIQUE_BYTES_MAX: usize = 64;

/// The largest certificate or private key file that is looked at.
pub const PEM_BYTES_MAX: usize = 64 * 1024;

/// The smallest RSA key that is believed or used.
pub const RSA_BITS_MIN: usize = 2048;

/// The largest RSA key that is believed or used: a larger one makes every verification expensive.
pub const RSA_BITS_MAX: usize = 4096;

/// How far ahead of the verifier's clock `iat` may lie unless the caller says otherwise.
pub const LEEWAY_SECS_DEFAULT: u64 = 60;

/// The longest piece of foreign text that an error message repeats.
pub const QUOTED_CHARS_MAX: usize = 80;
