//! The heir of an older installation, founded and filled by the very lines of `docs/migration.md`.

use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use circlet::certificates::{TokenKeyKind, certificate_pem, private_key_pem, token_issuer};
use circlet_token::{KeyId, SigningKey};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{PASSWORD, Server, circlet, free_address};
use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const OLD: &str = "jfrt@01hx0ld0ld0ld0ld0ld0ld0ld0";
const TOKENS: &str = "/access/api/v1/tokens";

/// The key of the installation before, and its tokens.
struct Before {
    key: SigningKey,
    kid: KeyId,
    now: u64,
}

impl Before {
    /// Makes its keys and leaves them in `dir`, as an operator would have copied them.
    fn leaving_in(dir: &Path, kind: TokenKeyKind) -> Self {
        let now_ms = circlet::clock::wall_ms();
        let pair = token_issuer(kind, OLD, now_ms).unwrap();
        std::fs::write(dir.join("root.crt"), certificate_pem(&pair.certificate)).unwrap();
        let pem = private_key_pem(&pair.private_key);
        std::fs::write(dir.join("private.key"), pem.expose()).unwrap();
        Self {
            key: SigningKey::from_pkcs8_der(pair.private_key.expose()).unwrap(),
            kid: KeyId::of_certificate(&pair.certificate),
            now: now_ms / 1_000,
        }
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"ver": "2", "typ": "JWT", "alg": self.key.algorithm().to_string(), "kid": self.kid.as_str()});
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed =
            format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = encode(&self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// A token as the older server wrote them: a long issuer, no word on being revocable, no log index.
    fn token(&self, id: &str, service: &str, life: Option<u64>) -> String {
        let issued_at = self.now - 60;
        let mut claims = json!({"sub": format!("{service}/users/alice"), "scp": "member-of-groups:readers api:*",
            "aud": service, "iss": format!("{service}/users/admin"), "iat": issued_at, "jti": id});
        if let Some(life) = life {
            claims["exp"] = (issued_at + life).into();
        }
        self.sign(&claims)
    }

    /// The same, as the list names it.
    fn listed(&self, id: &str, life: Option<u64>) -> Value {
        let issued_at = self.now - 60;
        json!({"token_id": id, "issuer": OLD, "subject": format!("{OLD}/users/alice"), "issued_at": issued_at,
            "expiry": life.map(|life| issued_at + life), "refreshable": false})
    }
}

fn id(number: u8) -> String {
    format!("6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5b{number:02}")
}

/// The marked lines of the guide, block by block.
fn blocks() -> Vec<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/migration.md");
    let text = std::fs::read_to_string(guide).unwrap();
    let blocks = text.split("```sh tested\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

/// Runs lines as they are written, in `dir`, and returns what they print.
fn run(lines: &str, dir: &Path, variables: &[(&str, &str)]) -> String {
    let binary = circlet();
    let binaries = Path::new(binary.get_program()).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euc", lines]).current_dir(dir).env("PATH", path).env("XDG_CONFIG_HOME", "/nonexistent");
    for name in ["CIRCLET_OUTPUT", "http_proxy", "HTTP_PROXY"] {
        command.env_remove(name);
    }
    let ended = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ended.status.success(), "{lines}\n{}{}", text(&ended.stdout), text(&ended.stderr));
    text(&ended.stdout)
}

