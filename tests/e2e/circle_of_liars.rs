//! A cluster that follows an honest member and one that lies in every way it can.

use std::sync::Arc;

use circlet_token::feed::{FeedEntry, FeedMark, FeedWhom, subject_digest};
use circlet_token::{Claims, KeyId, Scope, Subject, TokenId};
use reqwest::Method;
use serde_json::json;

use super::cluster::Cluster;
use super::eventually::eventually;
use super::http::{Auth, Body};
use super::impostor::{Impostor, Lie};
use super::pairing::{CIRCLE, everywhere, pair, refused, set, shown};
use super::promises::READY_WITHIN;
use super::tokens::{LONG_SECS, PLAIN_SECS, create, revoke};

/// So many questions are let go by where nothing may come of them.
const QUESTIONS: u64 = 6;

fn listed(number: u8) -> FeedEntry {
    FeedEntry::Listed { expiry: u64::MAX, id: TokenId([number; 16]) }
}

/// More than the 16384 entries that a cluster keeps one by one.
const MANY: u32 = 17_000;

fn numbered(number: u32) -> FeedEntry {
    let mut id = [0xee; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    FeedEntry::Listed { expiry: u64::MAX, id: TokenId(id) }
}

struct Circle {
    /// Follows both others.
    here: Cluster,
    honest: Cluster,
    liar: Arc<Impostor>,
    invitation: String,
    /// Of the honest member: revocable, and not revoked.
    lasting: String,
    /// Of the liar: not revoked, and revoked before it began to lie.
    good: String,
    gone: String,
}

impl Circle {
    async fn start() -> Self {
        let (here, honest) = Cluster::start_circle_of("circle/b").await;
        let (liar, url) = Impostor::serve(vec![listed(1), listed(2)]).await;
        set(&here, "circle.max-staleness-ms", 2_000).await;
        pair(&honest, &here, "honest", &[], &[]).await;
        let lasting =
            create(honest.endpoint(0), &honest.admin_token, LONG_SECS, false).await.member("access_token");
        let invitation = liar.invitation(&url);
        let (good, gone) = (liar.token(9, |_| ()), liar.token(1, |_| ()));
        let circle = Self { here, honest, liar, invitation, lasting, good, gone };
        circle.approve().await;
        everywhere(&[&circle.here], &circle.lasting, 200, "the honest member is followed").await;
        everywhere(&[&circle.here], &circle.good, 200, "the other one too, while it tells the truth").await;
        refused(&[&circle.here], &circle.gone, "what it revoked").await;
        circle
    }

    async fn approve(&self) {
        let accept = json!({ "invitation": self.invitation, "name": "liar", "one_way": true });
        let path = format!("{CIRCLE}/members");
        let auth = Auth::Token(&self.here.admin_token);
        let accepted = self.here.endpoint(1).post(&path, auth, Body::Json(accept)).await;
        assert_eq!(accepted.status, 201, "{}", accepted.text);
    }

    async fn applied(&self) -> u64 {
        let status = self.here.status(0).await.expect("a node that answers");
        status["applied"].as_u64().expect("a log index")
    }

    /// Lets it be asked so many times more, and returns how much the log has grown meanwhile.
    async fn grown(&self, questions: u64) -> u64 {
        let (before, asked) = (self.applied().await, self.liar.asked());
        eventually(READY_WITHIN, "it is asked again and again", || async {
            (self.liar.asked() > asked + questions).then_some(())
        })
        .await;
        self.applied().await - before
    }

    /// It says something untrue: nothing of it counts, and nobody else suffers from it.
    async fn lies(&self, lie: Lie) {
        let what = format!("{lie:?}");
        self.liar.says(lie);
        everywhere(&[&self.here], &self.good, 401, &what).await;
        refused(&[&self.here], &self.gone, &what).await;
        everywhere(&[&self.here], &self.lasting, 200, &what).await;
        if lie != Lie::Silence {
            // One entry for evidence, and a few that others have written; not one for each answer.
            let grown = self.grown(QUESTIONS).await;
            assert!(grown <= QUESTIONS / 3, "{what}: the log grew by {grown} entries");
        }
        self.liar.says(Lie::Nothing);
        everywhere(&[&self.here], &self.good, 200, "the truth counts again").await;
    }

    /// It names what isn't its own: nothing of ours or of another member's ends by that.
    async fn names_others(&self) {
        let Self { here, honest, liar, lasting, .. } = self;
        let own = create(here.endpoint(0), &here.admin_token, LONG_SECS, false).await;
        let (own_id, own) = (own.member("token_id"), own.member("access_token"));
        let id = |text: &str| TokenId::parse(text).expect("an id");
        let mark = FeedMark { index: u64::MAX - 1, set_at: u64::MAX - 1, since: 0, until: u64::MAX };
        let of = |whom| FeedEntry::Mark { whom, mark };
        let mut entries = vec![
            FeedEntry::Listed { expiry: expiry_of(&own), id: id(&own_id) },
            FeedEntry::Unseen { until: u64::MAX - 1, id: id(&own_id) },
            of(FeedWhom::Start(String::new())),
            of(FeedWhom::Group("readers".to_owned())),
            of(FeedWhom::Everyone),
        ];
        for cluster in [here, honest] {
            let robot = Subject::parse(&format!("{}/users/robot", cluster.service_id)).expect("a subject");
            let certificate =
                std::fs::read(cluster.home(0).join("etc/keys/root.crt")).expect("a certificate");
            let kid: KeyId = circlet_token::read_certificate(&certificate).expect("a certificate").key_id;
            entries.extend([
                of(FeedWhom::Subject(subject_digest(&robot))),
                of(FeedWhom::Key(kid.clone())),
                FeedEntry::Tainted { key: kid },
            ]);
        }
        let its_own = liar.token(30, |claims| plain(claims, PLAIN_SECS));
        everywhere(&[here], &its_own, 200, "before it tells").await;
        liar.tell(entries);
        everywhere(&[here], &its_own, 401, "all of its own are revoked now").await;
        everywhere(&[here], &own, 200, "what we have issued is ours to revoke").await;
        everywhere(&[here], lasting, 200, "and what another member has issued is its").await;
    }

    /// Whatever its tokens say, they can do what its limits here allow.
    async fn oversteps(&self) {
        let Self { here, liar, .. } = self;
        let limits = json!({ "limits": { "groups": { "devs": "readers" }, "max_lifetime": 3_600 } });
        let path = format!("/circlet/v1/trust/{}", liar.service_id);
        let auth = Auth::Token(&here.admin_token);
        here.endpoint(2).ask(Method::PATCH, &path, auth, Body::Json(limits)).await.expect(200);
        let admin = liar.token(20, |claims| plain(claims, PLAIN_SECS));
        everywhere(&[here], &admin, 200, "a plain token is good").await;
        let worth = here.endpoint(0).verify(&admin).await.expect(200);
        assert_eq!((&worth["admin"], &worth["groups"]), (&json!(false), &json!([])), "{worth}");
        let auth = Auth::Token(&admin);
        assert_eq!(here.endpoint(0).get(CIRCLE, auth).await.status, 403, "their `admin` is not ours");
        let grouped = liar.token(21, |claims| {
            plain(claims, PLAIN_SECS);
            claims.scope = Scope::parse("applied-permissions/groups:devs,readers,builders").expect("a scope");
        });
        let worth = here.endpoint(1).verify(&grouped).await.expect(200);
        assert_eq!(worth["groups"], json!(["readers"]), "mapped, and no other: {worth}");
        everywhere(&[here], &liar.token(22, |claims| plain(claims, 7_200)), 401, "longer than it may be")
            .await;
        let later = |ahead: u64| {
            move |claims: &mut Claims| {
                claims.issued_at += ahead;
                plain(claims, 3_600);
            }
        };
        everywhere(&[here], &liar.token(23, later(30)), 401, "its clock is ahead: that makes it longer")
            .await;
        refused(&[here], &liar.token(24, later(7_200)), "from the future").await;
        let ours = liar.token(25, |claims| {
            plain(claims, PLAIN_SECS);
            claims.subject = Subject::parse(&format!("{}/users/admin", here.service_id)).expect("a subject");
        });
        refused(&[here], &ours, "it speaks for us").await;
    }

    /// It wasn't heard for long: what it revoked meanwhile is read from its list, page by page.
    async fn was_away(&self) {
        let Self { here, liar, gone, lasting, .. } = self;
        let last = liar.token(31, |_| ());
        everywhere(&[here], &last, 200, "before it is away").await;
        liar.says(Lie::Silence);
        everywhere(&[here], &last, 401, "nothing is heard of it").await;
        liar.tell((0..MANY).map(numbered).chain([listed(31)]));
        liar.says(Lie::Nothing);
        let member = eventually(READY_WITHIN, "all of it is known", || async {
            let member = shown(here, liar.service_id.as_str()).await;
            let whole = member["entries"].as_u64().is_some_and(|entries| entries > u64::from(MANY));
            (whole && member["feed"] == "following").then_some(member)
        })
        .await;
        assert_eq!(member["sequence"], liar.said.lock().expect("not poisoned").entries.len(), "{member}");
        everywhere(&[here], &self.good, 200, "what it has not revoked is good again").await;
        refused(&[here], &last, "what it revoked meanwhile is not").await;
        refused(&[here], gone, "nor what it had revoked before").await;
        everywhere(&[here], lasting, 200, "the other member's goes on").await;
    }

    /// More than its quota is neither kept nor asked for into the log again and again.
    async fn floods(&self) {
        let Self { here, liar, lasting, .. } = self;
        set(here, "circle.feed-entries-max", u64::from(MANY)).await;
        liar.tell((MANY..MANY + 90).map(numbered));
        let member = eventually(READY_WITHIN, "over its quota", || async {
            let member = shown(here, liar.service_id.as_str()).await;
            (member["feed"] == "over_quota").then_some(member)
        })
        .await;
        let grown = self.grown(2).await;
        assert!(grown <= 1, "over its quota: the log grew by {grown} entries");
        let entries = &shown(here, liar.service_id.as_str()).await["entries"];
        assert_eq!(*entries, member["entries"], "nothing more of it is kept");
        everywhere(&[here], lasting, 200, "the quota of another is not used up by it").await;
    }

    /// Its own signature proves that it takes back what it had signed.
    async fn takes_back(&self) {
        let Self { here, liar, lasting, gone, .. } = self;
        set(here, "circle.feed-entries-max", 100_000).await;
        eventually(READY_WITHIN, "there is room for it now", || async {
            (shown(here, liar.service_id.as_str()).await["feed"] == "following").then_some(())
        })
        .await;
        liar.says(Lie::Shorter);
        let member = eventually(READY_WITHIN, "found out", || async {
            let member = shown(here, liar.service_id.as_str()).await;
            (member["feed"] == "broken").then_some(member)
        })
        .await;
        let faults = member["faults"].as_array().expect("a list");
        for fault in ["unreadable", "signature", "issuer", "replayed", "went_back"] {
            assert!(faults.iter().any(|kept| kept["fault"] == fault), "{fault}: {faults:?}");
        }
        refused(&[here], gone, "for good").await;
        everywhere(&[here], lasting, 200, "the others go on").await;
    }
}

/// Makes it one that can't be revoked and lives for so long.
fn plain(claims: &mut Claims, secs: u64) {
    claims.revocable = None;
    claims.expires_at = Some(claims.issued_at + secs);
}

fn expiry_of(token: &str) -> u64 {
    circlet_token::Parsed::parse(token).expect("a token").claims().expires_at.unwrap_or(u64::MAX)
}

#[tokio::test]
async fn circle_with_a_liar_in_it_believes_nothing_untrue_and_nobody_else_suffers() {
    let circle = Circle::start().await;
    for lie in
        [Lie::Replay, Lie::Half, Lie::Forged, Lie::WrongKey, Lie::AnotherIssuer, Lie::Endless, Lie::Silence]
    {
        circle.lies(lie).await;
    }
    let (id, token) = {
        let made = create(circle.honest.endpoint(0), &circle.honest.admin_token, LONG_SECS, false).await;
        (made.member("token_id"), made.member("access_token"))
    };
    everywhere(&[&circle.here], &token, 200, "of the honest member").await;
    circle.liar.says(Lie::Silence);
    revoke(circle.honest.endpoint(0), &circle.honest.admin_token, &id).await.assert_revoked();
    everywhere(&[&circle.here], &token, 401, "it is heard though another member says nothing").await;
    circle.liar.says(Lie::Nothing);
    circle.was_away().await;
    circle.oversteps().await;
    circle.names_others().await;
    circle.floods().await;
    circle.takes_back().await;
}
