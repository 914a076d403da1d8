//! Clusters that honour each other's revocations, and one that lies.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use circlet::certificates::{self, KeyAndCertificate, TokenKeyKind};
use circlet::invitation::{Introduction, Invitation, Side, prove};
use circlet::secret::Secret;
use circlet_token::feed::{FeedAnswer, FeedContent, FeedEntry, FeedPosition, Succession};
use circlet_token::{
    Audience, Claims, Scope, ServiceId, SigningKey, Subject, TokenId, UserName, mint, read_certificate,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::circle_keys::ask_for_a_revoke;
use crate::server::Server;
use crate::transcript::{Answer, As, Body, Transcript};
use crate::transcript_test;

pub(crate) const TOKENS: &str = "/access/api/v1/tokens";
pub(crate) const CIRCLE: &str = "/circlet/v1/circle";
pub(crate) const VERIFY: &str = "/circlet/v1/verify";
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) async fn post(t: &Transcript<'_>, path: &str, body: Value) -> Answer {
    t.quietly(Method::POST, path, As::Admin, Body::Json(body)).await
}

pub(crate) async fn verify(t: &Transcript<'_>, token: &str) -> Answer {
    t.quietly(Method::GET, VERIFY, As::Bearer(token.to_owned()), Body::Empty).await
}

/// Asks until the answer is as wanted.
pub(crate) async fn verified(
    t: &Transcript<'_>,
    token: &str,
    what: &str,
    wanted: impl Fn(&Answer) -> bool,
) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = verify(t, token).await;
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: {} {}", answer.status, answer.text);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn set(t: &Transcript<'_>, name: &str, value: i64) {
    let path = format!("/circlet/v1/config/{name}");
    let set = t.quietly(Method::PUT, &path, As::Admin, Body::Json(json!({ "value": value }))).await;
    assert_eq!(set.status, 200, "{}", set.text);
}

