//! Who may ask for what (contract sections 1.4, 1.6 and 1.8).

use reqwest::Method;
use serde_json::{Value, json};

use crate::transcript::{Answer, As, Body, Transcript};
use crate::transcript_test;

const TOKENS: &str = "/access/api/v1/tokens";
const LEGACY: &str = "/artifactory/api/security/token";

fn alice() -> As {
    As::Password("alice", "alice's own")
}

/// Groups `readers` and `writers`, and alice in the first.
async fn people(t: &Transcript<'_>) {
    for group in ["readers", "writers"] {
        let made = t
            .quietly(Method::POST, "/access/api/v2/groups", As::Admin, Body::Json(json!({"name": group})))
            .await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let user = json!({"username": "alice", "email": "a@example.org", "password": "alice's own", "groups": ["readers"]});
    let made = t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    assert_eq!(made.status, 201, "{}", made.text);
}

async fn create(t: &Transcript<'_>, who: As, body: Value) -> Answer {
    t.quietly(Method::POST, TOKENS, who, Body::Json(body)).await
}

async fn worth(t: &Transcript<'_>, token: &Answer) -> Value {
    t.quietly(Method::GET, "/circlet/v1/verify", As::Bearer(token.field("access_token")), Body::Empty)
        .await
        .json()
}

async fn set(t: &Transcript<'_>, setting: &str, value: Value) {
    let path = format!("/circlet/v1/config/{setting}");
    let done = t.quietly(Method::PUT, &path, As::Admin, Body::Json(json!({"value": value}))).await;
    assert_eq!(done.status, 200, "{}", done.text);
}

#[tokio::test]
async fn live_groups_follow_the_user_and_named_groups_do_not() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    people(&t).await;
    let form = |scope: &str| Body::Form(format!("username=alice&scope={scope}"));
    let live = t.quietly(Method::POST, LEGACY, As::Admin, form("member-of-groups:*")).await;
    let named = t.quietly(Method::POST, LEGACY, As::Admin, form("member-of-groups:readers")).await;
    let path = "/access/api/v2/users/alice";
    let moved = t.quietly(Method::PATCH, path, As::Admin, Body::Json(json!({"groups": ["writers"]}))).await;
    assert_eq!(moved.status, 200, "{}", moved.text);
    assert_eq!(worth(&t, &live).await["groups"], json!(["writers"]));
    assert_eq!(worth(&t, &named).await["groups"], json!(["readers"]));
    // Nobody's live groups are none.
    let ghost = Body::Form("username=ghost&scope=member-of-groups:*,readers".to_owned());
    let ghost = t.quietly(Method::POST, LEGACY, As::Admin, ghost).await;
    assert_eq!(ghost.status, 200, "{}", ghost.text);
    assert_eq!(worth(&t, &ghost).await["groups"], json!(["readers"]));
}

#[tokio::test]
async fn an_unknown_group_is_a_warning_for_administrators_and_a_refusal_for_others() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    people(&t).await;
    let admin = [
        create(
            &t,
            As::Admin,
            json!({"username": "robot", "scope": "applied-permissions/groups:readers,raeders"}),
        )
        .await,
        t.quietly(
            Method::POST,
            LEGACY,
            As::Admin,
            Body::Form("username=robot&scope=member-of-groups:readers,raeders".to_owned()),
        )
        .await,
    ];
    for answer in admin {
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.headers["x-circlet-warning"].to_str().unwrap().contains("raeders"));
    }
    let refused = create(&t, alice(), json!({"scope": "applied-permissions/groups:raeders"})).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    let form = Body::Form("username=alice&scope=member-of-groups:raeders".to_owned());
    let refused = t.quietly(Method::POST, LEGACY, alice(), form).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(refused.text.contains("raeders"), "{}", refused.text);

    // A refresh that asks for another scope is told the same.
    let scoped = |scope: &str| json!({"username": "alice", "scope": scope, "refreshable": true});
    let pair = create(&t, As::Admin, scoped("applied-permissions/groups:readers")).await;
    let mut other = scoped("applied-permissions/groups:raeders");
    other["grant_type"] = "refresh_token".into();
    other["refresh_token"] = pair.field("refresh_token").into();
    let refused = create(&t, alice(), other.clone()).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    let next = create(&t, As::Admin, other).await;
    assert_eq!(next.status, 200, "{}", next.text);
    assert!(next.headers["x-circlet-warning"].to_str().unwrap().contains("raeders"));
}

#[tokio::test]
async fn generic_subjects_are_for_administrators_and_create_nothing() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    people(&t).await;
    let subject = format!("{}/pipelines/nightly build", server.service_id);
    let body = json!({"username": subject, "scope": "applied-permissions/groups:readers"});
    let job = create(&t, As::Admin, body.clone()).await;
    assert_eq!(job.status, 200, "{}", job.text);
    let worth = worth(&t, &job).await;
    assert_eq!(
        (&worth["subject"], &worth["transient"], &worth["groups"]),
        (&json!(subject), &json!(true), &json!(["readers"]))
    );
    assert_eq!(create(&t, alice(), body).await.status, 403);
    let bearer = As::Bearer(job.field("access_token"));
    assert_eq!(create(&t, bearer, json!({"expires_in": 60})).await.status, 403);
    let useless =
        create(&t, As::Admin, json!({"username": subject, "scope": "applied-permissions/user"})).await;
    assert_eq!(useless.status, 400, "{}", useless.text);
}

