//! `circlet key`: the cluster's signing keys.

use reqwest::Method;
use serde_json::{Value, json};

use super::failure::Failure;
use super::init::Algorithm;
use super::output::Output;
use super::profile::ServerArguments;
use super::table;
use crate::client::segment;

const KEYS: &str = "/circlet/v1/keys";

/// `circlet key`: the cluster's signing keys.
#[derive(clap::Subcommand)]
pub enum KeyCommand {
    /// List the signing keys: their state, their age, and what still depends on each
    List(List),
    /// Replace the signing key by a new one, without a request that fails on the way
    Rotate(Rotate),
    /// Refuse at once whatever a leaked key has signed; a new key signs in its place
    Taint(Taint),
    /// Replace the master key, under which every secret of the cluster is sealed, once every node holds the new one
    RotateMaster(RotateMaster),
    /// Replace the key and the certificate of the CA behind the nodes' TLS certificates
    RotateCa(RotateCa),
    /// Let a replaced key of another installation's go: you vouch that no token from before its adoption is left
    Retire(Retire),
}

impl KeyCommand {
    /// Runs the command.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(output).await,
            Self::Rotate(rotate) => rotate.run(output).await,
            Self::Taint(taint) => taint.run(output).await,
            Self::RotateMaster(rotate) => rotate.run(output).await,
            Self::RotateCa(rotate) => rotate.run(output).await,
            Self::Retire(retire) => retire.run(output).await,
        }
    }
}

/// List the signing keys.
#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    server: ServerArguments,
}

impl List {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let answer = self.server.client(output)?.request(Method::GET, KEYS, None).await?;
        output.result(&answer.json()?, for_people)
    }
}

/// A line for each key. Its age is how long it has been in its state, by the cluster's time.
fn for_people(list: &Value) -> String {
    let keys = ["kid", "state", "age", "algorithm", "origin", "since", "recorded_tokens", "waits"];
    let mut rows = table::rows(&list["keys"], &keys);
    for (row, key) in rows.iter_mut().zip(list["keys"].as_array().into_iter().flatten()) {
        row[2] = key["age"].as_u64().map(age).unwrap_or_default();
    }
    let columns = ["KEY ID", "STATE", "AGE", "ALGORITHM", "ORIGIN", "SINCE", "RECORDED TOKENS", "WAITS"];
    table::table(&columns, &rows)
}

/// So many seconds in the largest unit of which at least one is full.
fn age(secs: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "min")];
    let (full, unit) = UNITS.into_iter().find(|(unit, _)| secs >= *unit).unwrap_or((1, "s"));
    format!("{} {unit}", secs / full)
}

/// Replace the signing key by a new one.
#[derive(clap::Args)]
pub struct Rotate {
    /// How the new key signs; by default as the present one
    #[arg(long, value_name = "ALGORITHM")]
    algorithm: Option<Algorithm>,
    /// For how long the new key is shown at least before it signs, so that other clusters can be given its certificate;
    /// by default the setting key.overlap
    #[arg(long, value_name = "SECONDS")]
    overlap: Option<u64>,
    /// Give up a new key that does not sign yet
    #[arg(long, conflicts_with_all = ["algorithm", "overlap"])]
    cancel: bool,
    #[command(flatten)]
    server: ServerArguments,
}

impl Rotate {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        if self.cancel {
            let answer = client.request(Method::DELETE, &format!("{KEYS}/next"), None).await?;
            return output.result(&answer.json()?, |key| format!("gave up key {}", table::cell(&key["kid"])));
        }
        let body = json!({ "algorithm": self.algorithm.map(Algorithm::as_str), "overlap": self.overlap });
        let key = client.request(Method::POST, KEYS, Some(&body)).await?.json()?;
        output.result(&key, |key| format!("published key {}", table::cell(&key["kid"])))?;
        output.say(
            "it signs by itself once every node has unsealed it and every member of the circle has it: circlet key \
             list; circlet key rotate --cancel gives it up",
        );
        Ok(())
    }
}

/// Refuse at once whatever a leaked key has signed.
#[derive(clap::Args)]
pub struct Taint {
    /// The key id, as `circlet key list` shows it, or `active`
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    key: String,
    #[command(flatten)]
    server: ServerArguments,
}

