//! What is on the disk of a node, for whoever has it.

use std::path::{Path, PathBuf};

use circlet::keys::Keys;
use circlet::machine::Authority;
use circlet::refresh_token::RefreshFields;
use circlet::seal::MasterKey;
use circlet::secret::Secret;
use circlet_authority::State;
use circlet_raft::offline;
use circlet_token::{Audience, Claims, Parsed, Scope, Subject, TokenId};

pub(super) fn master_key_file(home: &Path) -> PathBuf {
    home.join("etc/security/master.key")
}

pub(super) fn next_master_key_file(home: &Path) -> PathBuf {
    home.join("etc/security/next-master.key")
}

pub(super) fn text(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What a home's disk holds, for whoever has it: the keys in its state open under the key that lies beside it.
pub(super) struct Disk {
    pub(super) state: State,
    pub(super) master: MasterKey,
}

impl Disk {
    pub(super) fn read(home: &Path) -> Self {
        let held = offline::read::<Authority>(&home.join("data")).expect("a log that can be read");
        let master = MasterKey::parse(&Secret::from(text(&master_key_file(home)))).expect("a key");
        Self { state: held.machine.into_state(), master }
    }

    pub(super) fn keys(&self) -> Keys {
        Keys::new(self.master.clone())
    }

    /// An administrator's token, signed with the key on the disk.
    pub(super) fn forged_token(&self) -> String {
        let issuer = self.state.service_id().expect("a cluster").clone();
        let claims = Claims {
            revocable: Some(false),
            subject: Subject::parse(&format!("{issuer}/users/admin")).expect("a subject"),
            scope: Scope::parse("applied-permissions/admin").expect("a scope"),
            audience: Audience::any(),
            issuer,
            expires_at: Some(circlet::clock::wall_ms() / 1000 + 3_600),
            issued_at: circlet::clock::wall_ms() / 1000,
            not_before: None,
            id: Some(TokenId([7; 16])),
            index: Some(self.state.index()),
        };
        let active = self.state.active_key().expect("a key that signs");
        self.keys().mint(&self.state, &claims, &active.kid).expect("the disk holds all that it takes")
    }

    /// The refresh token and the reference token of a recorded token.
    pub(super) fn derived(&self, access: &str) -> (String, String) {
        let id = Parsed::parse(access).expect("a token").claims().id.expect("an id");
        let record = self.state.token(&id).expect("the disk knows the token");
        let secret = self.keys().refresh_secret(&self.state).expect("the disk holds the secret");
        let (family, sequence) = record.family.expect("a refreshable token");
        let refresh = secret.refresh_tokens.write(RefreshFields { family: family.0, sequence });
        let reference = secret.reference_tokens.write(&id.0, record.expires_at);
        (refresh, reference.expose_text().expect("text").to_owned())
    }
}

pub(in super::super) fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(copied.success());
}