/// What the operator sets as the longest lifetime holds on both APIs, and for the default; administrators have none.
#[tokio::test]
async fn the_operators_maximum_holds_on_both_apis_and_can_be_asked_for() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    people(&t).await;
    let limits = async |who: As| t.quietly(Method::GET, "/circlet/v1/limits", who, Body::Empty).await.json();
    let before = limits(alice()).await;
    assert_eq!(before["legacy"], json!({"default_expiry": 3600, "max_expiry": 3600, "revocable_from": null}));
    assert_eq!(
        before["access"],
        json!({"default_expiry": 31_536_000, "max_expiry": 0, "revocable_from": 21600})
    );
    set(&t, "token.default-expiry", json!(1000)).await;
    set(&t, "token.max-expiry", json!(7200)).await;
    set(&t, "token.non-admin-max-duration", json!(1800)).await;
    set(&t, "token.minimum-revocable-expiry", json!(0)).await;
    let after = limits(alice()).await;
    assert_eq!(after["legacy"], json!({"default_expiry": 1800, "max_expiry": 1800, "revocable_from": 0}));
    assert_eq!(after["access"], json!({"default_expiry": 1000, "max_expiry": 7200, "revocable_from": 21600}));
    assert_eq!(limits(As::Admin).await["legacy"]["max_expiry"], 0);
    for (secs, access, legacy) in
        [(1800, 200, 200), (1801, 200, 400), (7200, 200, 400), (7201, 403, 400), (0, 403, 400)]
    {
        let made = create(&t, alice(), json!({"expires_in": secs})).await;
        assert_eq!(made.status, access, "{secs}: {}", made.text);
        let form = Body::Form(format!("username=alice&expires_in={secs}"));
        let made = t.quietly(Method::POST, LEGACY, alice(), form).await;
        assert_eq!(made.status, legacy, "{secs}: {}", made.text);
    }
    let default = t.quietly(Method::POST, LEGACY, alice(), Body::Form("username=alice".to_owned())).await;
    assert_eq!(default.json()["expires_in"], 1800, "{}", default.text);
    let unbounded = create(&t, As::Admin, json!({"expires_in": 0})).await;
    assert_eq!(unbounded.status, 200, "{}", unbounded.text);
    assert_eq!(t.quietly(Method::GET, "/circlet/v1/limits", As::Nobody, Body::Empty).await.status, 401);
}

#[tokio::test]
async fn every_create_of_the_access_api_says_whether_it_is_persisted() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    for (body, persisted) in [
        (json!({"expires_in": 10_799}), false),
        (json!({"expires_in": 10_800}), true),
        (json!({"expires_in": 60, "refreshable": true}), true),
        (json!({"expires_in": 60, "include_reference_token": true}), true),
        (json!({"expires_in": 60, "force_revocable": true}), true),
        (json!({"expires_in": 60, "scope": "applied-permissions/admin"}), true),
        (json!({"expires_in": 0}), true),
    ] {
        let made = create(&t, As::Admin, body.clone()).await;
        assert_eq!(made.json()["persisted"], persisted, "{body}: {}", made.text);
        let path = format!("{TOKENS}/{}", made.field("token_id"));
        let found = t.quietly(Method::GET, &path, As::Admin, Body::Empty).await.status;
        assert_eq!(found == 200, persisted, "{body}");
    }
}

/// With `minimum-revocable-expiry: 0` a short token of the older API is revocable although nothing recorded it.
#[tokio::test]
async fn a_plain_token_can_be_revoked_by_value_and_by_id() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    set(&t, "minimum-revocable-expiry", json!(0)).await;
    for by in ["token", "token_id"] {
        let form = Body::Form("username=robot&scope=member-of-groups:readers&expires_in=600".to_owned());
        let made = t.quietly(Method::POST, LEGACY, As::Admin, form).await;
        let bearer = || As::Bearer(made.field("access_token"));
        let me = t.quietly(Method::GET, &format!("{TOKENS}/me"), bearer(), Body::Empty).await.json();
        assert_eq!((&me["persisted"], &me["revocable"]), (&json!(false), &json!(true)), "{me}");
        let value = if by == "token" {
            made.field("access_token")
        } else {
            me["token_id"].as_str().unwrap().to_owned()
        };
        let revoke = || Body::Form(format!("{by}={value}"));
        let path = format!("{LEGACY}/revoke");
        assert_eq!(t.quietly(Method::POST, &path, As::Admin, revoke()).await.text, "Token revoked", "{by}");
        assert_eq!(
            t.quietly(Method::GET, &format!("{TOKENS}/me"), bearer(), Body::Empty).await.status,
            401,
            "{by}"
        );
        assert_eq!(t.quietly(Method::POST, &path, As::Admin, revoke()).await.text, "Token not found", "{by}");
    }
}

