//! System endpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

transcript_test!(system_endpoints, async |t: &mut Transcript<'_>| {
    for path in [
        "/access/api/v1/system/ping",
        "/api/system/ping",
        "/artifactory/api/system/version",
        "/healthz",
        "/readyz",
        "/readyz?for=writes",
        "/readyz?for=tea",
        "/router/api/v1/system/health",
    ] {
        t.ask(Method::GET, path, As::Nobody, Body::Empty).await;
    }
    t.ask(Method::HEAD, "/artifactory/api/system/ping", As::Nobody, Body::Empty).await;
    t.ask(
        Method::POST,
        "/artifactory/api/system/usage",
        As::Nobody,
        Body::Json(json!({"productId": "vault"})),
    )
    .await;
    t.ask(Method::PUT, "/artifactory/api/system/usage", As::Nobody, Body::Empty).await;
    t.ask(Method::GET, "/artifactory/api/system/version", As::Password("admin", "wrong"), Body::Empty).await;
    t.note("the service id is for administrators");
    t.ask(Method::GET, "/artifactory/api/system/service_id", As::Nobody, Body::Empty).await;
    t.ask_with(
        Method::GET,
        "/artifactory/api/system/service_id",
        As::Admin,
        Body::Empty,
        &[("accept", "application/json")],
    )
    .await;
    t.ask(Method::GET, "/access/api/v1/cert/root", As::Nobody, Body::Empty).await;
    t.note("certificates, as base64 of DER and in PEM");
    for (path, name) in [
        ("/access/api/v1/cert/root", "base64"),
        ("/access/api/v1/cert/root?formatted=true", "pem"),
        ("/access/api/v1/cert/ca", "ca"),
    ] {
        let certificate = t.quietly(Method::GET, path, As::Admin, Body::Empty).await.text;
        t.name(&certificate, name);
        t.ask(Method::GET, path, As::Admin, Body::Empty).await;
    }
    t.note("the default expiry, under both names and both paths");
    t.ask(Method::GET, "/access/api/v1/tokens/default_expiry", As::Admin, Body::Empty).await;
    let body = Body::Raw("application/json", b"default_expiry=7200".to_vec());
    t.ask(Method::PUT, "/access/api/v1/tokens/default_expiry", As::Admin, body).await;
    t.ask(Method::GET, "/access/api/v1/config/token/default_expiry", As::Admin, Body::Empty).await;
    t.ask(
        Method::PUT,
        "/access/api/v1/config/token/default_expiry",
        As::Admin,
        Body::Json(json!({"default_token_expiration": -1})),
    )
    .await;
    t.ask(
        Method::PUT,
        "/access/api/v1/config/token/default_expiry",
        As::Admin,
        Body::Json(json!({"default_token_expiration": 3600})),
    )
    .await;
    t.ask(Method::POST, "/access/api/v1/tokens", As::Admin, Body::Empty).await;
});

#[tokio::test]
async fn the_root_certificate_is_base64_of_der_or_pem() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    let bare = t.quietly(Method::GET, "/access/api/v1/cert/root", As::Admin, Body::Empty).await.text;
    let pem =
        t.quietly(Method::GET, "/access/api/v1/cert/root?formatted=true", As::Admin, Body::Empty).await.text;
    let der = STANDARD.decode(&bare).unwrap();
    for text in [bare.as_bytes(), pem.as_bytes(), server.root_certificate().as_bytes()] {
        assert_eq!(circlet_token::read_certificate(text).unwrap().der, der);
    }
    t.quietly(Method::GET, "/access/api/v1/cert/ca", As::Admin, Body::Empty)
        .await
        .text
        .find("BEGIN CERTIFICATE")
        .unwrap();
    // A client verifies a token with nothing but this certificate.
    let token =
        t.quietly(Method::POST, "/access/api/v1/tokens", As::Admin, Body::Empty).await.field("access_token");
    let facts = circlet_token::read_certificate(pem.as_bytes()).unwrap();
    assert_eq!(circlet_token::Parsed::parse(&token).unwrap().kid(), Some(facts.key_id.as_str()));
}

/// With `log.format: json` each line of the log is an object; one about a request that failed has the id that the answer has.
#[tokio::test]
async fn log_lines_are_objects_where_the_settings_say_so_and_name_the_request() {
    let server = crate::server::Server::start_with("log.format: json\n");
    let t = Transcript::of(&server);
    let far = [("x-circlet-index", "9999999999"), ("x-request-id", "trace-17")];
    let failed = t.with_headers(Method::GET, "/circlet/v1/verify", As::Admin, Body::Empty, &far).await;
    assert_eq!(failed.status, 503, "{}", failed.text);
    let log = server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    let about = lines.iter().find(|line| line["fields"]["request_id"] == "trace-17");
    let about = about.unwrap_or_else(|| panic!("no line is about the request: {log}"));
    assert_eq!(
        (&about["fields"]["message"], &about["fields"]["status"]),
        (&json!("request failed"), &json!(503))
    );
}
