//! Which server and credential the commands use: flags, then the environment, then a small profile file.
//!
//! The profile file is `$XDG_CONFIG_HOME/circlet/profile.yml` or `~/.config/circlet/profile.yml`:
//!
//! ```yaml
//! url: https://tokens.example.org:8081
//! ca-file: /etc/ssl/circlet-ca.crt
//! access-token-file: /run/secrets/circlet-token
//! ```

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::failure::Failure;
use super::output::Output;
use crate::client::{Client, Credential, Server};
use crate::secret::Secret;

/// A token or password read from a file or from stdin is never longer.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Where to ask, and as whom.
#[derive(clap::Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArguments {
    /// The server's address, scheme://host:port
    #[arg(long, value_name = "URL", env = "CIRCLET_URL")]
    url: Option<String>,
    /// The access token to ask with; every user of this machine can see a flag, so prefer the environment or stdin
    #[arg(long, value_name = "TOKEN", env = "CIRCLET_ACCESS_TOKEN", hide_env_values = true)]
    access_token: Option<String>,
    /// Read the access token to ask with from stdin
    #[arg(long)]
    access_token_stdin: bool,
    /// Ask as this user, with the password in `CIRCLET_PASSWORD`; there is no flag for it
    #[arg(long, value_name = "NAME", env = "CIRCLET_USER")]
    user: Option<String>,
    /// Accept only a server with a certificate of an authority in this PEM file
    #[arg(long, value_name = "FILE", env = "CIRCLET_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// The profile file that says what no flag and no variable says
    #[arg(long, value_name = "FILE", env = "CIRCLET_PROFILE")]
    profile: Option<PathBuf>,
}

/// The profile file.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Profile {
    url: Option<String>,
    ca_file: Option<PathBuf>,
    access_token: Option<String>,
    access_token_file: Option<PathBuf>,
    user: Option<String>,
    password_file: Option<PathBuf>,
}

impl ServerArguments {
    /// A client for the server and credential that were given; without any credential it is a failure.
    pub fn client(self, output: &Output) -> Result<Client, Failure> {
        let client = self.client_or_anonymous(output)?;
        if client.is_anonymous() {
            return Err(Failure::input("no credential to ask with").hint(
                "set CIRCLET_ACCESS_TOKEN, pass --access-token-stdin, or --user NAME with the password in CIRCLET_PASSWORD",
            ));
        }
        Ok(client)
    }

    /// The same, where the server may be asked without a credential.
    pub fn client_or_anonymous(self, output: &Output) -> Result<Client, Failure> {
        let profile = Profile::load(self.profile.as_deref(), *output)?;
        let url = self.url.as_ref().or(profile.url.as_ref()).ok_or_else(|| {
            Failure::input("no server to ask")
                .hint("set CIRCLET_URL or pass --url, for example http://127.0.0.1:8081")
        })?;
        let server = Server::new(url, self.ca_file.as_deref().or(profile.ca_file.as_deref()))?;
        let credential = self.credential(profile)?;
        Ok(Client::new(server, credential))
    }

    /// The credential of the nearest source: stdin, flag or variable, profile. A user's name asks for a password.
    fn credential(self, profile: Profile) -> Result<Credential, Failure> {
        if self.access_token_stdin {
            return Ok(Credential::Token(secret_from_stdin("an access token")?));
        }
        if let Some(token) = self.access_token.filter(|token| !token.is_empty()) {
            return Ok(Credential::Token(token.into()));
        }
        if let Some(name) = self.user {
            return Ok(Credential::Password { name, password: password(&profile)? });
        }
        if let Some(token) = profile.access_token {
            return Ok(Credential::Token(token.into()));
        }
        if let Some(path) = &profile.access_token_file {
            return Ok(Credential::Token(secret_from_file(path)?));
        }
        match profile.user.clone() {
            Some(name) => Ok(Credential::Password { name, password: password(&profile)? }),
            None => Ok(Credential::Anonymous),
        }
    }
}

fn password(profile: &Profile) -> Result<Secret, Failure> {
    match (std::env::var("CIRCLET_PASSWORD"), &profile.password_file) {
        (Ok(password), _) => Ok(password.into()),
        (Err(_), Some(path)) => secret_from_file(path),
        (Err(_), None) => Err(Failure::input("a user's name was given, but no password")
            .hint("put it into CIRCLET_PASSWORD, or name a password-file in the profile file")),
    }
}

impl Profile {
    /// The named file, which must exist, or the usual one, which need not.
    fn load(named: Option<&Path>, output: Output) -> Result<Self, Failure> {
        let Some(path) = named.map(Path::to_path_buf).or_else(usual_place) else {
            return Ok(Self::default());
        };
        let unusable = || Failure::input(format!("the profile file {} cannot be used", path.display()));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                return Ok(Self::default());
            }
            Err(error) => return Err(unusable().because(error)),
        };
        let profile: Self = serde_saphyr::from_str(&text).map_err(|error| {
            unusable()
                .because(error)
                .hint("its keys are url, ca-file, access-token, access-token-file, user and password-file")
        })?;
        if profile.access_token.is_some() && is_readable_by_others(&path) {
            output.say(&format!(
                "warning: {} holds an access token and others may read it; chmod 600 it",
                path.display()
            ));
        }
        Ok(profile)
    }
}

fn usual_place() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")))?;
    Some(config.join("circlet").join("profile.yml"))
}

fn is_readable_by_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

fn secret_from_file(path: &Path) -> Result<Secret, Failure> {
    let unreadable = |error| Failure::input(format!("cannot read {}", path.display())).because(error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    secret_from(file, &path.display().to_string())
}

/// Reads a secret from stdin, up to its end, without the line break behind it.
pub fn secret_from_stdin(what: &str) -> Result<Secret, Failure> {
    secret_from(std::io::stdin().lock(), &format!("stdin, where {what} should be"))
}

fn secret_from(source: impl Read, place: &str) -> Result<Secret, Failure> {
    let mut text = String::new();
    let unreadable = |error| Failure::input(format!("cannot read {place}")).because(error);
    source.take(SECRET_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    text.truncate(text.trim_end().len());
    if text.is_empty() {
        return Err(Failure::input(format!("nothing on {place}")));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::{Profile, secret_from};

    #[test]
    fn a_profile_names_where_things_are_and_nothing_else() {
        let profile: Profile =
            serde_saphyr::from_str("url: http://h:1\naccess-token-file: /t\n").expect("a profile");
        assert_eq!(profile.url.as_deref(), Some("http://h:1"));
        assert!(profile.access_token_file.is_some());
        assert!(serde_saphyr::from_str::<Profile>("token: x\n").is_err());
    }

    #[test]
    fn a_secret_ends_before_the_line_break() {
        let secret = secret_from(&b"a.b.c\n"[..], "a test").expect("a secret");
        assert_eq!(secret.expose(), b"a.b.c");
        assert!(secret_from(&b"\n"[..], "a test").is_err());
    }
}
