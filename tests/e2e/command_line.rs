//! The command line against a real node: data on stdout, talk on stderr, and an exit code that says whose fault it was.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::promises::READY_WITHIN;

/// Runs the program as the administrator of a cluster.
struct Shell<'a> {
    cluster: &'a Cluster,
}

/// How a command ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Shell<'_> {
    fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, "", &[("CIRCLET_ACCESS_TOKEN", &self.cluster.admin_token)])
    }

    /// Runs with this stdin, and with no other setting than these and the server's address; again, while the answer is
    /// "not now".
    fn run_with(&self, arguments: &[&str], stdin: &str, environment: &[(&str, &str)]) -> Ended {
        let begun = Instant::now();
        loop {
            let ended = self.run_once(arguments, stdin, environment);
            if !ended.stderr.contains("server response: 503") || begun.elapsed() > READY_WITHIN {
                return ended;
            }
        }
    }

    fn run_once(&self, arguments: &[&str], stdin: &str, environment: &[(&str, &str)]) -> Ended {
        let mut child = Command::new(env!("CARGO_BIN_EXE_circlet"))
            .args(arguments)
            .env_clear()
            .env("CIRCLET_URL", self.cluster.endpoint(0).url())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut pipe = child.stdin.take().expect("a pipe");
        // A command that does not read its stdin may have closed it.
        let _ = pipe.write_all(stdin.as_bytes());
        drop(pipe);
        Ended::from(child.wait_with_output().expect("the program ends"))
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
        }
    }
}

impl Ended {
    /// The JSON of a command that must have succeeded.
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// The stderr of a command that must have ended with this code, and have printed nothing.
    #[track_caller]
    fn refused(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        assert_eq!(self.stdout, "", "nothing on stdout beside an error");
        &self.stderr
    }
}

#[tokio::test]
async fn the_command_line_does_what_the_interface_does() {
    let cluster = Cluster::start("single").await;
    let shell = Shell { cluster: &cluster };
    users_and_groups(&shell);
    the_life_of_a_token(&shell);
    verifying_offline(&shell);
    trusting_another_cluster(&shell);
    the_configuration(&shell);
    the_signing_keys(&shell);
    whose_fault_it_was(&shell);
    where_server_and_token_come_from(&shell);
}

fn users_and_groups(shell: &Shell<'_>) {
    shell.run(&["group", "create", "writers", "--description", "who may write", "--output", "json"]).json();
    let listed = shell.run(&["group", "list"]);
    assert!(listed.stdout.lines().any(|line| line == "writers"), "{}", listed.stdout);
    let alice = [
        "user",
        "create",
        "Alice",
        "--email",
        "alice@example.org",
        "--groups",
        "writers",
        "--output",
        "json",
    ];
    let alice = shell.run(&alice).json();
    assert_eq!(alice["username"], "alice");
    let password = alice["password"].as_str().expect("a generated password");
    let own = shell.run_with(
        &["token", "create"],
        "",
        &[("CIRCLET_USER", "alice"), ("CIRCLET_PASSWORD", password)],
    );
    assert_eq!(own.json()["scope"], "applied-permissions/user");
    let again = shell.run_with(
        &["user", "create", "alice", "--email", "a@example.org", "--password-stdin"],
        "correct-horse-1",
        &[("CIRCLET_ACCESS_TOKEN", &shell.cluster.admin_token)],
    );
    assert!(again.refused(1).contains("409"), "{}", again.stderr);
    shell.run(&["user", "delete", "alice", "--output", "json"]).json();
    assert!(!shell.run(&["user", "list"]).stdout.contains("alice"));
    shell.run(&["group", "delete", "writers", "--output", "json"]).json();
}

