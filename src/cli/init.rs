//! `circlet init`: a new cluster of one node.

use std::path::{Path, PathBuf};

use circlet_token::{ServiceId, UserName, read_certificate};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::Output;
use crate::certificates::TokenKeyKind;
use crate::home::{self, Paths};
use crate::node::bootstrap_credentials;
use crate::node::founding::{
    Administrator, Founded, Founding, FoundingError, TokenKey, found, new_service_id,
};
use crate::secret::Secret;

/// Without `l`, `o`, `0`, `1` and the like, so that it can be read out: 5 bits a character.
const PASSWORD_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 120 bits.
const PASSWORD_CHARS: usize = 24;

/// Make a new cluster of one node in a home directory.
#[derive(clap::Args)]
pub struct Init {
    /// The home directory of the first node; made if missing
    #[arg(long, value_name = "DIR", env = "CIRCLET_HOME")]
    home: PathBuf,
    #[command(flatten)]
    node: NodeFlags,
    /// How the cluster's tokens are signed; rs256 is for clients and circles that read RSA only
    #[arg(long, value_name = "ALGORITHM", default_value = "eddsa", conflicts_with_all = ["key", "cert"])]
    algorithm: Algorithm,
    /// The service id, if the cluster is the heir of another installation; otherwise one is drawn
    #[arg(long, value_name = "ID")]
    service_id: Option<String>,
    /// The private key of the tokens, PEM, if the cluster is the heir of another installation
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The certificate of that key, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The first administrator
    #[arg(long, value_name = "NAME", default_value = "admin")]
    admin: String,
    /// The first administrator's mail address
    #[arg(long, value_name = "ADDRESS", default_value = "admin@example.org")]
    admin_email: String,
    /// A file with the first administrator's password; without it a random one is printed, once.
    /// Administrators in etc/bootstrap.creds of the home come before both
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
}

/// What a new node is called and where it listens, for those who don't write `etc/node.yml` beforehand.
#[derive(clap::Args)]
#[command(next_help_heading = "Node")]
pub struct NodeFlags {
    /// The node's name, unique in its cluster
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where the node listens for clients
    #[arg(long, value_name = "ADDRESS:PORT")]
    http_listen: Option<String>,
    /// Where clients reach it
    #[arg(long, value_name = "URL")]
    http_advertise: Option<String>,
    /// Where the node listens for its peers
    #[arg(long, value_name = "HOST:PORT")]
    peer_listen: Option<String>,
    /// Where its peers reach it
    #[arg(long, value_name = "HOST:PORT")]
    peer_advertise: Option<String>,
}

impl NodeFlags {
    /// The settings that were chosen, as `node.yml` names them.
    #[must_use]
    pub fn chosen(self) -> Vec<(&'static str, String)> {
        let chosen = [
            ("name", self.name),
            ("http.listen", self.http_listen),
            ("http.advertise", self.http_advertise),
            ("peer.listen", self.peer_listen),
            ("peer.advertise", self.peer_advertise),
        ];
        chosen.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect()
    }
}

/// How the cluster's tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Algorithm {
    /// Ed25519
    Eddsa,
    /// RSA with 2048 bits
    Rs256,
}

impl Algorithm {
    /// As the command line spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eddsa => "eddsa",
            Self::Rs256 => "rs256",
        }
    }
}