/// The member that a node shows, once it is as wanted.
pub(crate) async fn member(t: &Transcript<'_>, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let circle = t.quietly(Method::GET, CIRCLE, As::Admin, Body::Empty).await.json();
        let member = circle["members"][0].clone();
        if wanted(&member) {
            return member;
        }
        assert!(Instant::now() < deadline, "{what}: {circle}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn two_clusters_pair_and_what_one_revokes_the_other_refuses() {
    let (a, b) = (Server::start(), Server::start());
    let (here, there) = (Transcript::of(&a), Transcript::of(&b));
    let refused = here
        .quietly(
            Method::GET,
            &format!("/circlet/v1/feed/list?nonce={}", "00".repeat(32)),
            As::Nobody,
            Body::Empty,
        )
        .await;
    assert_eq!(refused.status, 404, "no feed before there is a circle: {}", refused.text);
    let invited = post(&here, &format!("{CIRCLE}/invitations"), json!({})).await;
    assert_eq!(invited.status, 201, "{}", invited.text);
    let accept = json!({"invitation": invited.field("invitation"), "name": "a"});
    let accepted = post(&there, &format!("{CIRCLE}/members"), accept.clone()).await;
    assert_eq!(accepted.status, 201, "{}", accepted.text);
    assert_eq!(accepted.field("circle_key"), invited.field("circle_key"), "a person can compare them");
    for t in [&here, &there] {
        member(t, "each follows the other", |member| {
            member["feed"] == "following" && !member["age_ms"].is_null()
        })
        .await;
    }
    // The same cluster may ask again, no other one may.
    assert_eq!(post(&there, &format!("{CIRCLE}/members"), accept.clone()).await.status, 201);
    let c = Server::start();
    let stranger = post(&Transcript::of(&c), &format!("{CIRCLE}/members"), accept).await;
    assert_eq!(stranger.status, 409, "{}", stranger.text);
    assert!(stranger.text.contains("invite_used"), "{}", stranger.text);

    post(&there, "/access/api/v2/groups", json!({"name": "readers"})).await;
    let lasting =
        json!({"username": "robot", "scope": "applied-permissions/groups:readers", "expires_in": 0});
    let made = post(&here, TOKENS, lasting.clone()).await;
    let token = made.field("access_token");
    let good = verified(&there, &token, "a revocable token is honoured", |answer| answer.status == 200).await;
    assert_eq!(
        (good.json()["revocable"].clone(), good.json()["groups"].clone()),
        (true.into(), json!(["readers"]))
    );
    let path = format!("{TOKENS}/{}", made.field("token_id"));
    let revoked = here.quietly(Method::DELETE, &path, As::Admin, Body::Empty).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    let refused = verified(&there, &token, "refused once it is revoked", |answer| answer.status == 401).await;
    assert!(refused.text.contains("\"reason\":\"revoked\""), "{}", refused.text);

    // Whoever can't be heard of any more: the bound fails closed, and plain tokens live on.
    set(&there, "circle.max-staleness-ms", 2_000).await;
    let another = post(&here, TOKENS, lasting.clone()).await.field("access_token");
    let plain =
        json!({"username": "robot", "scope": "applied-permissions/groups:readers", "expires_in": 600});
    let plain = post(&here, TOKENS, plain).await.field("access_token");
    verified(&there, &another, "another is good", |answer| answer.status == 200).await;
    drop(a);
    let stale = |answer: &Answer| answer.status == 401 && answer.text.contains("foreign_stale");
    verified(&there, &another, "what can't be known is refused", stale).await;
    assert_eq!(verify(&there, &plain).await.status, 200);
    let dismissed =
        there.quietly(Method::DELETE, &format!("{CIRCLE}/members/a"), As::Admin, Body::Empty).await;
    assert_eq!(dismissed.status, 204, "{}", dismissed.text);
    assert_eq!(verify(&there, &plain).await.status, 401, "dismissed is distrusted");
}

transcript_test!(circle, async |t: &mut Transcript<'_>| {
    let (other, stranger) = (Server::start(), Stranger::new());
    t.name(&other.url, "their-url");
    t.name(&other.service_id, "their-service-id");
    t.ask(Method::GET, CIRCLE, As::Nobody, Body::Empty).await;
    let nonce = "00".repeat(32);
    t.note("a feed before there is a circle, and questions that are none");
    t.ask(Method::GET, &format!("/circlet/v1/feed/list?nonce={nonce}"), As::Nobody, Body::Empty).await;
    t.ask(Method::GET, &format!("/circlet/v1/feed?nonce={nonce}&hash=00"), As::Nobody, Body::Empty).await;
    t.ask(Method::GET, "/circlet/v1/feed?since=3", As::Nobody, Body::Empty).await;
    t.note("an invitation, and what is none");
    let invited =
        t.ask(Method::POST, &format!("{CIRCLE}/invitations"), As::Admin, Body::Json(json!({}))).await;
    let bad = json!({"hosts": ["http://somewhere/behind"]});
    t.ask(Method::POST, &format!("{CIRCLE}/invitations"), As::Admin, Body::Json(bad)).await;
    t.ask(Method::POST, &format!("{CIRCLE}/invitations"), As::Admin, Body::Json(json!({"guest": "nobody"})))
        .await;
    t.ask(Method::POST, &format!("{CIRCLE}/invitations"), As::Nobody, Body::Json(json!({}))).await;
    t.ask(Method::POST, &format!("{CIRCLE}/members"), As::Admin, Body::Json(json!({"invitation": "x"})))
        .await;
    t.ask(Method::POST, &format!("{CIRCLE}/members"), As::Admin, Body::Json(json!({}))).await;
    t.note("whoever knows the secret pairs, for one use");
    let invitation = Invitation::parse(&invited.field("invitation")).unwrap();
    let said =
        stranger.introduction(&SigningKey::from_ed25519_seed(&[7; 32]), "http://127.0.0.1:9").to_text();
    let id = hex(&invitation.id);
    t.name(&id, "invitation-id");
    t.name(&said, "introduction");
    let kid = read_certificate(&stranger.issuer.certificate).unwrap().key_id;
    t.name(kid.as_str(), "their-kid");
    let guest = |proof: &str| Body::Json(json!({"id": id, "introduction": said, "proof": proof}));
    t.ask(Method::POST, &format!("{CIRCLE}/pair"), As::Nobody, guest("guessed")).await;
    let proof = prove(&invitation.secret, Side::Guest, &said);
    t.name(&proof, "proof");
    let paired = t.ask(Method::POST, &format!("{CIRCLE}/pair"), As::Nobody, guest(&proof)).await;
    assert_eq!(paired.field("proof"), prove(&invitation.secret, Side::Host, &said));
    t.ask(Method::GET, CIRCLE, As::Admin, Body::Empty).await;
    t.note("a member asks for a revoke, and what is none of its orders");
    ask_for_a_revoke(t, &stranger).await;
    t.note("the circle key is replaced");
    t.ask(Method::POST, &format!("{CIRCLE}/key"), As::Admin, Body::Empty).await;
    t.note("what a verifier without a node gets to know");
    let path = format!("{CIRCLE}/introductions");
    let known = post(t, &path, json!({})).await.json();
    for introduction in known["introductions"].as_array().unwrap() {
        t.name(introduction["certificates"][0].as_str().unwrap(), "certificate");
    }
    for (key, name) in [("circle_key", "circle-key"), ("ca", "ca")] {
        t.name(known["introductions"][0][key].as_str().unwrap(), name);
    }
    let hosts = json!({"hosts": ["https://elsewhere.example.org"]});
    t.ask(Method::POST, &path, As::Admin, Body::Json(hosts)).await;
    t.ask(Method::POST, &path, As::Nobody, Body::Json(json!({}))).await;
    t.note("who is known here can't come by an invitation for anybody, nor by one for another");
    for guest in [None, Some("jfrt@01someone00000000000000000"), Some(other.service_id.as_str())] {
        let invited = post(t, &format!("{CIRCLE}/invitations"), json!({ "guest": guest })).await;
        let invitation = Invitation::parse(&invited.field("invitation")).unwrap();
        let proof = prove(&invitation.secret, Side::Guest, &said);
        let id = hex(&invitation.id);
        t.name(&id, "another-id");
        t.name(&proof, "another-proof");
        let body = json!({"id": id, "introduction": said, "proof": proof});
        let refused = t.ask(Method::POST, &format!("{CIRCLE}/pair"), As::Nobody, Body::Json(body)).await;
        assert!(refused.status.is_client_error());
    }
    t.note("dismissed, and distrusted with it");
    let named = format!("{CIRCLE}/members/01liar00000000000000000000");
    t.ask(Method::DELETE, &named, As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, &named, As::Admin, Body::Empty).await;
    t.ask(Method::GET, "/circlet/v1/trust", As::Admin, Body::Empty).await;
});

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a member that lies says next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    Nothing,
    Garbage,
    Huge,
    WrongKey,
    AnotherIssuer,
    Replay,
    Redirect,
    Truncated,
}

