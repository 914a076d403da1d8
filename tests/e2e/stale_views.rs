//! A node whose view may be behind refuses only what no later view could allow: everything else waits for a proof of
//! freshness, and without one the answer is "not now".

use reqwest::Method;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::http::{Auth, Body, Endpoint};
use super::tokens::TOKENS;

const USERS: &str = "/access/api/v2/users";
const GROUPS: &str = "/access/api/v2/groups";
const PASSWORD: &str = "a long Enough 1";

/// A request, and what it is answered on a fresh view.
struct Refused<'a> {
    because: &'static str,
    method: Method,
    path: String,
    auth: Auth<'a>,
    body: Option<Value>,
    status: u16,
}

impl Refused<'_> {
    fn body(&self) -> Body<'_> {
        self.body.clone().map_or(Body::Empty, Body::Json)
    }

    async fn assert_definite(&self, node: &Endpoint) {
        let answer = node.ask(self.method.clone(), &self.path, self.auth, self.body()).await;
        assert_eq!(answer.status, self.status, "{}: {}", self.because, answer.text);
    }

    async fn assert_not_now(&self, node: &Endpoint) {
        let answer = node.send(self.method.clone(), &self.path, self.auth, self.body()).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 503, "{}, on a view that may be behind: {}", self.because, answer.text);
    }
}

/// What later views might allow, each for another reason.
fn refused_until_later<'a>(admin: Auth<'a>, docker: &'a str) -> Vec<Refused<'a>> {
    let get = |because, path: &str, auth, status| Refused {
        because,
        method: Method::GET,
        path: path.to_owned(),
        auth,
        body: None,
        status,
    };
    let (dora, eve) = (Auth::Password("dora", PASSWORD), Auth::Password("eve", PASSWORD));
    let scope = "applied-permissions/groups:builders";
    let asked = json!({"username": "dora", "scope": scope, "expires_in": 600});
    vec![
        get("a user who is no administrator yet", USERS, dora, 403),
        get("a token whose group is no administrators' yet", USERS, Auth::Token(docker), 403),
        get("a user who is disabled", "/artifactory/api/system/ping", eve, 403),
        get("a user who is not known yet", USERS, Auth::Password("late", PASSWORD), 401),
        get("a password that is not known yet", USERS, Auth::Password("dora", "another Password 2"), 401),
        get("a user who is not there yet", &format!("{USERS}/late"), admin, 404),
        get("a group that is not there yet", &format!("{GROUPS}/late"), admin, 404),
        get(
            "a token that is not there yet",
            &format!("{TOKENS}/5a8dd2b5-7d0f-4b1f-9f3c-1b7a3a1c9a01"),
            admin,
            404,
        ),
        Refused {
            because: "a group that the user is not in yet",
            method: Method::POST,
            path: TOKENS.to_owned(),
            auth: dora,
            body: Some(asked),
            status: 403,
        },
    ]
}

async fn with_people(cluster: &Cluster, node: &Endpoint) {
    for group in ["builders", "docker"] {
        let body = Body::Json(json!({ "name": group }));
        node.post(GROUPS, cluster.admin(), body).await.expect(201);
    }
    for (name, status) in [("dora", "enabled"), ("eve", "disabled")] {
        let email = format!("{name}@example.org");
        let user = json!({"username": name, "email": email, "password": PASSWORD, "status": status});
        node.post(USERS, cluster.admin(), Body::Json(user)).await.expect(201);
    }
}

async fn token_of_docker(cluster: &Cluster, node: &Endpoint) -> String {
    let scope = "applied-permissions/groups:docker";
    let body = Body::Json(json!({"username": "job", "scope": scope, "expires_in": 600}));
    let created = node.post(TOKENS, cluster.admin(), body).await;
    assert_eq!(created.status, 200, "{}", created.text);
    created.member("access_token")
}

#[tokio::test]
async fn what_a_later_view_could_allow_is_not_refused_without_a_proof_of_freshness() {
    let cluster = Cluster::start("three-node").await;
    let leader = cluster.leader(&cluster.all()).await;
    let alone = cluster.others(leader)[0];
    let node = cluster.endpoint(alone);
    with_people(&cluster, node).await;
    let docker = token_of_docker(&cluster, node).await;
    let refused = refused_until_later(cluster.admin(), &docker);
    for refused in &refused {
        refused.assert_definite(node).await;
    }

    for number in cluster.others(alone) {
        cluster.pause(number);
    }
    for refused in &refused {
        refused.assert_not_now(node).await;
    }
    let garbled = node.verify_once("no token at all").await.expect("an answer");
    assert_eq!(garbled.status, 401, "no view makes a token of this: {}", garbled.text);

    for number in cluster.others(alone) {
        cluster.resume(number);
    }
    for refused in &refused {
        refused.assert_definite(node).await;
    }
}