fn the_life_of_a_token(shell: &Shell<'_>) {
    let create = ["token", "create", "robot", "--groups", "readers", "--expiry", "31536000", "--refreshable"];
    let created = shell.run(&create);
    let pair = created.json();
    let id = pair["token_id"].as_str().expect("an id");
    assert_eq!(pair["scope"], "applied-permissions/groups:readers");
    let shown = shell.run(&["token", "show", id, "--output", "json"]).json();
    assert_eq!(shown["token_id"], id);
    let listed = shell.run(&["token", "list", "--username", "robot"]);
    assert!(listed.stdout.lines().any(|line| line.starts_with(id)), "{}", listed.stdout);

    let limits = shell.run(&["token", "limits", "--output", "json"]).json();
    assert_eq!((&limits["admin"], &limits["access"]["max_expiry"]), (&json!(true), &json!(0)), "{limits}");
    let limits = shell.run(&["token", "limits"]);
    assert!(limits.stdout.contains("legacy.default_expiry"), "{}", limits.stdout);

    let refreshed = shell.run_with(&["token", "refresh", "--pair", "-"], &created.stdout, &[]);
    let next = refreshed.json();
    assert_ne!(next["access_token"], pair["access_token"]);
    let next_access = next["access_token"].as_str().expect("a token");
    let verdict = shell.run_with(&["token", "verify", "--token-stdin", "--output", "json"], next_access, &[]);
    verdict.json();

    let next_id = next["token_id"].as_str().expect("an id");
    let revoked = shell.run(&["token", "revoke", next_id, "--output", "json"]).json();
    assert_eq!(revoked["tokens"][0]["state"], "revoked");
    let verdict = shell.run_with(&["token", "verify", "--token-stdin"], next_access, &[]);
    assert!(verdict.refused(1).contains("server response: 401"), "{}", verdict.stderr);
    let again = shell.run(&["token", "revoke", next_id]);
    assert!(again.stdout.contains("already revoked"), "{}", again.stdout);
}

fn verifying_offline(shell: &Shell<'_>) {
    let keys = shell.cluster.home(0).join("etc/keys");
    let keys = keys.to_str().expect("UTF-8");
    let token = shell.run(&["token", "create", "--expiry", "600"]).json();
    let token = token["access_token"].as_str().expect("a token").to_owned();
    let offline = ["token", "verify", "--token-stdin", "--certificates", keys, "--output", "json"];
    let verdict = shell.run_with(&offline, &token, &[("CIRCLET_URL", "http://127.0.0.1:1")]).json();
    assert_eq!(verdict["valid"], true);
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let reversed: String = signature.chars().rev().collect();
    let forged = shell.run_with(&offline, &format!("{head}.{reversed}"), &[]);
    assert!(forged.refused(1).contains("rejected ("), "{}", forged.stderr);
    let nothing =
        shell.run_with(&["token", "verify", "--token-stdin", "--certificates", "/nonexistent"], &token, &[]);
    assert!(nothing.refused(1).contains("/nonexistent"), "{}", nothing.stderr);
}

fn trusting_another_cluster(shell: &Shell<'_>) {
    let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/token/tests/data/own.crt");
    let added = shell.run(&["trust", "add", certificate, "--name", "friend", "--output", "json"]);
    added.json();
    let listed = shell.run(&["trust", "list"]);
    assert!(listed.stdout.lines().any(|line| line.starts_with("friend ")), "{}", listed.stdout);
    shell.run(&["trust", "remove", "friend", "--output", "json"]).json();
    assert!(!shell.run(&["trust", "list"]).stdout.contains("friend"));
    let gone = shell.run(&["trust", "remove", "friend"]);
    assert!(gone.refused(1).contains("404"), "{}", gone.stderr);
}

fn the_configuration(shell: &Shell<'_>) {
    let get = shell.run(&["config", "get", "token.refresh-expiry", "--output", "json"]).json();
    assert_eq!(
        (&get["value"], &get["default"], &get["unit"]),
        (&86_400.into(), &86_400.into(), &"s".into()),
        "{get}"
    );
    let set =
        shell.run(&["config", "set", "token.minimum-revocable-expiry", "-1", "--output", "json"]).json();
    assert_eq!(set["settings"]["token.minimum-revocable-expiry"], -1, "{set}");
    let both = ["config", "set", "token.default-expiry=600", "token.max-expiry=900", "--output", "json"];
    let set = shell.run(&both).json();
    assert_eq!(set["settings"]["token.max-expiry"], 900, "{set}");
    let listed = shell.run(&["config", "list"]);
    assert!(
        listed.stdout.lines().any(|line| line.starts_with("token.max-expiry ") && line.ends_with(" 900"))
    );

    let range = shell.run(&["config", "set", "token.max-expiry", "60"]);
    assert!(range.refused(1).contains("at least token.default-expiry, which is 600"), "{}", range.stderr);
    let range = shell.run(&["config", "set", "token.refresh-expiry", "-1"]);
    assert!(range.refused(1).contains("it must be at least 0"), "{}", range.stderr);
    let kind = shell.run(&["config", "set", "token.refresh-expiry", "soon"]);
    assert!(kind.refused(1).contains("not a whole number"), "{}", kind.stderr);
    let unknown = shell.run(&["config", "get", "token.max-expire"]);
    assert!(unknown.refused(1).contains("the nearest is token.max-expiry"), "{}", unknown.stderr);

    let history = shell.run(&["config", "history", "--output", "json"]).json();
    let last = &history["changes"][0];
    assert_eq!(last["by"], "admin", "{history}");
    assert_eq!(last["settings"]["token.max-expiry"]["to"], 900, "{history}");
    shell.run(&["config", "reset", "token.max-expiry", "--output", "json"]).json();
    let reset = shell.run(&["config", "reset", "token.default-expiry", "--output", "json"]).json();
    assert_eq!(reset["value"], 31_536_000, "{reset}");
}

