//! The older API's tokens.

use reqwest::Method;

use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const TOKEN: &str = "/artifactory/api/security/token";
const REVOKE: &str = "/artifactory/api/security/token/revoke";

fn form(text: &str) -> Body {
    Body::Form(text.to_owned())
}

transcript_test!(legacy_create, async |t: &mut Transcript<'_>| {
    t.note("exactly the documented keys; refresh_token and expires_in are left out, never null");
    t.ask(Method::POST, TOKEN, As::Admin, form("username=bob&scope=member-of-groups:readers")).await;
    t.ask(
        Method::POST,
        TOKEN,
        As::Admin,
        form("username=bob&scope=member-of-groups:%22readers,two+words%22&expires_in=0&refreshable=True"),
    )
    .await;
    t.note("the default scope of an existing user is its groups");
    t.ask(Method::PUT, "/api/security/groups/readers", As::Admin, Body::Json(serde_json::json!({}))).await;
    let user =
        serde_json::json!({"email": "alice@example.org", "password": "alice's own", "groups": ["readers"]});
    t.ask(Method::PUT, "/api/security/users/alice", As::Admin, Body::Json(user)).await;
    t.ask(Method::POST, "/api/security/token", As::Admin, form("username=alice")).await;
    t.note("audience");
    t.ask(Method::POST, TOKEN, As::Admin, form("username=alice&audience=*")).await;
    t.ask(Method::POST, TOKEN, As::Admin, form("username=alice&audience=jfxr@*")).await;
    t.note("errors");
    for body in [
        "",
        "username=ghost",
        "username=ghost&scope=api:*",
        "username=bob&scope=nonsense",
        "username=bob&scope=member-of-groups:readers&expires_in=-5",
        "username=bob&scope=member-of-groups:readers&expires_in=soon",
        "grant_type=password&username=bob",
    ] {
        let answer = t.ask(Method::POST, TOKEN, As::Admin, form(body)).await;
        assert_eq!(answer.status.as_u16(), 400);
    }
    t.note("users: only for themselves, only their groups, at most an hour");
    let alice = || As::Password("alice", "alice's own");
    for body in [
        "username=bob&scope=member-of-groups:readers",
        "username=alice&scope=member-of-groups:writers",
        "username=alice&expires_in=5000",
        "username=alice&expires_in=0",
        "username=alice&scope=applied-permissions/admin",
    ] {
        let answer = t.ask(Method::POST, TOKEN, alice(), form(body)).await;
        assert_eq!(answer.status.as_u16(), 400);
    }
    t.ask(Method::POST, TOKEN, alice(), form("username=alice&expires_in=3600")).await;
    t.ask(Method::POST, TOKEN, As::Nobody, form("username=alice")).await;
    t.ask(Method::POST, TOKEN, As::Admin, Body::Json(serde_json::json!({"username": "alice"}))).await;
});

transcript_test!(legacy_refresh, async |t: &mut Transcript<'_>| {
    let body = "username=bob&scope=member-of-groups:readers&expires_in=600&refreshable=true";
    let first = t.ask(Method::POST, TOKEN, As::Admin, form(body)).await;
    let (access, refresh) = (first.field("access_token"), first.field("refresh_token"));
    t.name(&access, "access-1");
    t.name(&refresh, "refresh-1");
    t.note("the pair is its own credential");
    let pair = format!("grant_type=refresh_token&refresh_token={refresh}&access_token={access}");
    let second = t.ask(Method::POST, TOKEN, As::Nobody, form(&pair)).await;
    assert_eq!(t.quietly(Method::POST, TOKEN, As::Nobody, form(&pair)).await.text, second.text);
    t.note("anything more needs a credential, and more than expires_in an administrator's");
    let (access, refresh) = (second.field("access_token"), second.field("refresh_token"));
    t.name(&access, "access-2");
    t.name(&refresh, "refresh-2");
    let pair = format!("grant_type=refresh_token&refresh_token={refresh}&access_token={access}");
    t.ask(Method::POST, TOKEN, As::Nobody, form(&format!("{pair}&expires_in=60"))).await;
    t.ask(Method::POST, TOKEN, As::Admin, form(&format!("{pair}&expires_in=60"))).await;
    t.note("refused");
    t.ask(Method::POST, TOKEN, As::Nobody, form(&pair)).await;
    t.ask(Method::POST, TOKEN, As::Nobody, form("grant_type=refresh_token")).await;
    t.ask(
        Method::POST,
        TOKEN,
        As::Nobody,
        form(&format!("grant_type=refresh_token&refresh_token={refresh}")),
    )
    .await;
    t.ask(
        Method::POST,
        TOKEN,
        As::Nobody,
        form(&format!("grant_type=refresh_token&refresh_token=nonsense&access_token={access}")),
    )
    .await;
    t.ask(
        Method::POST,
        TOKEN,
        As::Nobody,
        form(&format!("grant_type=refresh_token&refresh_token={refresh}&access_token=nonsense")),
    )
    .await;
    t.note("a token of another service is named with both ids");
    let foreign = foreign_token();
    t.name(&foreign, "foreign");
    let body = format!("grant_type=refresh_token&refresh_token={refresh}&access_token={foreign}");
    let answer = t.ask(Method::POST, TOKEN, As::Nobody, form(&body)).await;
    assert_eq!(answer.status.as_u16(), 400);
});

