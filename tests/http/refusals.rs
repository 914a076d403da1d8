//! What endpoints refuse for reasons of their own, as far as no other transcript has come across them.

use std::sync::{Arc, Mutex};

use circlet::invitation::{Invitation, Side, prove};
use circlet_token::SigningKey;
use reqwest::Method;
use serde_json::json;

use crate::circle::{CIRCLE, Liar, Lie, Stranger, TOKENS, hex, member, post, serve};
use crate::server::Server;
use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const USERS: &str = "/access/api/v2/users";
const GROUPS: &str = "/access/api/v2/groups";
const LEGACY: &str = "/artifactory/api/security";
const CONFIG: &str = "/circlet/v1/config";
const KEYS: &str = "/circlet/v1/keys";
const TRUST: &str = "/circlet/v1/trust";

async fn set(t: &Transcript<'_>, name: &str, value: i64) {
    let path = format!("{CONFIG}/{name}");
    let set = t.quietly(Method::PUT, &path, As::Admin, Body::Json(json!({ "value": value }))).await;
    assert_eq!(set.status, 200, "{}", set.text);
}

transcript_test!(groups_that_are_not_there_or_needed, async |t: &mut Transcript<'_>| {
    t.note("nobody made it");
    let (ghosts, old) = (format!("{GROUPS}/ghosts"), format!("{LEGACY}/groups/ghosts"));
    t.ask(Method::GET, &ghosts, As::Admin, Body::Empty).await;
    t.ask(Method::PATCH, &ghosts, As::Admin, Body::Json(json!({"description": "x"}))).await;
    t.ask(Method::POST, &old, As::Admin, Body::Json(json!({"description": "x"}))).await;
    t.ask(Method::DELETE, &old, As::Admin, Body::Empty).await;
    t.ask(Method::GET, &format!("{USERS}/ghost"), As::Admin, Body::Empty).await;
    t.note("made and made anew");
    let chiefs = json!({"name": "chiefs", "admin_privileges": true});
    t.quietly(Method::POST, GROUPS, As::Admin, Body::Json(chiefs)).await;
    let boss = json!({"email": "boss@example.org", "password": "secret word", "groups": ["chiefs"]});
    let named = format!("{LEGACY}/users/boss");
    t.ask(Method::PUT, &named, As::Admin, Body::Json(boss.clone())).await;
    t.ask(Method::PUT, &named, As::Admin, Body::Json(boss)).await;
    let of_chiefs = format!("{LEGACY}/groups/chiefs");
    let described = json!({"description": "who decides", "adminPrivileges": true});
    t.ask(Method::PUT, &of_chiefs, As::Admin, Body::Json(described)).await;
    t.note("the last who administers, and the group through which");
    let boss = || As::Password("boss", "secret word");
    t.ask(Method::PATCH, &format!("{USERS}/admin"), boss(), Body::Json(json!({"admin": false}))).await;
    let (user, group) = (format!("{USERS}/boss"), format!("{GROUPS}/chiefs"));
    t.ask(Method::PATCH, &user, boss(), Body::Json(json!({"groups": []}))).await;
    t.ask(Method::DELETE, &user, boss(), Body::Empty).await;
    t.ask(Method::POST, &named, boss(), Body::Json(json!({"groups": []}))).await;
    t.ask(Method::PUT, &named, boss(), Body::Json(json!({"groups": []}))).await;
    t.ask(Method::PATCH, &group, boss(), Body::Json(json!({"admin_privileges": false}))).await;
    t.ask(Method::DELETE, &group, boss(), Body::Empty).await;
    for method in [Method::POST, Method::PUT] {
        t.ask(method, &of_chiefs, boss(), Body::Json(json!({"adminPrivileges": false}))).await;
    }
    t.ask(Method::DELETE, &of_chiefs, boss(), Body::Empty).await;
});

transcript_test!(tokens_too_many_or_gone, async |t: &mut Transcript<'_>| {
    t.note("a key for repeats belongs to one request");
    let order = |secs: u64| Body::Json(json!({"expires_in": secs, "force_revocable": true}));
    let key = [("idempotency-key", "once")];
    let made = t.ask_with(Method::POST, TOKENS, As::Admin, order(7_200), &key).await;
    t.ask_with(Method::POST, TOKENS, As::Admin, order(7_300), &key).await;
    t.note("no more than an owner may have");
    set(t, "limits.recorded-tokens-per-owner-max", 1).await;
    let form = "username=robot&scope=member-of-groups:readers&refreshable=true";
    let token = format!("{LEGACY}/token");
    t.ask(Method::POST, &token, As::Admin, Body::Form(form.to_owned())).await;
    t.note("revoked by its value, and again");
    let value = made.field("access_token");
    t.name(&value, "token");
    let revoke = || Body::Json(json!({"token": value}));
    t.ask(Method::DELETE, &format!("{TOKENS}/revoke"), As::Admin, revoke()).await;
    t.ask(Method::DELETE, &format!("{TOKENS}/revoke"), As::Admin, revoke()).await;
    t.note("the own token of a user who is gone, though the realm of the user would let others be refreshed");
    let user =
        json!({"username": "carol", "email": "c@example.org", "password": "secret word", "realm": "ldap"});
    t.quietly(Method::POST, USERS, As::Admin, Body::Json(user)).await;
    let order = json!({"scope": "applied-permissions/user", "refreshable": true, "expires_in": 7_200});
    let pair = t.quietly(Method::POST, TOKENS, As::Password("carol", "secret word"), Body::Json(order)).await;
    assert_eq!(pair.status, 200, "{}", pair.text);
    t.quietly(Method::DELETE, &format!("{USERS}/carol"), As::Admin, Body::Empty).await;
    let (refresh, access) = (pair.field("refresh_token"), pair.field("access_token"));
    t.name(&refresh, "refresh-token");
    t.name(&access, "access-token");
    let form = format!("grant_type=refresh_token&refresh_token={refresh}&access_token={access}");
    t.ask(Method::POST, &token, As::Nobody, Body::Form(form)).await;
});

