//! Accepting an invitation: what comes of it, and of those that can't be accepted.

use circlet::invitation::{Invitation, Side, prove};
use circlet::secret::Secret;
use circlet_token::SigningKey;
use reqwest::Method;
use serde_json::{Value, json};

use crate::circle::{CIRCLE, Stranger, hex, post};
use crate::server::{Server, free_address};
use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

/// An invitation of a cluster that is said to be at this address.
fn invitation(stranger: &Stranger, number: u8, url: &str) -> String {
    let introduction = stranger.introduction(&SigningKey::from_ed25519_seed(&[7; 32]), url).to_text();
    let invitation = Invitation { id: [number; 16], secret: Secret::new(vec![number; 32]), introduction };
    invitation.to_text().expose_text().unwrap().to_owned()
}

transcript_test!(accepting_invitations, async |t: &mut Transcript<'_>| {
    let user = json!({"username": "ann", "email": "", "password": "secret word"});
    t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    let members = format!("{CIRCLE}/members");
    // Nobody is there.
    let url = format!("http://{}", free_address());
    t.name(&url, "their-url");
    let text = invitation(&Stranger::new(), 1, &url);
    t.name(&text, "invitation");
    let one_way = || Body::Json(json!({"invitation": text, "name": "friend", "one_way": true}));
    t.note("who may, and what has to be said");
    t.ask(Method::POST, &members, As::Nobody, one_way()).await;
    t.ask(Method::POST, &members, As::Password("ann", "secret word"), one_way()).await;
    for body in [
        json!({}),
        json!({"invitation": "x"}),
        json!({"invitation": text, "hosts": ["somewhere"]}),
        json!({"invitation": text, "one_way": "perhaps"}),
        json!({"invitation": text, "nme": "friend"}),
    ] {
        t.ask(Method::POST, &members, As::Admin, Body::Json(body)).await;
    }
    let form = Body::Raw("application/x-www-form-urlencoded", b"invitation=x".to_vec());
    t.ask(Method::POST, &members, As::Admin, form).await;
    t.note("who shall follow us has to be told, and followed without being told");
    t.ask(Method::POST, &members, As::Admin, Body::Json(json!({"invitation": text}))).await;
    let accepted = t.ask(Method::POST, &members, As::Admin, one_way()).await;
    assert_eq!(accepted.status, 201, "{}", accepted.text);
    t.note("a name that another member has");
    let other = Server::start();
    t.name(&other.url, "other-url");
    t.name(&other.service_id, "other-service-id");
    let theirs = Transcript::of(&other);
    let invited = post(&theirs, &format!("{CIRCLE}/invitations"), json!({})).await.field("invitation");
    t.name(&invited, "other-invitation");
    let under = |name: &str| Body::Json(json!({"invitation": invited, "name": name, "one_way": true}));
    t.ask(Method::POST, &members, As::Admin, under("friend")).await;
    t.note("an invitation that the other cluster doesn't honour");
    let for_another = json!({"guest": "jfrt@01someone00000000000000000"});
    let not_ours = post(&theirs, &format!("{CIRCLE}/invitations"), for_another).await.field("invitation");
    t.name(&not_ours, "invitation-for-another");
    let order: Value = json!({"invitation": not_ours, "name": "other"});
    t.ask(Method::POST, &members, As::Admin, Body::Json(order)).await;
});

/// A guest that was let in and dismissed knows the secret still, and says once more what it said: nothing is trusted by that.
#[tokio::test]
async fn what_a_dismissed_guest_repeats_trusts_nothing() {
    let server = Server::start();
    let t = Transcript::of(&server);
    let stranger = Stranger::new();
    let invited = post(&t, &format!("{CIRCLE}/invitations"), json!({})).await;
    let invitation = Invitation::parse(&invited.field("invitation")).unwrap();
    let circle_key = SigningKey::from_ed25519_seed(&[7; 32]);
    let said = stranger.introduction(&circle_key, &format!("http://{}", free_address())).to_text();
    let proof = prove(&invitation.secret, Side::Guest, &said);
    let guest = json!({"id": hex(&invitation.id), "introduction": said, "proof": proof});
    let pair = async || {
        t.quietly(Method::POST, &format!("{CIRCLE}/pair"), As::Nobody, Body::Json(guest.clone())).await
    };
    let trusted = async || {
        let trusted = t.quietly(Method::GET, "/circlet/v1/trust", As::Admin, Body::Empty).await;
        assert_eq!(trusted.status, 200, "{}", trusted.text);
        trusted.text.contains(stranger.service_id.as_str())
    };
    for time in ["once", "again, since an answer may be lost"] {
        let paired = pair().await;
        assert_eq!(paired.status, 200, "{time}: {}", paired.text);
        assert!(trusted().await, "{time}");
    }
    let member = format!("{CIRCLE}/members/{}", stranger.service_id);
    let dismissed = t.quietly(Method::DELETE, &member, As::Admin, Body::Empty).await;
    assert_eq!(dismissed.status, 204, "{}", dismissed.text);
    let refused = pair().await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains("invite_used"), "{}", refused.text);
    assert!(!trusted().await, "a guest that was dismissed is trusted again");
}
