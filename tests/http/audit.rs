//! The audit log of a running node.

use std::os::unix::fs::symlink;

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::Server;
use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const TOKENS: &str = "/access/api/v1/tokens";

/// One line without what differs between runs.
fn essence(line: &str) -> String {
    let fields: Vec<&str> = line.splitn(9, '|').collect();
    assert_eq!(fields.len(), 9, "{line}");
    assert!(fields[..8].iter().all(|field| !field.is_empty() && !field.contains(' ')), "{line}");
    assert_eq!((fields[0].len(), &fields[0][10..11]), (24, "T"), "{line}");
    assert!(matches!(fields[2], "127.0.0.1" | "UNKNOWN"), "{line}");
    let mut data: Value = serde_json::from_str(fields[8]).unwrap();
    for varying in ["/added/created", "/added/expirationTime", "/added/expires", "/refreshed/family"] {
        if let Some(value) = data.pointer_mut(varying) {
            *value = "<varies>".into();
        }
    }
    format!("{}|{data}", fields[3..8].join("|"))
}

transcript_test!(audit_lines, async |t: &mut Transcript<'_>| {
    let begun = t.server.audit_log().lines().count();
    let mut secrets = Vec::new();
    let ask = async |method: Method, path: &str, who: As, body: Value| {
        t.quietly(method, path, who, if body.is_null() { Body::Empty } else { Body::Json(body) }).await
    };
    let post = Method::POST;
    ask(post.clone(), "/access/api/v2/groups", As::Admin, json!({"name": "the readers"})).await;
    let bob = json!({"username": "bob|1", "email": "b@example.org", "password": "bob's own", "groups": ["the readers"]});
    ask(post.clone(), "/access/api/v2/users", As::Admin, bob).await;
    let as_bob = || As::Password("bob|1", "bob's own");
    ask(post.clone(), TOKENS, as_bob(), json!({"expires_in": 60})).await;
    let wanted = json!({"refreshable": true, "include_reference_token": true, "username": "bob|1"});
    let made = ask(post.clone(), TOKENS, As::Admin, wanted).await;
    ask(post.clone(), TOKENS, As::Bearer(made.field("access_token")), json!({"expires_in": 61})).await;
    let pair = json!({"grant_type": "refresh_token", "refresh_token": made.field("refresh_token"), "access_token": made.field("access_token")});
    let next = ask(post.clone(), TOKENS, As::Nobody, pair.clone()).await;
    for answer in [&made, &next] {
        secrets.extend([answer.field("refresh_token"), answer.field("access_token")]);
    }
    secrets.push(made.field("reference_token"));
    ask(Method::DELETE, &format!("{TOKENS}/{}", next.field("token_id")), As::Admin, Value::Null).await;
    // Refused: the used pair, too much, for administrators only, a wrong password, tokens that count no more, a token
    // in the place of a name.
    ask(post.clone(), TOKENS, As::Nobody, pair).await;
    ask(post.clone(), TOKENS, as_bob(), json!({"scope": "applied-permissions/admin"})).await;
    ask(Method::GET, "/access/api/v2/users", as_bob(), Value::Null).await;
    ask(Method::GET, "/artifactory/api/system/ping", As::Password("bob|1", "guess"), Value::Null).await;
    ask(Method::GET, TOKENS, As::Bearer(next.field("access_token")), Value::Null).await;
    ask(Method::GET, TOKENS, As::ApiKey("nonsense".to_owned()), Value::Null).await;
    let as_name: &'static str = next.field("refresh_token").leak();
    ask(Method::GET, TOKENS, As::Password(as_name, "x"), Value::Null).await;
    let changed =
        ask(Method::PATCH, "/circlet/v1/config", As::Admin, json!({"token.allow-refreshable": false})).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let trusted = json!({"certificate": include_str!("../../token/tests/data/member.crt"), "name": "member"});
    ask(post, "/circlet/v1/trust", As::Admin, trusted).await;
    ask(Method::DELETE, "/circlet/v1/trust/member", As::Admin, Value::Null).await;
    ask(Method::POST, "/circlet/v1/cluster/tokens", As::Admin, Value::Null).await;
    ask(Method::DELETE, "/access/api/v2/users/bob%7C1", As::Admin, Value::Null).await;
    ask(Method::DELETE, "/access/api/v2/groups/the%20readers", As::Admin, Value::Null).await;

    let log = t.server.audit_log();
    secrets.extend(["guess", "bob's own", crate::server::PASSWORD].map(str::to_owned));
    for secret in secrets {
        assert!(!log.contains(&secret), "a secret is in the audit log:\n{log}");
    }
    let lines: Vec<String> = log.lines().skip(begun).map(essence).collect();
    // Each request with the administrator's password is a login; one line of them is enough here.
    let logins = lines.iter().filter(|line| line.starts_with("admin|admin|admin|C|LGN|")).count();
    assert_eq!(logins, 10, "{lines:#?}");
    for line in lines.iter().filter(|line| !line.starts_with("admin|admin|admin|C|LGN|")) {
        t.note(&t.redact(line));
    }
});