/// A member in this process.
pub(crate) struct Liar {
    pub(crate) key: SigningKey,
    pub(crate) service_id: ServiceId,
    pub(crate) entries: Vec<FeedEntry>,
    pub(crate) lie: Lie,
    pub(crate) successions: Vec<Succession>,
    pub(crate) kept: Option<Vec<u8>>,
    pub(crate) asked_elsewhere: bool,
}

pub(crate) type Shared = Arc<Mutex<Liar>>;

impl Liar {
    /// One who tells the truth so far: that two tokens were revoked. Its circle key is made of this.
    pub(crate) fn honest(stranger: &Stranger, seed: [u8; 32]) -> Self {
        Self {
            key: SigningKey::from_ed25519_seed(&seed),
            service_id: stranger.service_id.clone(),
            entries: vec![listed(1), listed(2)],
            lie: Lie::Nothing,
            successions: Vec::new(),
            kept: None,
            asked_elsewhere: false,
        }
    }

    fn position(&self, sequence: usize) -> FeedPosition {
        let start = FeedPosition { generation: 1, ..FeedPosition::default() };
        start.after_all(&self.entries[..sequence])
    }

    /// The status, a header and the body.
    fn answer(&mut self, nonce: [u8; 32], after: Option<usize>) -> (&'static str, Vec<u8>) {
        let bytes = |entries: &[FeedEntry]| entries.iter().flat_map(FeedEntry::to_bytes).collect::<Vec<u8>>();
        let shown = if self.lie == Lie::Truncated { self.entries.len() - 1 } else { self.entries.len() };
        let position = self.position(shown);
        let content = match after {
            None => FeedContent::Page {
                cursor: Vec::new(),
                entries: bytes(&self.entries[..shown]),
                next: Vec::new(),
            },
            Some(after) if after <= shown => {
                FeedContent::Entries { after: after as u64, entries: bytes(&self.entries[after..shown]) }
            }
            Some(_) => FeedContent::Elsewhere,
        };
        let other = SigningKey::from_ed25519_seed(&[99; 32]);
        let key = if self.lie == Lie::WrongKey { &other } else { &self.key };
        let stranger = ServiceId::parse("jfrt@01somebodyelse").unwrap();
        let issuer = if self.lie == Lie::AnotherIssuer { &stranger } else { &self.service_id };
        let answer =
            FeedAnswer::sign(key, issuer, position, shown as u64, nonce, self.successions.clone(), content)
                .unwrap()
                .to_bytes();
        let ok = "200 OK\r\n";
        match self.lie {
            Lie::Garbage => (ok, b"nonsense".to_vec()),
            Lie::Huge => (ok, vec![7; 10 << 20]),
            Lie::Redirect => ("307 Temporary Redirect\r\nlocation: /elsewhere\r\n", Vec::new()),
            Lie::Replay => (ok, self.kept.clone().unwrap_or_default()),
            _ => {
                self.kept = Some(answer.clone());
                (ok, answer)
            }
        }
    }

