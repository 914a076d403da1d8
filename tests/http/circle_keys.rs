//! Keys that travel in a feed, and revokes that are forwarded to the issuer.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use circlet::certificates::{self, TokenKeyKind};
use circlet::circle::forward::Order;
use circlet::invitation::{Invitation, fingerprint};
use circlet::secret::Secret;
use circlet_token::feed::{CirclePublicKey, FeedEntry, Succession};
use circlet_token::{KeyId, ServiceId, SigningKey, TokenId, read_certificate};
use reqwest::Method;
use serde_json::{Value, json};

use crate::circle::{
    CIRCLE, Liar, PATIENCE, Stranger, TOKENS, hex, listed, member, post, serve, set, verified, verify,
};
use crate::server::Server;
use crate::transcript::{Answer, As, Body, Transcript};

const KEYS: &str = "/circlet/v1/keys";
const TRUST: &str = "/circlet/v1/trust";

async fn get(t: &Transcript<'_>, path: &str) -> Value {
    t.quietly(Method::GET, path, As::Admin, Body::Empty).await.json()
}

/// What is served at a path, once it is as wanted.
async fn until(t: &Transcript<'_>, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = get(t, path).await;
        if wanted(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: {found}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// `here` invites, `there` accepts and calls it `a`; until each follows the other.
async fn pair(here: &Transcript<'_>, there: &Transcript<'_>) {
    let invited = post(here, &format!("{CIRCLE}/invitations"), json!({})).await;
    let accept = json!({"invitation": invited.field("invitation"), "name": "a"});
    let accepted = post(there, &format!("{CIRCLE}/members"), accept).await;
    assert_eq!(accepted.status, 201, "{}", accepted.text);
    for t in [here, there] {
        member(t, "each follows the other", |member| {
            member["feed"] == "following" && !member["age_ms"].is_null() && member["mutual"] == true
        })
        .await;
    }
}

/// A token of `t` for a group; 0 seconds: for ever, and so revocable.
async fn issue(t: &Transcript<'_>, secs: u64) -> Answer {
    let order =
        json!({"username": "robot", "scope": "applied-permissions/groups:readers", "expires_in": secs});
    let made = post(t, TOKENS, order).await;
    assert_eq!(made.status, 200, "{}", made.text);
    made
}

fn trusts(trust: &Value, kid: &str) -> bool {
    trust["issuers"].as_array().unwrap().iter().any(|issuer| issuer["kid"] == kid)
}

#[tokio::test]
async fn the_next_token_key_comes_by_the_feed_and_waits_for_the_member() {
    let (a, b) = (Server::start(), Server::start());
    let (here, there) = (Transcript::of(&a), Transcript::of(&b));
    post(&there, "/access/api/v2/groups", json!({"name": "readers"})).await;
    pair(&here, &there).await;
    let limits = json!({"limits": {"max_lifetime": 7_000}});
    let limited = format!("{TRUST}/{}", a.service_id);
    there.quietly(Method::PATCH, &limited, As::Admin, Body::Json(limits)).await;
    let before = issue(&here, 600).await.field("access_token");

    let next = post(&here, KEYS, json!({})).await;
    assert_eq!(next.status, 201, "{}", next.text);
    let (next, first) = (next.field("kid"), get(&here, &format!("{KEYS}/active")).await["kid"].clone());
    until(&here, &format!("{KEYS}/{next}"), "it signs", |key| key["state"] == "active").await;
    // It signs only because the member said that it has it.
    let trust = get(&there, TRUST).await;
    let theirs = trust["issuers"].as_array().unwrap().iter().find(|issuer| issuer["kid"] == next.as_str());
    let theirs = theirs.expect("the member has it before it signs");
    assert_eq!((&theirs["by_feed"], &theirs["limits"]["max_lifetime"]), (&json!(true), &json!(7_000)));
    let after = issue(&here, 600).await.field("access_token");
    for token in [&before, &after] {
        verified(&there, token, "both keys count", |answer| answer.status == 200).await;
    }
    let long = issue(&here, 7_100).await.field("access_token");
    assert!(verify(&there, &long).await.text.contains("issuer_limits"), "under the limits of the other key");
    let shown = b.home().join("etc/keys/trusted").join(format!("a-{}.crt", &next[..8]));
    let deadline = Instant::now() + PATIENCE;
    while !shown.exists() {
        assert!(Instant::now() < deadline, "the trusted directory shows it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // A leak goes at once, and takes the certificate away.
    let tainted = post(&here, &format!("{KEYS}/{}/taint", first.as_str().unwrap()), json!({})).await;
    assert_eq!(tainted.status, 200, "{}", tainted.text);
    until(&there, TRUST, "it is distrusted", |trust| !trusts(trust, first.as_str().unwrap())).await;
    assert_eq!(verify(&there, &before).await.status, 401);
    assert_eq!(verify(&there, &after).await.status, 200);

    // Who is away holds the next one back for circle.key-wait, and meets it in the chain.
    b.pause(true);
    let third = post(&here, KEYS, json!({})).await.field("kid");
    let waits = until(&here, &format!("{KEYS}/{third}"), "it waits for the member", |key| {
        key["waits"].as_str().is_some_and(|waits| waits.contains("members of the circle"))
    })
    .await;
    let name = get(&here, CIRCLE).await["members"][0]["name"].clone();
    assert_eq!((&waits["state"], &waits["unaware"]), (&json!("published"), &json!([name])));
    set(&here, "circle.key-wait", 0).await;
    until(&here, &format!("{KEYS}/{third}"), "waited for long enough", |key| key["state"] == "active").await;
    let last = issue(&here, 600).await.field("access_token");
    b.pause(false);
    verified(&there, &last, "met in the chain", |answer| answer.status == 200).await;
}

#[tokio::test]
async fn the_circle_key_is_replaced_inside_the_chain_also_for_who_was_away() {
    let (a, b) = (Server::start(), Server::start());
    let (here, there) = (Transcript::of(&a), Transcript::of(&b));
    let none = post(&here, &format!("{CIRCLE}/key"), json!({})).await;
    assert_eq!(none.status, 404, "{}", none.text);
    post(&there, "/access/api/v2/groups", json!({"name": "readers"})).await;
    pair(&here, &there).await;
    let denied = here.quietly(Method::POST, &format!("{CIRCLE}/key"), As::Nobody, Body::Empty).await;
    assert_eq!(denied.status, 401);
    let made = issue(&here, 0).await;
    let token = made.field("access_token");
    verified(&there, &token, "followed", |answer| answer.status == 200).await;

    let replaced = post(&here, &format!("{CIRCLE}/key"), json!({})).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text);
    let second = replaced.field("circle_key");
    member(&there, "it follows the next key", |member| member["circle_key"] == second.as_str()).await;
    b.pause(true);
    for _ in 0..2 {
        assert_eq!(post(&here, &format!("{CIRCLE}/key"), json!({})).await.status, 200);
    }
    let fourth = get(&here, CIRCLE).await["circle_key"].clone();
    let path = format!("{TOKENS}/{}", made.field("token_id"));
    assert_eq!(here.quietly(Method::DELETE, &path, As::Admin, Body::Empty).await.status, 200);
    b.pause(false);
    let refused = verified(&there, &token, "what was revoked meanwhile", |answer| {
        answer.status == 401 && answer.text.contains("\"reason\":\"revoked\"")
    });
    refused.await;
    let known = member(&there, "led to the present key", |member| member["circle_key"] == fourth).await;
    assert_eq!((&known["faults"], &known["feed"]), (&json!([]), &json!("following")));
    // And the other way round: what it says under its own new key is heard.
    assert_eq!(post(&there, &format!("{CIRCLE}/key"), json!({})).await.status, 200);
    let next = post(&here, KEYS, json!({})).await.field("kid");
    until(&here, &format!("{KEYS}/{next}"), "it signs", |key| key["state"] == "active").await;
}

fn shown(certificate: &[u8]) -> FeedEntry {
    FeedEntry::KeyShown { certificate: certificate.to_vec() }
}

fn made_for(service_id: &str) -> Vec<u8> {
    let now_ms = circlet::clock::wall_ms();
    certificates::token_issuer(TokenKeyKind::EdDsa, service_id, now_ms).unwrap().certificate
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_ed25519_seed(&[seed; 32])
}

fn named(stranger: &Stranger, seed: u8, next: u8) -> Succession {
    let next = CirclePublicKey::of(&key(next)).unwrap();
    Succession::sign(&key(seed), &stranger.service_id, next).unwrap()
}

/// A member in this process that is followed, and how to approve it anew.
async fn followed(t: &Transcript<'_>, stranger: &Stranger) -> (Arc<Mutex<Liar>>, Value) {
    set(t, "circle.max-staleness-ms", 2_000).await;
    let liar = Arc::new(Mutex::new(Liar { entries: vec![listed(1)], ..Liar::honest(stranger, [42; 32]) }));
    let url = serve(Arc::clone(&liar)).await;
    let introduction = stranger.introduction(&key(42), &url).to_text();
    let invitation = Invitation { id: [1; 16], secret: Secret::new(vec![1; 32]), introduction };
    let text = invitation.to_text().expose_text().unwrap().to_owned();
    let accept = json!({"invitation": text, "name": "liar", "one_way": true});
    let accepted = post(t, &format!("{CIRCLE}/members"), accept.clone()).await;
    assert_eq!(accepted.status, 201, "{}", accepted.text);
    (liar, accept)
}

fn has_fault(member: &Value, fault: &str) -> bool {
    member["faults"].as_array().is_some_and(|faults| faults.iter().any(|kept| kept["fault"] == fault))
}

#[tokio::test]
async fn a_member_gets_no_key_trusted_that_is_not_its_own() {
    let (server, other) = (Server::start(), Stranger::new());
    let t = Transcript::of(&server);
    let stranger = Stranger::new();
    let (liar, _) = followed(&t, &stranger).await;
    let good = stranger.token(9);
    verified(&t, &good, "followed", |answer| answer.status == 200).await;
    // Somebody else is trusted, by certificate.
    let another = made_for("jfrt@01someoneelse0000000000000");
    let pem = certificates::certificate_pem(&another);
    assert_eq!(post(&t, TRUST, json!({"name": "another", "certificate": pem})).await.status, 201);
    let ours =
        t.quietly(Method::GET, "/access/api/v1/cert/root?formatted=true", As::Admin, Body::Empty).await;
    let ours = read_certificate(ours.text.as_bytes()).unwrap().der;
    let known = get(&t, TRUST).await;

    let lies = [
        ("key_of_ours", ours),
        ("key_of_another", another),
        ("key_unusable", made_for("jfrt@01nobody00000000000000000")),
        ("key_unusable", vec![0x30; 6_000]),
        ("key_unusable", b"no certificate".to_vec()),
    ];
    for (fault, certificate) in lies {
        let kid = KeyId::of_certificate(&certificate);
        liar.lock().unwrap().entries.push(shown(&certificate));
        let count = liar.lock().unwrap().entries.len();
        let seen = |member: &Value| member["sequence"] == count && has_fault(member, fault);
        let kept = member(&t, &format!("{fault} is kept"), seen).await;
        assert_eq!(kept["feed"], "following", "what it revokes goes on to count");
        assert!(!trusts(&get(&t, TRUST).await, kid.as_str()) || fault == "key_of_another", "{fault}");
    }
    assert_eq!(get(&t, TRUST).await, known, "nothing was changed by all that");
    // Nor can it end a key that is not its own.
    let theirs = known["issuers"].as_array().unwrap().iter().find(|one| one["name"] == "another").unwrap();
    let theirs = KeyId::parse(theirs["kid"].as_str().unwrap()).unwrap();
    liar.lock().unwrap().entries.extend([FeedEntry::KeyRetired { key: theirs }, listed(9)]);
    verified(&t, &good, "what it revokes counts", |answer| answer.status == 401).await;
    assert_eq!(get(&t, TRUST).await, known);
    // More keys than a member may have.
    let service_id = stranger.service_id.to_string();
    liar.lock().unwrap().entries.extend((0..20).map(|_| shown(&made_for(&service_id))));
    member(&t, "too many", |member| has_fault(member, "too_many_keys")).await;
    let trusted = get(&t, TRUST).await;
    let theirs = trusted["issuers"].as_array().unwrap().iter();
    assert_eq!(theirs.filter(|issuer| issuer["service_id"] == service_id.as_str()).count(), 16);
    drop(other);
}

#[tokio::test]
async fn a_circle_key_that_names_two_successors_is_believed_no_more() {
    let server = Server::start();
    let t = Transcript::of(&server);
    let stranger = Stranger::new();
    let (liar, accept) = followed(&t, &stranger).await;
    let good = stranger.token(9);
    verified(&t, &good, "followed", |answer| answer.status == 200).await;
    let told = |succession| FeedEntry::CircleKey(Box::new(succession));
    {
        let mut liar = liar.lock().unwrap();
        liar.successions = vec![named(&stranger, 42, 43)];
        let next = told(liar.successions[0]);
        liar.entries.push(next);
        liar.key = key(43);
    }
    let next = fingerprint(&key(43).spki_der());
    member(&t, "it switches", |member| member["circle_key"] == next.as_str()).await;
    verified(&t, &good, "under the next key", |answer| answer.status == 200).await;

    // The retired key says nothing any more.
    liar.lock().unwrap().key = key(42);
    member(&t, "the retired key is refused", |member| has_fault(member, "signature")).await;
    let stale = |answer: &Answer| answer.status == 401 && answer.text.contains("foreign_stale");
    verified(&t, &good, "nothing is proved", stale).await;
    liar.lock().unwrap().key = key(43);
    verified(&t, &good, "the present key counts again", |answer| answer.status == 200).await;

    // Nor what it signs about a successor: that proves that it named two.
    let second = named(&stranger, 42, 44);
    {
        let mut liar = liar.lock().unwrap();
        liar.successions = vec![second];
        liar.key = key(44);
    }
    let broken = member(&t, "found out", |member| member["feed"] == "broken").await;
    let fork = broken["faults"].as_array().unwrap().iter().find(|kept| kept["fault"] == "key_fork").unwrap();
    let mut evidence = Vec::new();
    second.put(&mut evidence);
    assert_eq!(fork["evidence"], hex(&evidence).as_str());
    assert_eq!(broken["circle_key"], next.as_str(), "it is not believed");
    let unknown = |answer: &Answer| answer.status == 401 && answer.text.contains("foreign_unknown");
    verified(&t, &good, "broken", unknown).await;

    // A person approves it anew; an entry that an older key signed is found out as well.
    {
        let mut liar = liar.lock().unwrap();
        liar.key = key(43);
        liar.successions = vec![named(&stranger, 42, 43)];
    }
    post(&t, &format!("{CIRCLE}/members"), accept).await;
    verified(&t, &good, "approved anew", |answer| answer.status == 200).await;
    liar.lock().unwrap().entries.push(told(named(&stranger, 41, 45)));
    let broken = member(&t, "found out", |member| member["feed"] == "broken").await;
    assert!(has_fault(&broken, "succession"));
}

async fn allow(t: &Transcript<'_>, name: &str, value: Value) {
    let path = format!("/circlet/v1/config/{name}");
    let set = t.quietly(Method::PUT, &path, As::Admin, Body::Json(json!({ "value": value }))).await;
    assert_eq!(set.status, 200, "{}", set.text);
}

async fn revoke(t: &Transcript<'_>, who: As, token: &str) -> Answer {
    let body = Body::Json(json!({ "token": token }));
    t.quietly(Method::DELETE, &format!("{TOKENS}/revoke"), who, body).await
}

#[tokio::test]
async fn a_revoke_is_forwarded_to_the_issuer_whose_verdict_is_the_answer() {
    let (a, b) = (Server::start(), Server::start());
    let (here, there) = (Transcript::of(&a), Transcript::of(&b));
    for t in [&here, &there] {
        post(t, "/access/api/v2/groups", json!({"name": "readers"})).await;
    }
    pair(&here, &there).await;
    let made = issue(&here, 0).await;
    let (token, id) = (made.field("access_token"), made.field("token_id"));
    verified(&there, &token, "followed", |answer| answer.status == 200).await;

    let off = revoke(&there, As::Admin, &token).await;
    assert_eq!(off.status, 400, "{}", off.text);
    assert!(off.text.contains(&a.service_id), "the refusal names the issuer: {}", off.text);
    let by_id = format!("{TOKENS}/{id}?issuer=a");
    let off = there.quietly(Method::DELETE, &by_id, As::Admin, Body::Empty).await;
    assert!(off.status == 400 && off.text.contains(&a.service_id), "{}", off.text);

    allow(&there, "circle.forward-revoke", json!(true)).await;
    let refused = revoke(&there, As::Admin, &token).await;
    assert_eq!(refused.status, 403, "not by default: {}", refused.text);
    assert!(refused.text.contains("the issuer refuses"), "{}", refused.text);
    assert_eq!(verify(&here, &token).await.status, 200);

    let member = get(&here, CIRCLE).await["members"][0]["service_id"].as_str().unwrap().to_owned();
    let limits = json!({"limits": {"revoke": true}});
    let limited =
        here.quietly(Method::PATCH, &format!("{TRUST}/{member}"), As::Admin, Body::Json(limits)).await;
    assert_eq!(limited.status, 200, "{}", limited.text);
    // Their own principals can't have anything revoked here, nor can ours who don't administer.
    let bearer = As::Bearer(token.clone());
    assert_eq!(revoke(&there, bearer, &token).await.status, 403);
    assert_eq!(revoke(&there, As::Nobody, &token).await.status, 401);
    let ours = issue(&there, 600).await.field("access_token");
    assert_eq!(revoke(&there, As::Bearer(ours), &token).await.status, 403);
    assert_eq!(verify(&here, &token).await.status, 200);

    let done = revoke(&there, As::Admin, &token).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(done.field("revoked_token_id"), id);
    assert_eq!(verify(&here, &token).await.status, 401, "acknowledged is revoked at the issuer");
    verified(&there, &token, "and here within the bound", |answer| answer.status == 401).await;
    let again = there.quietly(Method::DELETE, &by_id, As::Admin, Body::Empty).await;
    assert_eq!(again.status, 204, "it had been revoked before: {}", again.text);
    let nobody = format!("{TOKENS}/00000000-0000-4000-8000-000000000000?issuer=a");
    assert_eq!(there.quietly(Method::DELETE, &nobody, As::Admin, Body::Empty).await.status, 404);
    let plain = issue(&here, 600).await.field("access_token");
    let refused = revoke(&there, As::Admin, &plain).await;
    assert!(refused.status == 400 && refused.text.contains("not revocable"), "{}", refused.text);
    for (server, said) in [(&a, b.service_id.as_str()), (&b, a.service_id.as_str())] {
        let log = std::fs::read_to_string(server.home().join("logs/access-security-audit.log")).unwrap();
        assert!(log.lines().any(|line| line.contains(&id) && line.contains(said)), "audited: {log}");
    }

    // Whose fate is not known is never said to be revoked.
    let another = issue(&here, 0).await.field("access_token");
    verified(&there, &another, "another is good", |answer| answer.status == 200).await;
    a.pause(true);
    let unknown = revoke(&there, As::Admin, &another).await;
    assert_eq!(unknown.status, 503, "{}", unknown.text);
    a.pause(false);
    verified(&here, &another, "it was not", |answer| answer.status == 200).await;
}

#[tokio::test]
async fn an_order_to_revoke_is_worth_nothing_but_once_and_under_the_circle_key_of_a_member() {
    let a = Server::start();
    let t = Transcript::of(&a);
    let stranger = Stranger::new();
    let (_liar, _) = followed(&t, &stranger).await;
    let order = |member: &str, challenge: &str, signature: &str| {
        json!({
            "member": member, "token_id": "00000000-0000-4000-8000-000000000000", "cascade": false,
            "by": "admin", "challenge": challenge, "nonce": "00".repeat(32), "signature": signature,
        })
    };
    let path = format!("{CIRCLE}/challenge?member={}", stranger.service_id);
    let challenge = t.quietly(Method::GET, &path, As::Nobody, Body::Empty).await.field("challenge");
    let told = format!("{CIRCLE}/revocations");
    let member = stranger.service_id.to_string();
    for (order, why) in [
        (order(&member, &"00".repeat(56), "00"), "challenge"),
        (order(&member, &challenge, &"00".repeat(64)), "signed"),
        (order("jfrt@01someoneelse0000000000000", &challenge, &"00".repeat(64)), "challenge"),
    ] {
        let refused = t.quietly(Method::POST, &told, As::Nobody, Body::Json(order)).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert!(refused.text.contains(why), "{}", refused.text);
    }
}

/// Has a member ask for a revoke, rightly and wrongly.
pub(crate) async fn ask_for_a_revoke(t: &mut Transcript<'_>, stranger: &Stranger) {
    t.ask(Method::GET, &format!("{CIRCLE}/challenge"), As::Nobody, Body::Empty).await;
    let path = format!("{CIRCLE}/challenge?member={}", stranger.service_id);
    let challenge = t.ask(Method::GET, &path, As::Nobody, Body::Empty).await.field("challenge");
    t.name(&challenge, "challenge");
    let ours = t.quietly(Method::GET, CIRCLE, As::Admin, Body::Empty).await.field("service_id");
    let order = Order {
        issuer: &ServiceId::parse(&ours).unwrap(),
        member: &stranger.service_id,
        challenge: (0..challenge.len() / 2)
            .map(|at| u8::from_str_radix(&challenge[2 * at..2 * at + 2], 16).unwrap())
            .collect(),
        nonce: [5; 32],
        id: TokenId([3; 16]),
        cascade: false,
        by: "their admin",
    };
    let signature = hex(&order.sign(&SigningKey::from_ed25519_seed(&[7; 32])));
    t.name(&signature, "their-signature");
    let body = json!({
        "member": stranger.service_id.as_str(), "token_id": order.id.to_string(), "by": order.by,
        "challenge": challenge, "nonce": hex(&order.nonce), "signature": signature,
    });
    let path = format!("{CIRCLE}/revocations");
    t.ask(Method::POST, &path, As::Nobody, Body::Json(json!({}))).await;
    let other = json!({"cascade": true});
    let mut changed = body.clone();
    changed.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    t.ask(Method::POST, &path, As::Nobody, Body::Json(changed)).await;
    let verdict = t.quietly(Method::POST, &path, As::Nobody, Body::Json(body.clone())).await;
    t.name(&verdict.field("signature"), "our-signature");
    t.ask(Method::POST, &path, As::Nobody, Body::Json(body)).await;
}