impl Taint {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let path = format!("{KEYS}/{}/taint", segment(&self.key));
        let key: Value = client.request(Method::POST, &path, None).await?.json()?;
        output.result(&key, |key| {
            format!("tainted key {}: every token that it signed is refused", table::cell(&key["kid"]))
        })?;
        if client.is_anonymous() || client.token_text().is_some() {
            output.say("if your own token was signed with it, it is refused as well: use a password for the next one");
        }
        Ok(())
    }
}

/// Replace the master key.
#[derive(clap::Args)]
pub struct RotateMaster {
    #[command(flatten)]
    server: ServerArguments,
}

impl RotateMaster {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let turned = client.request(Method::POST, "/circlet/v1/cluster/master-key", None).await?.json()?;
        output.result(&turned, |turned| {
            format!(
                "the master key with the fingerprint {} took the place of {}",
                table::cell(&turned["fingerprint"]),
                table::cell(&turned["former"])
            )
        })?;
        output.say(
            "each node has written it to etc/security/master.key, or will when it comes back; give it to whatever places \
             that file, and keep the former one for backups that are sealed under it",
        );
        Ok(())
    }
}

/// Replace the cluster's CA.
#[derive(clap::Args)]
pub struct RotateCa {
    #[command(flatten)]
    server: ServerArguments,
}

impl RotateCa {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let turned = client.request(Method::POST, "/circlet/v1/cluster/ca", None).await?.json()?;
        output.result(&turned, |turned| table::cell(&turned["certificate"]).trim_end().to_owned())?;
        output.say(
            "each node's certificate follows by itself; give this one to clients that trust the cluster's CA, and make \
             join tokens anew",
        );
        Ok(())
    }
}

/// Let a replaced key go.
#[derive(clap::Args)]
pub struct Retire {
    /// The key id, as `circlet key list` shows it
    #[arg(value_name = "KEY", allow_hyphen_values = true)]
    key: String,
    #[command(flatten)]
    server: ServerArguments,
}

impl Retire {
    async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let path = format!("{KEYS}/{}/retire", segment(&self.key));
        let key: Value = client.request(Method::POST, &path, None).await?.json()?;
        output.result(&key, |key| format!("key {} has retired", table::cell(&key["kid"])))
    }
}

#[cfg(test)]
mod tests {
    use clap::Subcommand;
    use serde_json::json;

    use super::{KeyCommand, age, for_people};

    #[test]
    fn a_key_is_named_whose_id_begins_as_a_flag_does() {
        for (command, id) in
            [("taint", "-Zq3_x"), ("retire", "-Zq3_x"), ("taint", "--q3_x"), ("retire", "-h3_x")]
        {
            let commands = KeyCommand::augment_subcommands(clap::Command::new("key"));
            let parsed = commands.try_get_matches_from(["key", command, id]).expect("a key");
            let (_, named) = parsed.subcommand().expect("a command");
            assert_eq!(named.get_one::<String>("key").map(String::as_str), Some(id));
        }
    }

    #[test]
    fn an_age_is_said_in_the_largest_unit_that_is_full() {
        let ages = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 400 * 86_400].map(age);
        assert_eq!(ages, ["0 s", "59 s", "1 min", "59 min", "1 h", "23 h", "1 d", "400 d"]);
    }

    #[test]
    fn every_key_has_its_state_its_age_and_what_depends_on_it() {
        let key = |kid, state, age| {
            json!({"kid": kid, "state": state, "age": age, "algorithm": "EdDSA", "origin": "made",
                "since": "2026-01-31T12:00:00.000Z", "recorded_tokens": 7, "waits": null})
        };
        let mut retiring = key("b", "retiring", 7_300);
        retiring["waits"] = "7 recorded tokens are signed with it".into();
        let text = for_people(&json!({"keys": [key("a", "active", 259_200), retiring]}));
        let lines: Vec<String> =
            text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "a active 3 d EdDSA made 2026-01-31T12:00:00.000Z 7",
                "b retiring 2 h EdDSA made 2026-01-31T12:00:00.000Z 7 7 recorded tokens are signed with it",
            ]
        );
    }
}