    fn serve(&mut self, path: &str) -> (&'static str, Vec<u8>) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let field = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let nonce = field("nonce").map(|text| {
            let bytes: Vec<u8> =
                (0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect();
            bytes.try_into().unwrap()
        });
        match (path, nonce) {
            ("/circlet/v1/feed", Some(nonce)) => {
                self.answer(nonce, Some(field("sequence").unwrap().parse().unwrap()))
            }
            ("/circlet/v1/feed/list", Some(nonce)) => self.answer(nonce, None),
            _ => {
                self.asked_elsewhere = true;
                ("404 Not Found\r\n", Vec::new())
            }
        }
    }
}

/// Answers one request on each connection.
pub(crate) async fn serve(liar: Shared) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let liar = Arc::clone(&liar);
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => return,
                    }
                }
                let request = String::from_utf8(request).unwrap();
                let (head, body) = liar.lock().unwrap().serve(request.split(' ').nth(1).unwrap());
                let head =
                    format!("HTTP/1.1 {head}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
                // Whoever asked may have gone.
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
            });
        }
    });
    url
}

/// A cluster that exists as a key, a certificate and an address only.
pub(crate) struct Stranger {
    pub(crate) issuer: KeyAndCertificate,
    pub(crate) service_id: ServiceId,
}

impl Stranger {
    pub(crate) fn new() -> Self {
        let service_id = ServiceId::parse("jfrt@01liar00000000000000000000").unwrap();
        let now_ms = circlet::clock::wall_ms();
        let issuer = certificates::token_issuer(TokenKeyKind::EdDsa, service_id.as_str(), now_ms).unwrap();
        Self { issuer, service_id }
    }

    pub(crate) fn introduction(&self, circle_key: &SigningKey, url: &str) -> Introduction {
        use base64::Engine as _;
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        Introduction {
            service_id: self.service_id.to_string(),
            circle_key: encode(&circle_key.spki_der()),
            hosts: vec![url.to_owned()],
            ca: String::new(),
            certificates: vec![encode(&self.issuer.certificate)],
        }
    }

    /// A revocable token without an end.
    pub(crate) fn token(&self, number: u8) -> String {
        let claims = Claims {
            revocable: Some(true),
            subject: Subject::user(&self.service_id, &UserName::parse("robot").unwrap()),
            scope: Scope::parse("applied-permissions/admin").unwrap(),
            audience: Audience::any(),
            issuer: self.service_id.clone(),
            expires_at: None,
            issued_at: circlet::clock::wall_ms() / 1_000,
            not_before: None,
            id: Some(TokenId([number; 16])),
            index: Some(5),
        };
        let kid = read_certificate(&self.issuer.certificate).unwrap().key_id;
        mint(&claims, &kid, &SigningKey::from_pkcs8_der(self.issuer.private_key.expose()).unwrap())
    }
}