#[tokio::test]
async fn a_write_is_refused_while_it_cannot_be_audited_and_a_revoke_is_not() {
    // Every write to it fails with "no space left".
    let server = Server::start_after(|home| {
        std::fs::create_dir_all(home.join("logs")).unwrap();
        let _ = std::fs::remove_file(home.join("logs/access-security-audit.log"));
        symlink("/dev/full", home.join("logs/access-security-audit.log")).unwrap();
    });
    let t = Transcript::of(&server);
    let ask = async |method: Method, path: &str, who: As, body: Value| {
        t.quietly(method, path, who, if body.is_null() { Body::Empty } else { Body::Json(body) }).await
    };
    let recorded = || json!({"expires_in": 0, "description": "recorded"});
    let plain = ask(Method::POST, TOKENS, As::Admin, json!({"expires_in": 60})).await;
    assert_eq!(plain.status, 200, "{}", plain.text);
    let warning = plain.headers["x-circlet-warning"].to_str().unwrap();
    assert!(warning.contains("wait in memory"), "{warning}");
    let bearer = || As::Bearer(plain.field("access_token"));
    let refused = ask(Method::POST, TOKENS, bearer(), recorded()).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.text.contains("nothing was changed"), "{}", refused.text);
    assert_eq!(ask(Method::GET, TOKENS, bearer(), Value::Null).await.json()["tokens"], json!([]));
    let by_value = json!({"token": plain.field("access_token")});
    let revoke = ask(Method::DELETE, &format!("{TOKENS}/revoke"), bearer(), by_value).await;
    assert_eq!(revoke.status, 400, "it is judged, not refused for the log's sake: {}", revoke.text);
    assert!(revoke.text.contains("Token not revocable"), "{}", revoke.text);

    std::fs::remove_file(server.audit_path()).unwrap();
    let made = ask(Method::POST, TOKENS, As::Admin, recorded()).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let log = server.audit_log();
    for token in [&plain, &made] {
        assert!(log.contains(&format!("\"id\":\"{}\"", token.field("token_id"))), "{log}");
    }
    assert!(!log.contains("\"lines\":"), "nothing was left out: {log}");
}

#[tokio::test]
async fn a_node_told_to_continue_goes_on_without_an_audit_log() {
    let server = Server::start_after(|home| {
        std::fs::create_dir_all(home.join("logs")).unwrap();
        let _ = std::fs::remove_file(home.join("logs/access-security-audit.log"));
        symlink("/dev/full", home.join("logs/access-security-audit.log")).unwrap();
        let settings = std::fs::read_to_string(home.join("etc/node.yml")).unwrap();
        std::fs::write(home.join("etc/node.yml"), settings + "\naudit.on-failure: continue\n").unwrap();
    });
    let t = Transcript::of(&server);
    for _ in 0..2 {
        let made = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(json!({"expires_in": 0}))).await;
        assert_eq!(made.status, 200, "{}", made.text);
    }
}

#[tokio::test]
async fn files_are_put_aside_by_size_and_count() {
    let server = Server::start_after(|home| {
        let settings = std::fs::read_to_string(home.join("etc/node.yml")).unwrap();
        let more = "\naudit.rotate-bytes: 1000\naudit.rotate-keep: 2\n";
        std::fs::write(home.join("etc/node.yml"), settings + more).unwrap();
    });
    let t = Transcript::of(&server);
    for number in 0..20 {
        let group = json!({"name": format!("group-{number}")});
        t.quietly(Method::POST, "/access/api/v2/groups", As::Admin, Body::Json(group)).await;
    }
    let folder = server.audit_path().parent().unwrap().to_owned();
    let mut files: Vec<(String, u64)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .filter(|(name, _)| name.starts_with("access-security-audit.log"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|(_, bytes)| *bytes <= 1000), "{files:?}");
    let log = std::fs::read_to_string(server.audit_path()).unwrap();
    assert!(log.contains("group-19"), "{log}");
}