fn the_signing_keys(shell: &Shell<'_>) {
    let keys = || shell.run(&["key", "list", "--output", "json"]).json()["keys"].clone();
    let first = keys()[0]["kid"].as_str().expect("a key").to_owned();
    let begun = Instant::now();
    while keys()[0]["age"].as_u64().expect("an age in seconds") == 0 {
        assert!(begun.elapsed() < READY_WITHIN, "a key grows older");
    }
    let text = shell.run(&["key", "list"]).stdout;
    let cells: Vec<&str> = text.lines().nth(1).expect("a key").split_whitespace().collect();
    assert_eq!(cells[..2], [first.as_str(), "active"], "{text}");
    assert!(cells[2] != "0" && ["s", "min"].contains(&cells[3]), "and its age is shown: {text}");
    let next = shell.run(&["key", "rotate", "--overlap", "3600", "--output", "json"]).json();
    assert_eq!(next["state"], "published", "{next}");
    let listed = shell.run(&["key", "list"]);
    assert!(listed.stdout.contains("it is shown for 3600 s before it signs"), "{}", listed.stdout);
    let again = shell.run(&["key", "rotate"]);
    assert!(again.refused(1).contains("not active yet"), "{}", again.stderr);
    let cancelled = shell.run(&["key", "rotate", "--cancel", "--output", "json"]).json();
    assert_eq!((&cancelled["kid"], &cancelled["state"]), (&next["kid"], &"retired".into()));
    let none = shell.run(&["key", "rotate", "--cancel"]);
    assert!(none.refused(1).contains("no signing key"), "{}", none.stderr);
    let needed = shell.run(&["key", "retire", &first]);
    assert!(needed.refused(1).contains("only a key that was replaced can retire"), "{}", needed.stderr);
    let unknown = shell.run(&["key", "taint", "nobody"]);
    assert!(unknown.refused(1).contains("no signing key has the id 'nobody'"), "{}", unknown.stderr);
}

fn whose_fault_it_was(shell: &Shell<'_>) {
    let unknown = shell.run(&["token", "show", "00000000-0000-4000-8000-000000000000"]);
    assert!(unknown.refused(1).contains("server response: 404 Not Found\n  {"), "{}", unknown.stderr);
    let stranger = shell.run_with(&["token", "list"], "", &[("CIRCLET_ACCESS_TOKEN", "not.a.token")]);
    let said = stranger.refused(1);
    assert!(said.contains("server response: 401") && said.contains("\n\nhint: "), "{said}");
    let nobody = shell.run_with(&["token", "list"], "", &[]);
    assert!(nobody.refused(1).contains("CIRCLET_ACCESS_TOKEN"), "{}", nobody.stderr);
    let nowhere = shell.run_with(
        &["token", "list"],
        "",
        &[("CIRCLET_ACCESS_TOKEN", "t"), ("CIRCLET_URL", "http://127.0.0.1:1")],
    );
    assert!(nowhere.refused(2).contains("no answer from http://127.0.0.1:1"), "{}", nowhere.stderr);
    let usage = shell.run(&["token", "create", "--expiry", "soon"]);
    assert_eq!(usage.code, Some(1), "{}", usage.stderr);
}

fn where_server_and_token_come_from(shell: &Shell<'_>) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("circlet");
    std::fs::create_dir_all(&config).expect("a folder");
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, format!("{}\n", shell.cluster.admin_token)).expect("a file");
    let profile = format!("access-token-file: {}\n", token_file.display());
    std::fs::write(config.join("profile.yml"), profile).expect("a file");
    let xdg = folder.path().to_str().expect("UTF-8");
    shell.run_with(&["token", "list", "--output", "json"], "", &[("XDG_CONFIG_HOME", xdg)]).json();
    let from_stdin = ["token", "list", "--access-token-stdin", "--output", "json"];
    shell.run_with(&from_stdin, &shell.cluster.admin_token, &[]).json();
    std::fs::write(config.join("profile.yml"), "tocken: x\n").expect("a file");
    let wrong = shell.run_with(&["token", "list"], "", &[("XDG_CONFIG_HOME", xdg)]);
    assert!(wrong.refused(1).contains("profile.yml"), "{}", wrong.stderr);
}