pub(crate) fn listed(number: u8) -> FeedEntry {
    FeedEntry::Listed { expiry: u64::MAX, id: TokenId([number; 16]) }
}

#[tokio::test]
async fn a_member_that_lies_gets_no_revoked_token_accepted_and_is_found_out() {
    let server = Server::start();
    let t = Transcript::of(&server);
    set(&t, "circle.max-staleness-ms", 2_000).await;
    let stranger = Stranger::new();
    let key = SigningKey::from_ed25519_seed(&[42; 32]);
    let liar = Arc::new(Mutex::new(Liar::honest(&stranger, [42; 32])));
    let url = serve(Arc::clone(&liar)).await;
    let introduction = stranger.introduction(&key, &url).to_text();
    let invitation = Invitation { id: [1; 16], secret: Secret::new(vec![1; 32]), introduction };
    let text = invitation.to_text().expose_text().unwrap().to_owned();
    let accept = json!({"invitation": text, "name": "liar", "one_way": true});
    let accepted = post(&t, &format!("{CIRCLE}/members"), accept.clone()).await;
    assert_eq!(accepted.status, 201, "{}", accepted.text);
    let (good, gone) = (stranger.token(9), stranger.token(1));
    let accepted = verified(&t, &good, "followed", |answer| answer.status == 200).await;
    assert_eq!(accepted.json()["admin"], false, "their administrators are not ours");
    assert_eq!(verify(&t, &gone).await.status, 401);

    let lies = [
        (Lie::Garbage, Some("unreadable")),
        (Lie::WrongKey, Some("signature")),
        (Lie::AnotherIssuer, Some("issuer")),
        (Lie::Replay, Some("replayed")),
        (Lie::Huge, None),
        (Lie::Redirect, None),
    ];
    for (lie, fault) in lies {
        liar.lock().unwrap().lie = lie;
        let stale = |answer: &Answer| answer.status == 401 && answer.text.contains("foreign_stale");
        verified(&t, &good, &format!("{lie:?}: nothing is proved any more"), stale).await;
        assert_eq!(verify(&t, &gone).await.status, 401, "{lie:?}");
        if let Some(fault) = fault {
            let kept = |member: &Value| {
                member["faults"]
                    .as_array()
                    .is_some_and(|faults| faults.iter().any(|kept| kept["fault"] == fault))
            };
            member(&t, &format!("{lie:?} is kept"), kept).await;
        }
        liar.lock().unwrap().lie = Lie::Nothing;
        verified(&t, &good, "the truth counts again", |answer| answer.status == 200).await;
    }
    assert!(!liar.lock().unwrap().asked_elsewhere, "a redirect leads nowhere");

    // More than its quota: nothing of it is kept, and nothing of it that can be revoked is honoured.
    set(&t, "circle.feed-entries-max", 10).await;
    liar.lock().unwrap().entries.extend((100..200).map(listed));
    member(&t, "over its quota", |member| member["feed"] == "over_quota").await;
    let unknown = |answer: &Answer| answer.status == 401 && answer.text.contains("foreign_unknown");
    verified(&t, &good, "over its quota", unknown).await;
    assert_eq!(
        t.quietly(Method::GET, CIRCLE, As::Admin, Body::Empty).await.json()["members"][0]["entries"],
        2
    );
    set(&t, "circle.feed-entries-max", 1_000).await;
    verified(&t, &good, "there is room for it now", |answer| answer.status == 200).await;

    // Its own signature proves that it takes back what it signed: it is believed no more until a person does.
    liar.lock().unwrap().lie = Lie::Truncated;
    let broken = member(&t, "found out", |member| member["feed"] == "broken").await;
    assert!(!broken["faults"].as_array().unwrap().last().unwrap()["evidence"].as_str().unwrap().is_empty());
    liar.lock().unwrap().lie = Lie::Nothing;
    verified(&t, &good, "broken", unknown).await;
    assert_eq!(verify(&t, &gone).await.status, 401);
    post(&t, &format!("{CIRCLE}/members"), accept).await;
    verified(&t, &good, "approved anew", |answer| answer.status == 200).await;
    assert_eq!(verify(&t, &gone).await.status, 401);
}
