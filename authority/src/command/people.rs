//! Actions on users and groups.

use std::collections::BTreeSet;

use circlet_token::UserName;

use crate::{
    codec::{wire_enum, wire_struct},
    record::{Group, UserStatus},
};

/// Whether a record must or must not exist before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PutMode {
    /// It must not exist.
    Create = 1,
    /// It must exist.
    Update = 2,
    /// Either way.
    CreateOrUpdate = 3,
}
wire_enum!(PutMode {
    1 => Create,
    2 => Update,
    3 => CreateOrUpdate,
});

/// What happens to a user's password.
#[derive(Clone, PartialEq, Eq)]
#[repr(u8)]
pub enum PasswordChange {
    /// It stays as it is.
    Keep = 1,
    /// It becomes this argon2id hash, in PHC text form.
    Set(String) = 2,
    /// The user has none any more.
    Clear = 3,
}
wire_enum!(PasswordChange {
    1 => Keep,
    2 => Set(hash),
    3 => Clear,
});

impl std::fmt::Debug for PasswordChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep => "Keep",
            Self::Set(_) => "Set(..)",
            Self::Clear => "Clear",
        })
    }
}

/// Write a user. Fields that are `None` keep what an existing user has, and take the default on a new one. A new user
/// also joins every group that is marked `auto_join`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutUser {
    /// Already normalised.
    pub name: UserName,
    /// Whether the user must or must not exist.
    pub mode: PutMode,
    /// A mail address, checked at the edge.
    pub email: Option<String>,
    /// What happens to the password.
    pub password: PasswordChange,
    /// Whether the user administers this cluster. Default: no.
    pub admin: Option<bool>,
    /// The whole set of groups, which must exist. Default: none.
    pub groups: Option<BTreeSet<String>>,
    /// Default: enabled.
    pub status: Option<UserStatus>,
    /// Where the user comes from. Default: `internal`.
    pub realm: Option<String>,
    /// Whether the user may change the own mail address and password. Default: yes.
    pub profile_updatable: Option<bool>,
    /// Whether the password is unusable here. Default: no.
    pub internal_password_disabled: Option<bool>,
    /// Kept for clients that set it. Default: no.
    pub disable_ui_access: Option<bool>,
}
wire_struct!(PutUser {
    name,
    mode,
    email,
    password,
    admin,
    groups,
    status,
    realm,
    profile_updatable,
    internal_password_disabled,
    disable_ui_access,
});

impl PutUser {
    /// A write that changes nothing yet.
    #[must_use]
    pub fn new(name: UserName, mode: PutMode) -> Self {
        Self {
            name,
            mode,
            email: None,
            password: PasswordChange::Keep,
            admin: None,
            groups: None,
            status: None,
            realm: None,
            profile_updatable: None,
            internal_password_disabled: None,
            disable_ui_access: None,
        }
    }
}

/// Delete a user, and refuse every token that was issued to that name before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteUser {
    /// Already normalised.
    pub name: UserName,
}
wire_struct!(DeleteUser { name });

/// Write a group as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutGroup {
    /// The group as it shall be.
    pub group: Group,
    /// Whether it must or must not exist.
    pub mode: PutMode,
    /// If given, exactly these users are members afterwards; they must exist.
    pub members: Option<BTreeSet<UserName>>,
}
wire_struct!(PutGroup { group, mode, members });

/// Delete a group; its members leave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteGroup {
    /// The group's name.
    pub name: String,
}
wire_struct!(DeleteGroup { name });