impl Init {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let file = Paths::new(&self.home).bootstrap_creds();
        let (administrators, password) = self.administrators(&file)?;
        let admin = administrators.first().map(|first| first.name.to_string()).unwrap_or_default();
        let home = self.home.clone();
        let founded = found(self.founding(administrators)?).await.map_err(failure)?;
        if file.exists() {
            std::fs::remove_file(&file)
                .map_err(|error| Failure::ours(format!("can't remove {}", file.display())).because(error))?;
        }
        let shown = password.as_ref().and_then(Secret::expose_text);
        let mut result = describe(&founded);
        result["home"] = json!(home);
        result["admin"] = json!({ "username": admin });
        if let Some(shown) = shown {
            result["admin"]["password"] = json!(shown);
        }
        output.result(&result, |_| {
            let mut text = format!(
                "founded cluster {} with node {} in {}\ntokens are signed with {} key {}\nadministrator {}",
                founded.service_id,
                founded.node_id,
                home.display(),
                founded.algorithm.as_str(),
                founded.key_id,
                admin,
            );
            if let Some(shown) = shown {
                text.push_str(" has the password ");
                text.push_str(shown);
                text.push_str(", which is not shown again");
            }
            text
        })?;
        output.say(&format!("run it with: circlet serve --home {}", home.display()));
        Ok(())
    }

    /// Who is in charge of the new cluster; and the password to show, if it was drawn here.
    fn administrators(&self, file: &Path) -> Result<(Vec<Administrator>, Option<Secret>), Failure> {
        let named = bootstrap_credentials::read(file)?;
        if !named.is_empty() {
            return Ok((named, None));
        }
        let name = UserName::parse(&self.admin.to_lowercase())
            .map_err(|error| Failure::input("--admin is not a user name").because(error))?;
        // A password that the caller chose is not repeated.
        let (password, shown) = if let Some(file) = &self.admin_password_file {
            (read_password(file)?, None)
        } else {
            let drawn = random_password();
            (drawn.clone(), Some(drawn))
        };
        Ok((vec![Administrator { name, email: self.admin_email.clone(), password }], shown))
    }

    fn founding(self, administrators: Vec<Administrator>) -> Result<Founding, Failure> {
        // A pair that was placed in etc/keys beforehand is the cluster's.
        let placed = Paths::new(&self.home);
        let token_key = match (self.key, self.cert) {
            (Some(private_key), Some(certificate)) => {
                TokenKey::Adopt { certificate, private_key, named: true }
            }
            _ if placed.private_key().exists() => TokenKey::Adopt {
                certificate: placed.root_crt(),
                private_key: placed.private_key(),
                named: false,
            },
            _ => TokenKey::Generate(match self.algorithm {
                Algorithm::Eddsa => TokenKeyKind::EdDsa,
                Algorithm::Rs256 => TokenKeyKind::Rs256,
            }),
        };
        let service_id = self.service_id.as_deref().map(ServiceId::parse).transpose();
        let service_id = service_id.map_err(|error| {
            Failure::input("--service-id is not a service id")
                .because(error)
                .hint("a service id is a kind, `@` and a ULID, such as jfrt@01hzx3b2q5v7k9m4n6p8r0s2t4")
        })?;
        let service_id = service_id.or_else(|| nameless(&token_key).then(new_service_id));
        Ok(Founding { home: self.home, chosen: self.node.chosen(), token_key, service_id, administrators })
    }
}

/// Whether a pair that is adopted leaves it to the cluster what it is called. What can't be read is told later, by name.
fn nameless(token_key: &TokenKey) -> bool {
    let TokenKey::Adopt { certificate, named: false, .. } = token_key else { return false };
    let facts = std::fs::read(certificate).ok().and_then(|bytes| read_certificate(&bytes).ok());
    facts.is_some_and(|facts| facts.issuer.is_none())
}

fn describe(founded: &Founded) -> Value {
    json!({
        "service_id": founded.service_id.as_str(),
        "node_id": founded.node_id,
        "url": founded.url,
        "kid": founded.key_id.as_str(),
        "algorithm": founded.algorithm.as_str(),
    })
}

fn read_password(file: &Path) -> Result<Secret, Failure> {
    let text = home::read_secret(file, "it holds the administrator's password")?;
    let password = text.expose_text().map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    match password {
        Some(password) if !password.is_empty() => Ok(Secret::from(password)),
        _ => Err(Failure::input(format!("{} holds no password", file.display()))),
    }
}

fn random_password() -> Secret {
    let random = Secret::random(PASSWORD_CHARS);
    let characters = random.expose().iter().map(|byte| PASSWORD_ALPHABET[usize::from(byte & 31)]);
    Secret::new(characters.collect())
}

fn failure(error: FoundingError) -> Failure {
    match error {
        FoundingError::Home(error) => error.into(),
        FoundingError::Adopted { .. } | FoundingError::AdoptedKey { .. } => Failure::input(error.to_string()),
        FoundingError::Nameless { .. } => {
            Failure::input(error.to_string()).hint("say whose key it is with --service-id")
        }
        other => Failure::ours("the cluster could not be founded").because(other),
    }
}

#[cfg(test)]
mod tests {
    use super::random_password;

    #[test]
    fn random_passwords_are_long_and_differ() {
        let (one, other) = (random_password(), random_password());
        assert_eq!(one.expose_text().map(str::len), Some(24));
        assert!(one != other);
    }
}
