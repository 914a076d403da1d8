//! What nobody should send.

use reqwest::Method;
use serde_json::json;

use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

transcript_test!(bad_input, async |t: &mut Transcript<'_>| {
    t.note("every path answers JSON in the shape of its API");
    for path in [
        "/",
        "/nothing",
        "/access/api/v1/nothing",
        "/artifactory/api/nothing",
        "/artifactory/nothing",
        "/circlet/v2/verify",
    ] {
        t.ask(Method::GET, path, As::Nobody, Body::Empty).await;
    }
    t.note("and every method");
    for (method, path) in [
        (Method::PUT, "/access/api/v1/tokens"),
        (Method::PATCH, "/artifactory/api/security/token"),
        (Method::DELETE, "/artifactory/api/system/ping"),
        (Method::POST, "/circlet/v1/verify"),
    ] {
        t.ask(method, path, As::Nobody, Body::Empty).await;
    }
    t.note("bodies that can't be read");
    let bodies = [
        Body::Raw("application/json", b"{\"username\": \"bob\"".to_vec()),
        Body::Raw("application/json", b"[]".to_vec()),
        Body::Raw("application/json", b"{\"username\": \"a\", \"username\": \"b\"}".to_vec()),
        Body::Raw("application/json", b"{\"username\": {\"name\": \"bob\"}}".to_vec()),
        Body::Raw("application/json", vec![b'{', 0xff, b'}']),
        Body::Raw("application/x-www-form-urlencoded", b"username=%zz".to_vec()),
        Body::Raw("application/x-www-form-urlencoded", b"username=a&username=b".to_vec()),
        Body::Raw("text/xml", b"<token/>".to_vec()),
    ];
    for path in ["/access/api/v1/tokens", "/artifactory/api/security/token"] {
        for body in &bodies {
            let answer = t.ask(Method::POST, path, As::Admin, body.clone()).await;
            assert!(matches!(answer.status.as_u16(), 400 | 415), "{}", answer.text);
        }
    }
    t.note("too large");
    let large = Body::Raw("application/json", vec![b' '; 300 * 1024]);
    for path in
        ["/access/api/v1/tokens", "/artifactory/api/security/token", "/artifactory/api/security/users/bob"]
    {
        let answer = t
            .ask(
                if path.ends_with("bob") { Method::PUT } else { Method::POST },
                path,
                As::Admin,
                large.clone(),
            )
            .await;
        assert_eq!(answer.status.as_u16(), 413);
    }
    t.note("names in paths");
    t.ask(Method::GET, "/artifactory/api/security/users/%zz", As::Admin, Body::Empty).await;
    t.ask(Method::GET, "/artifactory/api/security/users/%ff", As::Admin, Body::Empty).await;
    t.ask(Method::GET, "/artifactory/api/security/users/a%3Ab", As::Admin, Body::Empty).await;
    t.note("our own endpoints refuse what they don't know");
    t.ask(Method::POST, "/circlet/v1/trust", As::Admin, Body::Json(json!({"certificat": "x"}))).await;
    t.ask_with(Method::GET, "/circlet/v1/verify", As::Admin, Body::Empty, &[("x-circlet-index", "soon")])
        .await;
});

#[tokio::test]
async fn a_minimum_index_is_waited_for_and_a_far_one_is_not_reached() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    let written =
        t.quietly(Method::PUT, "/api/security/groups/readers", As::Admin, Body::Json(json!({}))).await;
    let index: u64 = written.headers["x-circlet-index"].to_str().unwrap().parse().unwrap();
    let ask = async |index: u64| {
        let mut t = Transcript::of(&server);
        let header = index.to_string();
        t.ask_with(
            Method::GET,
            "/circlet/v1/verify?consistency=strong",
            As::Admin,
            Body::Empty,
            &[("x-circlet-index", &header)],
        )
        .await
    };
    assert_eq!(ask(index).await.status.as_u16(), 200);
    let far = ask(index + 1_000_000).await;
    assert_eq!(far.status.as_u16(), 503);
    assert!(far.headers.contains_key("retry-after"), "{}", far.text);
    assert!(far.text.contains("index_not_reached"), "{}", far.text);
}

#[tokio::test]
async fn a_usable_request_id_comes_back() {
    let server = crate::server::Server::start();
    let mut t = Transcript::of(&server);
    let answer = t
        .ask_with(Method::GET, "/access/nothing", As::Nobody, Body::Empty, &[("x-request-id", "trace-17")])
        .await;
    assert_eq!(answer.headers["x-request-id"], "trace-17");
    assert_eq!(answer.field("request_id"), "trace-17");
}