/// A heir in a fresh home, made by the first of the marked blocks.
fn found(kind: TokenKeyKind) -> (Server, Before, tempfile::TempDir) {
    let (home, taken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let before = Before::leaving_in(taken.path(), kind);
    std::fs::write(taken.path().join("admin.password"), PASSWORD).unwrap();
    let root = home.path().join("home");
    let (http, peer) = (free_address(), free_address());
    let variables =
        [("NEW_HOME", root.to_str().unwrap()), ("SERVICE_ID", OLD), ("HTTP", &http), ("PEER", &peer)];
    run(&blocks()[0], taken.path(), &variables);
    (Server::serve(home), before, taken)
}

async fn status(t: &Transcript<'_>, token: &str) -> u16 {
    let verify = "/circlet/v1/verify";
    t.quietly(Method::GET, verify, As::Bearer(token.to_owned()), Body::Empty).await.status.as_u16()
}

#[tokio::test]
async fn the_guide_to_migrating_leads_to_a_cluster_that_honours_what_it_should() {
    for kind in [TokenKeyKind::EdDsa, TokenKeyKind::Rs256] {
        let (server, before, taken) = found(kind);
        let t = Transcript::of(&server);
        assert_eq!(server.service_id, OLD);
        let older = OLD.replace("jfrt@", "jf-artifactory@");
        let short = before.token(&id(1), OLD, Some(3_600));
        let of_older_kind = before.token(&id(2), &older, Some(3_600));
        let listed = before.token(&id(3), OLD, None);
        let forgotten = before.token(&id(4), OLD, None);
        let long_and_listed = before.token(&id(5), OLD, Some(30_000));
        let long = before.token(&id(6), OLD, Some(30_000));
        assert_eq!([status(&t, &short).await, status(&t, &of_older_kind).await], [200, 200]);
        assert_eq!([status(&t, &listed).await, status(&t, &forgotten).await], [401, 401]);
        // Until the setting says that it could be revoked, nobody can have revoked it.
        assert_eq!([status(&t, &long_and_listed).await, status(&t, &long).await], [200, 200]);

        let foreign = json!({"token_id": id(7), "subject": "jffe@000/users/alice", "issued_at": before.now});
        let unreadable =
            json!({"token_id": "no id", "subject": format!("{OLD}/users/alice"), "issued_at": 1});
        let tokens = json!({"tokens": [before.listed(&id(3), None), before.listed(&id(5), Some(30_000)),
            before.listed(&id(8), Some(1)), foreign, unreadable]});
        let users = json!([{"name": "alice", "uri": "x", "realm": "internal"},
            {"username": "bob", "email": "b@example.org", "groups": ["readers"], "realm": "ldap", "status": "enabled"}]);
        let groups = json!({"groups": [{"group_name": "readers", "uri": "x"}]});
        for (name, content) in [("tokens", tokens), ("users", users), ("groups", groups)] {
            std::fs::write(taken.path().join(format!("{name}.json")), content.to_string()).unwrap();
        }
        let admin = json!({"scope": "applied-permissions/admin"});
        let admin = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(admin)).await.field("access_token");
        let variables = [("CIRCLET_URL", server.url.as_str()), ("CIRCLET_ACCESS_TOKEN", admin.as_str())];
        let said = run(&blocks()[1], taken.path(), &variables);
        for line in ["readers", "alice", "bob", "recorded"] {
            assert!(said.contains(line), "{line} in {said}");
        }
        assert_eq!([status(&t, &short).await, status(&t, &of_older_kind).await], [200, 200]);
        assert_eq!([status(&t, &listed).await, status(&t, &long_and_listed).await], [200, 200]);
        assert_eq!([status(&t, &forgotten).await, status(&t, &long).await], [401, 401]);
        let bob = t.quietly(Method::GET, "/access/api/v2/users/bob", As::Admin, Body::Empty).await.json();
        assert_eq!((&bob["groups"], &bob["realm"]), (&json!(["readers"]), &json!("ldap")));

        // What was recorded can be seen and revoked, and stays revoked when the list is brought once more.
        let path = format!("{TOKENS}/{}", id(3));
        let shown = t.quietly(Method::GET, &path, As::Admin, Body::Empty).await.json();
        assert_eq!((&shown["username"], &shown["revocable"]), (&json!("alice"), &json!(true)));
        assert_eq!(t.quietly(Method::DELETE, &path, As::Admin, Body::Empty).await.status, 200);
        run(&blocks()[1], taken.path(), &variables);
        assert_eq!([status(&t, &listed).await, status(&t, &long_and_listed).await], [401, 200]);
    }
}

transcript_test!(import_is_for_heirs, async |t: &mut Transcript<'_>| {
    let path = "/circlet/v1/import/tokens";
    t.ask(Method::POST, path, As::Admin, Body::Json(json!({"tokens": []}))).await;
    t.ask(Method::POST, path, As::Nobody, Body::Json(json!({"tokens": []}))).await;
    t.ask(Method::POST, path, As::Admin, Body::Json(json!({"list": 1}))).await;
});

#[tokio::test]
async fn an_import_says_what_became_of_each() {
    let (server, before, _taken) = found(TokenKeyKind::EdDsa);
    let mut t = Transcript::of(&server);
    let tokens = json!({"tokens": [before.listed(&id(1), None), before.listed(&id(1), None),
        before.listed(&id(2), Some(1)), {"token_id": "nonsense"}]});
    let answer = t.ask(Method::POST, "/circlet/v1/import/tokens", As::Admin, Body::Json(tokens)).await;
    let said = answer.json();
    assert_eq!(
        (&said["recorded"], &said["known"], &said["expired"]),
        (&json!(1), &json!(1), &json!(1)),
        "{said}"
    );
    assert_eq!(said["unreadable"][0]["token_id"], "nonsense");
    insta::assert_snapshot!("import_tokens", t.text());
}