#[tokio::test]
async fn an_administrator_through_a_group_is_shown_as_one() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    people(&t).await;
    let path = "/access/api/v2/users/alice";
    let alone = t.quietly(Method::GET, path, As::Admin, Body::Empty).await.json();
    assert_eq!((&alone["admin"], &alone["effective_admin"]), (&json!(false), &json!(false)));
    let change = Body::Json(json!({"admin_privileges": true}));
    let changed = t.quietly(Method::PATCH, "/access/api/v2/groups/readers", As::Admin, change).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let member = t.quietly(Method::GET, path, As::Admin, Body::Empty).await.json();
    assert_eq!((&member["admin"], &member["effective_admin"]), (&json!(false), &json!(true)));
}

/// Deleting or disabling an internal user ends the user's live tokens and stops refreshing; a user of another realm can
/// refresh on after the removal.
#[tokio::test]
async fn the_realm_decides_what_a_removal_ends() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    for (realm, change, refreshes) in
        [("internal", "delete", false), ("internal", "disable", false), ("ldap", "delete", true)]
    {
        let name = format!("{realm}-{change}");
        let user =
            json!({"username": name, "email": "a@example.org", "password": "long enough", "realm": realm});
        let made = t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let who = || As::Password(name.clone().leak(), "long enough");
        let live = create(&t, who(), json!({"expires_in": 600})).await;
        let pair = t
            .quietly(Method::POST, LEGACY, who(), Body::Form(format!("username={name}&refreshable=true")))
            .await;
        assert_eq!(pair.status, 200, "{}", pair.text);
        let path = format!("/access/api/v2/users/{name}");
        let done = match change {
            "delete" => t.quietly(Method::DELETE, &path, As::Admin, Body::Empty).await,
            _ => t.quietly(Method::PATCH, &path, As::Admin, Body::Json(json!({"status": "disabled"}))).await,
        };
        assert!(done.status.is_success(), "{}", done.text);
        let ended = t
            .quietly(Method::GET, "/circlet/v1/verify", As::Bearer(live.field("access_token")), Body::Empty)
            .await;
        assert_eq!(ended.status, 401, "{name}: {}", ended.text);
        let form = format!(
            "grant_type=refresh_token&refresh_token={}&access_token={}",
            pair.field("refresh_token"),
            pair.field("access_token")
        );
        let refreshed = t.quietly(Method::POST, LEGACY, As::Nobody, Body::Form(form)).await;
        assert_eq!(refreshed.status == 200, refreshes, "{name}: {}", refreshed.text);
    }
}

transcript_test!(limits_of_tokens, async |t: &mut Transcript<'_>| {
    t.ask(Method::GET, "/circlet/v1/limits", As::Admin, Body::Empty).await;
    t.ask(Method::GET, "/circlet/v1/limits", As::Nobody, Body::Empty).await;
});

/// The pair is enough, also with what clients send out of habit; anything else needs an administrator, whose credential
/// with the refresh token is enough in turn.
#[tokio::test]
async fn a_refresh_takes_more_than_the_pair_from_administrators_only() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    people(&t).await;
    for path in [LEGACY, TOKENS] {
        let form = if path == LEGACY {
            "username=alice&refreshable=true"
        } else {
            "expires_in=30000&refreshable=true"
        };
        let mut pair = t.quietly(Method::POST, path, alice(), Body::Form(form.to_owned())).await;
        assert_eq!(pair.status, 200, "{}", pair.text);
        for (more, nobody, user, admin) in [
            ("", 200, 200, 200),
            ("&refreshable=true", 200, 200, 200),
            ("&include_reference_token=true", 200, 200, 200),
            ("&username=", 200, 200, 200),
            ("&username=alice", 401, 403, 200),
            ("&description=x", 401, 403, 200),
            ("&scope=member-of-groups:writers", 401, 403, 200),
        ] {
            let callers = [(As::Nobody, nobody), (alice(), user), (As::Admin, admin)];
            for (who, expected) in callers {
                let form = format!(
                    "grant_type=refresh_token&refresh_token={}&access_token={}{more}",
                    pair.field("refresh_token"),
                    pair.field("access_token")
                );
                let answer = t.quietly(Method::POST, path, who.clone(), Body::Form(form)).await;
                assert_eq!(answer.status, expected, "{path} {more} {who:?}: {}", answer.text);
                if answer.status == 200 {
                    pair = answer;
                }
            }
        }
        let alone = format!("grant_type=refresh_token&refresh_token={}", pair.field("refresh_token"));
        let answer = t.quietly(Method::POST, TOKENS, As::Admin, Body::Form(alone)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
}
