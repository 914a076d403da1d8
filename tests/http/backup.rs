//! Who may make a backup, and of what a backup is made.

use std::time::{Duration, Instant};

use circlet::backup::Opening;
use circlet::secret::Secret;
use reqwest::Method;
use serde_json::json;

use crate::decoded;
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
});

transcript_test!(backups_that_are_made, async |t: &mut Transcript<'_>| {
    let user = json!({"username": "ann", "email": "", "password": "secret word"});
    t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    let master = decoded::master_key(&t.server.home().join("etc/security/master.key"));
    let under_master = |answer: &_| decoded::backup(answer, &master);
    t.ask_read(Method::POST, BACKUP, As::Admin, Body::Empty, under_master).await;
    let passphrase = Opening::Passphrase(Secret::from("long enough for it".to_owned()));
    let order = || Body::Json(json!({"passphrase": "long enough for it"}));
    let under_passphrase = |answer: &_| decoded::backup(answer, &passphrase);
    t.ask_read(Method::POST, BACKUP, As::Admin, order(), under_passphrase).await;
    let log = t.server.audit_log();
    for sealed in ["master key", "passphrase"] {
        assert!(log.lines().any(|line| line.contains("backup") && line.contains(sealed)), "{log}");
    }
    t.note("one at a time: a passphrase takes a moment");
    let deadline = Instant::now() + Duration::from_mins(2);
    let refused = loop {
        let (one, other) = tokio::join!(
            t.quietly(Method::POST, BACKUP, As::Admin, order()),
            t.quietly(Method::POST, BACKUP, As::Admin, order())
        );
        if let Some(refused) = [one, other].into_iter().find(|answer| answer.status == 429) {
            break refused;
        }
        assert!(Instant::now() < deadline, "two backups are never made at once");
    };
    assert_eq!(refused.headers["retry-after"], "5");
    assert!(refused.text.contains("backup_under_way"), "{}", refused.text);
    t.tell(&format!("POST {BACKUP} as admin, while one is being made"), refused.status);
});