transcript_test!(nothing_of_that_name_or_no_room, async |t: &mut Transcript<'_>| {
    t.note("settings");
    let none = format!("{CONFIG}/token.default-expriy");
    t.ask(Method::PUT, &none, As::Admin, Body::Json(json!({"value": 60}))).await;
    t.ask(Method::DELETE, &none, As::Admin, Body::Empty).await;
    t.ask(Method::PATCH, CONFIG, As::Admin, Body::Json(json!({"token.default-expriy": 60}))).await;
    t.note("keys");
    t.ask(Method::DELETE, &format!("{KEYS}/nobody"), As::Admin, Body::Empty).await;
    t.ask(Method::POST, &format!("{KEYS}/nobody/retire"), As::Admin, Body::Empty).await;
    let order = Body::Json(json!({"overlap": 3600}));
    let next = t.quietly(Method::POST, KEYS, As::Admin, order).await.field("kid");
    t.name(&next, "next-kid");
    t.quietly(Method::DELETE, &format!("{KEYS}/next"), As::Admin, Body::Empty).await;
    t.ask(Method::POST, &format!("{KEYS}/{next}/taint"), As::Admin, Body::Empty).await;
    t.note("certificates of others");
    t.ask(Method::GET, &format!("{TRUST}/nobody"), As::Admin, Body::Empty).await;
    let stranger = Stranger::new();
    let pem = circlet::certificates::certificate_pem(&stranger.issuer.certificate);
    t.name(&serde_json::to_string(&pem).unwrap(), "their-pem");
    set(t, "limits.trusted-issuers-max", 0).await;
    t.ask(Method::POST, TRUST, As::Admin, Body::Json(json!({"name": "other", "certificate": pem}))).await;
    t.note("nodes");
    set(t, "limits.join-tokens-max", 1).await;
    let tokens = "/circlet/v1/cluster/tokens";
    let minted = t.quietly(Method::POST, tokens, As::Admin, Body::Empty).await.field("token");
    t.ask(Method::POST, tokens, As::Admin, Body::Empty).await;
    let absent = Server::admitted(&minted, "node-2");
    let nodes = t.quietly(Method::GET, "/circlet/v1/cluster", As::Admin, Body::Empty).await.json();
    t.name(&format!("node {}", nodes["nodes"][1]["id"]), "node");
    let leader = Body::Json(json!({"to": "node-2"}));
    t.ask(Method::POST, "/circlet/v1/cluster/leader", As::Admin, leader).await;
    drop(absent);
});

transcript_test!(circle_without_room_key_or_trust, async |t: &mut Transcript<'_>| {
    t.note("no circle key yet");
    t.ask(Method::POST, &format!("{CIRCLE}/key"), As::Admin, Body::Empty).await;
    t.note("invitations that nobody has used");
    set(t, "limits.join-tokens-max", 1).await;
    let invitations = format!("{CIRCLE}/invitations");
    let invited = post(t, &invitations, json!({})).await;
    t.ask(Method::POST, &invitations, As::Admin, Body::Json(json!({}))).await;
    t.note("so many circle keys has one generation");
    let last = loop {
        let rotated = post(t, &format!("{CIRCLE}/key"), json!({})).await;
        if rotated.status != 200 {
            break rotated;
        }
    };
    assert_eq!(last.status, 409, "{}", last.text);
    t.ask(Method::POST, &format!("{CIRCLE}/key"), As::Admin, Body::Empty).await;
    t.note("a member whose feed contradicted itself is asked for nothing");
    let stranger = Stranger::new();
    let liar = Arc::new(Mutex::new(Liar::honest(&stranger, [42; 32])));
    let url = serve(Arc::clone(&liar)).await;
    let invitation = Invitation::parse(&invited.field("invitation")).unwrap();
    let said = stranger.introduction(&SigningKey::from_ed25519_seed(&[42; 32]), &url).to_text();
    let proof = prove(&invitation.secret, Side::Guest, &said);
    let guest = json!({"id": hex(&invitation.id), "introduction": said, "proof": proof});
    let paired = t.quietly(Method::POST, &format!("{CIRCLE}/pair"), As::Nobody, Body::Json(guest)).await;
    assert_eq!(paired.status, 200, "{}", paired.text);
    member(t, "followed", |member| member["feed"] == "following").await;
    liar.lock().unwrap().lie = Lie::Truncated;
    member(t, "found out", |member| member["feed"] == "broken").await;
    set_flag(t, "circle.forward-revoke").await;
    let token = stranger.token(9);
    t.name(&token, "their-token");
    let value = || Body::Json(json!({"token": token}));
    t.ask(Method::DELETE, &format!("{TOKENS}/revoke"), As::Admin, value()).await;
    let by_id = format!("{TOKENS}/6b1c8d8e-0000-4000-8000-000000000009?issuer={}", stranger.service_id);
    t.ask(Method::DELETE, &by_id, As::Admin, Body::Empty).await;
    let form = Body::Form(format!("token={token}"));
    t.ask(Method::POST, &format!("{LEGACY}/token/revoke"), As::Admin, form).await;
});

async fn set_flag(t: &Transcript<'_>, name: &str) {
    let path = format!("{CONFIG}/{name}");
    let set = t.quietly(Method::PUT, &path, As::Admin, Body::Json(json!({"value": true}))).await;
    assert_eq!(set.status, 200, "{}", set.text);
}
