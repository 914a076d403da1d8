//! Users and groups.

use std::collections::BTreeSet;

use circlet_token::UserName;

use crate::codec::{wire_enum, wire_struct};

/// The realm of users that this cluster itself keeps.
pub const INTERNAL_REALM: &str = "internal";

/// Whether a user may do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum UserStatus {
    /// The normal case.
    Enabled = 1,
    /// Switched off by an administrator.
    Disabled = 2,
    /// Kept out until an administrator unlocks.
    Locked = 3,
    /// Known, but has never logged in.
    Invited = 4,
}
wire_enum!(UserStatus {
    1 => Enabled,
    2 => Disabled,
    3 => Locked,
    4 => Invited,
});

impl UserStatus {
    /// The word of the contract, section 1.7.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Locked => "locked",
            Self::Invited => "invited",
        }
    }

    /// The reverse of [`UserStatus::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Enabled, Self::Disabled, Self::Locked, Self::Invited]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// A user of this cluster.
#[derive(Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent field of the contract, section 1.7"
)]
pub struct User {
    /// Normalised.
    pub name: UserName,
    /// A mail address; may be empty.
    pub email: String,
    /// argon2id, in PHC text form.
    pub password_hash: Option<String>,
    /// Whether the user administers this cluster, apart from what groups give.
    pub admin: bool,
    /// Groups that exist.
    pub groups: BTreeSet<String>,
    /// Whether the user may do anything.
    pub status: UserStatus,
    /// Where the user comes from.
    pub realm: String,
    /// Whether the user may change the own mail address and password.
    pub profile_updatable: bool,
    /// Whether the password is unusable here.
    pub internal_password_disabled: bool,
    /// Kept for clients that set it.
    pub disable_ui_access: bool,
    /// The log index that created this user.
    pub created_index: u64,
}
wire_struct!(User {
    name,
    email,
    password_hash,
    admin,
    groups,
    status,
    realm,
    profile_updatable,
    internal_password_disabled,
    disable_ui_access,
    created_index,
});

impl User {
    /// Whether the user may act and be spoken for.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.status == UserStatus::Enabled
    }

    /// Whether this cluster only mirrors the user.
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.realm != INTERNAL_REALM
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("admin", &self.admin)
            .field("groups", &self.groups)
            .field("status", &self.status)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// A group of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Normalised.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether new users join it.
    pub auto_join: bool,
    /// Whether its members administer this cluster.
    pub admin_privileges: bool,
    /// Where the group comes from.
    pub realm: String,
    /// Kept for clients that set it.
    pub realm_attributes: String,
}
wire_struct!(Group { name, description, auto_join, admin_privileges, realm, realm_attributes });

impl Group {
    /// An internal group that gives nothing yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            auto_join: false,
            admin_privileges: false,
            realm: INTERNAL_REALM.to_owned(),
            realm_attributes: String::new(),
        }
    }
}
