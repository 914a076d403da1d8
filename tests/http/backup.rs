//! Who may make a backup, and of what a backup is made.

use reqwest::Method;
use serde_json::json;

use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const BACKUP: &str = "/circlet/v1/backup";

transcript_test!(backups_that_are_refused, async |t: &mut Transcript<'_>| {
    let user = json!({"username": "ann", "email": "", "password": "secret word"});
    t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    t.ask(Method::POST, BACKUP, As::Nobody, Body::Empty).await;
    t.ask(Method::POST, BACKUP, As::Password("ann", "secret word"), Body::Empty).await;
    t.ask(Method::POST, BACKUP, As::Admin, Body::Json(json!({"passphrase": "short"}))).await;
    t.ask(Method::POST, BACKUP, As::Admin, Body::Json(json!({"password": "x"}))).await;
    let made = t.quietly(Method::POST, BACKUP, As::Admin, Body::Empty).await;
    assert_eq!(made.status, 200, "{}", made.text);
    assert!(made.text.starts_with("circlet backup"), "{}", made.text);
    assert!(made.headers.contains_key("x-circlet-index"));
    let log = t.server.audit_log();
    assert!(log.lines().any(|line| line.contains("backup") && line.contains("master key")), "{log}");
});
