//! Three clusters that honour each other's tokens and revocations.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::cluster::Cluster;
use super::eventually::{eventually, until};
use super::http::{Auth, Body};
use super::link::Link;
use super::pairing::{CIRCLE, everywhere, pair, refused, set};
use super::promises::READY_WITHIN;
use super::tokens::{LONG_SECS, PLAIN_SECS, TOKENS, create, create_body, revoke};

/// `circle.max-staleness-ms` in this test, and the bound that follows from it: 200 ppm of drift, and a moment for the
/// request itself to be sent.
const STALENESS_MS: u64 = 4_000;
const REFUSED_WITHIN: Duration = Duration::from_millis(STALENESS_MS + 10);

async fn recorded(cluster: &Cluster) -> (String, String) {
    let made = create(cluster.endpoint(0), &cluster.admin_token, LONG_SECS, false).await;
    (made.member("token_id"), made.member("access_token"))
}

/// What the parts of the test share.
struct Circle {
    a: Cluster,
    b: Cluster,
    c: Cluster,
    links: [Link; 2],
    /// Revocable, plain: of cluster A, and never revoked.
    lasting: String,
    plain: String,
}

impl Circle {
    async fn start() -> Self {
        let [a, b, c] = Cluster::start_all_of_circle().await;
        let links = [Link::to(a.endpoint(0).url()).await, Link::to(a.endpoint(2).url()).await];
        for cluster in [&a, &b, &c] {
            set(cluster, "circle.max-staleness-ms", STALENESS_MS).await;
        }
        pair(&a, &b, "a", &[&links[0], &links[1]], &[]).await;
        pair(&a, &c, "a", &[&links[0]], &[]).await;
        let (_, lasting) = recorded(&a).await;
        let plain = create(a.endpoint(1), &a.admin_token, PLAIN_SECS, false).await.member("access_token");
        Self { a, b, c, links, lasting, plain }
    }

    /// Plain, revocable and administrator's tokens, on every node of every cluster.
    async fn cross_use(&self) {
        let Self { a, b, c, lasting, plain, .. } = self;
        let (_, of_c) = recorded(c).await;
        everywhere(&[a, b, c], lasting, 200, "a revocable token is honoured").await;
        everywhere(&[a, b, c], plain, 200, "a plain token is honoured").await;
        everywhere(&[a], &of_c, 200, "and the other way round").await;
        refused(&[b], &of_c, "who is not paired is not honoured").await;
        let mut body = create_body(PLAIN_SECS, false);
        body["scope"] = "applied-permissions/admin".into();
        let admin = a.endpoint(0).post(TOKENS, Auth::Token(&a.admin_token), Body::Json(body)).await;
        let admin = admin.member("access_token");
        everywhere(&[b], &admin, 200, "an administrator's token is honoured").await;
        assert_eq!(b.endpoint(0).verify(&admin).await.expect(200)["admin"], false);
        let group = Body::Json(json!({ "name": "builders" }));
        b.endpoint(1).put("/artifactory/api/security/groups/builders", b.admin(), group).await;
        let limits = json!({ "limits": { "admin": true, "groups": { "readers": "builders" } } });
        let path = format!("/circlet/v1/trust/{}", a.service_id);
        let (method, auth) = (Method::PATCH, Auth::Token(&b.admin_token));
        b.endpoint(1).ask(method, &path, auth, Body::Json(limits)).await.expect(200);
        assert_eq!(b.endpoint(1).verify(&admin).await.expect(200)["admin"], true);
        assert_eq!(b.endpoint(1).verify(plain).await.expect(200)["groups"], json!(["builders"]));
    }

    /// Revoked here, refused there; and a member that loses its leader proves anew before it honours again.
    async fn revoked(&mut self) -> String {
        let (id, token) = recorded(&self.a).await;
        let Self { a, b, c, lasting, .. } = self;
        everywhere(&[&*b, &*c], &token, 200, "honoured before it is revoked").await;
        revoke(a.endpoint(1), &a.admin_token, &id).await.assert_revoked();
        let acknowledged = Instant::now();
        everywhere(&[&*b, &*c], &token, 401, "what was revoked is refused").await;
        eprintln!("revoked here, refused on every node of the others after {:?}", acknowledged.elapsed());
        until(acknowledged + REFUSED_WITHIN).await;
        refused(&[&*a, &*b, &*c], &token, "after the bound").await;
        let leader = b.leader(&b.all()).await;
        b.kill(leader);
        for number in b.others(leader) {
            eventually(READY_WITHIN, "another leader follows", || async {
                b.endpoint(number).verify_once(lasting).await.ok().filter(|answer| answer.status == 200)
            })
            .await;
            assert_eq!(b.endpoint(number).verify(&token).await.status, 401);
        }
        b.restart(leader);
        b.ready(leader).await;
        token
    }

    /// Cut off from the issuer in one direction, or down: revoked meanwhile, refused after the bound; plain tokens go on.
    async fn cut(&mut self) -> String {
        let (id, token) = recorded(&self.a).await;
        let Self { a, b, c, links, lasting, plain } = self;
        everywhere(&[&*b, &*c], &token, 200, "honoured before the cut").await;
        c.kill(0);
        links.iter().for_each(Link::cut);
        revoke(a.endpoint(0), &a.admin_token, &id).await.assert_revoked();
        until(Instant::now() + REFUSED_WITHIN).await;
        refused(&[&*a, &*b], &token, "revoked behind a cut").await;
        refused(&[&*b], lasting, "nothing can be known").await;
        assert!(b.endpoint(0).verify(lasting).await.text.contains("foreign_stale"));
        everywhere(&[&*b], plain, 200, "plain tokens go on across the cut").await;
        links.iter().for_each(Link::mend);
        c.restart(0);
        c.ready(0).await;
        token
    }
}

#[tokio::test]
async fn circle_honours_what_is_revocable_and_refuses_what_is_revoked_though_it_is_cut() {
    let mut circle = Circle::start().await;
    circle.cross_use().await;
    let first = circle.revoked().await;
    let second = circle.cut().await;
    let Circle { b, c, lasting, .. } = &circle;
    everywhere(&[b, c], lasting, 200, "honoured again").await;
    refused(&[b, c], &second, "also by a member that was down").await;
    refused(&[b, c], &first, "and for good").await;
    let shown = b.endpoint(0).get(CIRCLE, Auth::Token(&b.admin_token)).await.expect(200);
    assert_eq!(shown["members"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown["members"][0]["feed"], "following");
    assert_eq!(shown["members"][0]["faults"], json!([]));
}
