//! `circlet token revoke-all`: one entry in the log ends any number of tokens.

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::profile::ServerArguments;
use crate::cli::table;

const WATERMARKS: &str = "/circlet/v1/watermarks";

/// Revoke everything that was issued so far to some, or to all.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("whose").required(true)))]
pub struct RevokeAll {
    /// Everything of this user; `ci-*` stands for every user whose name begins like that
    #[arg(long, value_name = "NAME", group = "whose")]
    username: Option<String>,
    /// Everything of this subject, also of a trusted issuer; a `*` at the end stands for any text
    #[arg(long, value_name = "SUBJECT", group = "whose")]
    subject: Option<String>,
    /// Everything of those who are in this group now, and every token that claims the group
    #[arg(long, value_name = "NAME", group = "whose")]
    group: Option<String>,
    /// Everything that this key has signed: its id, or `active`
    #[arg(long, value_name = "KEY", group = "whose", allow_hyphen_values = true)]
    key: Option<String>,
    /// Everything that the cluster has issued to anybody
    #[arg(long, group = "whose")]
    everyone: bool,
    /// Only what was issued at this time or later: 2026-01-31T12:00:00Z, or seconds since 1970
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what was issued at this time or earlier
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only count the recorded tokens that would end
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    server: ServerArguments,
}

impl RevokeAll {
    pub(super) async fn run(self, output: &Output) -> Result<(), Failure> {
        let client = self.server.client(output)?;
        let body = json!({
            "user": self.username,
            "subject": self.subject,
            "group": self.group,
            "key": self.key,
            "everyone": self.everyone,
            "since": self.since,
            "until": self.until,
            "dry_run": self.dry_run,
        });
        let ended: Value = client.request(Method::POST, WATERMARKS, Some(&body)).await?.json()?;
        let verb = if self.dry_run { "would revoke" } else { "revoked" };
        output.result(&ended, |ended| {
            let (whom, recorded) = (table::cell(&ended["whom"]), &ended["recorded_tokens"]);
            format!("{verb} what was issued to {whom}: {recorded} recorded tokens")
        })?;
        output.say(&table::cell(&ended["note"]));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::RevokeAll;

    #[test]
    fn a_key_is_named_whose_id_begins_as_a_flag_does() {
        for id in ["-Zq3_x", "--q3_x", "-h3_x"] {
            let command = RevokeAll::augment_args(clap::Command::new("revoke-all"));
            let parsed = command.try_get_matches_from(["revoke-all", "--key", id]).expect("a key");
            assert_eq!(parsed.get_one::<String>("key").map(String::as_str), Some(id));
        }
    }
}