transcript_test!(legacy_revoke_and_list, async |t: &mut Transcript<'_>| {
    let create = "username=bob&scope=member-of-groups:readers&refreshable=true&audience=jfrt@*";
    let token = t.quietly(Method::POST, TOKEN, As::Admin, form(create)).await;
    let refresh = token.field("refresh_token");
    t.name(&refresh, "refresh-1");
    t.ask(Method::GET, TOKEN, As::Admin, Body::Empty).await;
    t.note("by the value of the refresh token: the family ends, its access token lives to its expiry");
    let revoked = t.ask(Method::POST, REVOKE, As::Admin, form(&format!("token={refresh}"))).await;
    assert_eq!(revoked.text, "Token revoked");
    let unknown = t.ask(Method::POST, REVOKE, As::Admin, form("token=faketoken")).await;
    assert_eq!(unknown.text, "Token not found");
    t.ask(Method::POST, REVOKE, As::Admin, form(&format!("token={refresh}"))).await;
    t.note("one that expires can't be revoked by default, one that doesn't can");
    let plain =
        t.quietly(Method::POST, TOKEN, As::Admin, form("username=bob&scope=member-of-groups:readers")).await;
    let plain = plain.field("access_token");
    t.name(&plain, "plain");
    t.ask(Method::POST, REVOKE, As::Admin, form(&format!("token={plain}&token_type_hint=access_token")))
        .await;
    let lasting = t
        .quietly(
            Method::POST,
            TOKEN,
            As::Admin,
            form("username=bob&scope=member-of-groups:readers&expires_in=0"),
        )
        .await;
    let list = t.quietly(Method::GET, TOKEN, As::Admin, Body::Empty).await.json();
    let lasting_id = list["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item.get("expiry").is_none())
        .unwrap()["token_id"]
        .as_str()
        .unwrap()
        .to_owned();
    t.name(&lasting_id, "lasting-id");
    t.name(&lasting.field("access_token"), "lasting");
    t.ask(Method::POST, REVOKE, As::Admin, form(&format!("token_id={lasting_id}"))).await;
    t.ask(Method::POST, REVOKE, As::Admin, form(&format!("token_id={lasting_id}"))).await;
    t.ask(
        Method::GET,
        "/artifactory/api/system/ping",
        As::Bearer(lasting.field("access_token")),
        Body::Empty,
    )
    .await;
    t.note("errors");
    for body in ["", "token=a&token_id=b", "token=a&token_type_hint=colour"] {
        t.ask(Method::POST, REVOKE, As::Admin, form(body)).await;
    }
    let foreign = foreign_token();
    t.name(&foreign, "foreign");
    t.ask(Method::POST, REVOKE, As::Admin, form(&format!("token={foreign}"))).await;
    t.ask(Method::POST, REVOKE, As::Nobody, form("token=faketoken")).await;
    let user = serde_json::json!({"email": "alice@example.org", "password": "alice's own"});
    t.quietly(Method::PUT, "/api/security/users/alice", As::Admin, Body::Json(user)).await;
    t.ask(Method::POST, REVOKE, As::Password("alice", "alice's own"), form("token=faketoken")).await;
    t.ask(Method::GET, TOKEN, As::Password("alice", "alice's own"), Body::Empty).await;
    t.ask(Method::DELETE, TOKEN, As::Admin, Body::Empty).await;
});

/// A well-formed token of a service that nobody here knows, with a signature of zeros.
pub(crate) fn foreign_token() -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    let header =
        r#"{"ver":"2","typ":"JWT","alg":"EdDSA","kid":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}"#;
    let claims = r#"{"sub":"jfrt@01other/users/bob","scp":"applied-permissions/admin","aud":"*@*","iss":"jfrt@01other","exp":4102444800,"iat":1700000000,"jti":"6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5b6c"}"#;
    format!("{}.{}.{}", BASE64.encode(header), BASE64.encode(claims), BASE64.encode([0; 64]))
}
