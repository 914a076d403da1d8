//! A client of good faith while others flood the node: it shows a plain token again and again, over a connection that it
//! keeps and over new ones, and a token that was revoked. Each request is made once: what failed is not asked again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::server::Server;
use crate::transcript::{As, Body, Transcript};

const TOKENS: &str = "/access/api/v1/tokens";
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(2);
/// So often each token has been shown before it counts as going on.
const TIMES: usize = 25;
/// No request takes longer, and nothing is waited for longer.
const DEADLINE: Duration = Duration::from_mins(2);

/// What the client was told.
#[derive(Default)]
struct Told {
    stop: AtomicBool,
    /// Verdicts as they should be: over the connection that is kept, over new ones, on the token that was revoked.
    good: [AtomicUsize; 3],
    /// The others.
    bad: Mutex<Vec<String>>,
}

/// The client at work.
pub(crate) struct SoundClient {
    told: Arc<Told>,
    tasks: Vec<JoinHandle<()>>,
}

impl SoundClient {
    /// Gets its tokens, revokes one of them, and begins.
    pub(crate) async fn start(server: &Server) -> Self {
        let t = Transcript::of(server);
        let order = Body::Json(json!({"expires_in": 3600}));
        let plain = t.quietly(Method::POST, TOKENS, As::Admin, order).await.field("access_token");
        let order = Body::Json(json!({"expires_in": 7200, "force_revocable": true}));
        let gone = t.quietly(Method::POST, TOKENS, As::Admin, order).await;
        let path = format!("{TOKENS}/{}", gone.field("token_id"));
        let revoked = t.quietly(Method::DELETE, &path, As::Admin, Body::Empty).await;
        assert_eq!(revoked.status, 200, "{}", revoked.text);

        let told = Arc::new(Told::default());
        let client = || Client::builder().no_proxy().timeout(DEADLINE);
        let keeping = client().build().unwrap();
        let dialling = client().pool_max_idle_per_host(0).build().unwrap();
        let url = format!("{}/circlet/v1/verify", server.url);
        let shows = [
            (keeping.clone(), plain.clone(), &[200][..]),
            (dialling, plain, &[200]),
            // A view that can't be proven fresh in time accepts nothing that is revocable.
            (keeping, gone.field("access_token"), &[401, 503]),
        ];
        let shows = shows.into_iter().enumerate().map(|(number, (client, token, wanted))| {
            tokio::spawn(show(client.get(&url).bearer_auth(token), wanted, Arc::clone(&told), number))
        });
        Self { tasks: shows.collect(), told }
    }

    /// How often each token was shown.
    pub(crate) fn done(&self) -> [usize; 3] {
        self.told.good.each_ref().map(|count| count.load(Ordering::SeqCst))
    }

    /// Whether each token was shown often enough since.
    pub(crate) fn has_gone_on(&self, since: [usize; 3]) -> bool {
        self.done().iter().zip(since).all(|(done, since)| *done >= since + TIMES)
    }

    /// Waits until each token was shown often enough from now on.
    pub(crate) async fn goes_on(&self, while_what: &str) {
        let (since, begun) = (self.done(), Instant::now());
        while !self.has_gone_on(since) {
            self.assert_well(while_what);
            assert!(begun.elapsed() < DEADLINE, "{while_what}: {:?} since {since:?}", self.done());
            tokio::time::sleep(PAUSE).await;
        }
        self.assert_well(while_what);
    }

    /// None of its requests had another answer than it should.
    pub(crate) fn assert_well(&self, while_what: &str) {
        let bad = self.told.bad.lock().unwrap();
        assert!(bad.is_empty(), "{while_what}: {} of {:?} went wrong: {:#?}", bad.len(), self.done(), *bad);
    }

    /// Ends it. Returns how often a token was verified.
    pub(crate) async fn ended_well(self) -> usize {
        self.told.stop.store(true, Ordering::SeqCst);
        let done = self.done();
        for task in self.tasks {
            task.await.unwrap();
        }
        let bad = self.told.bad.lock().unwrap();
        assert!(bad.is_empty(), "{} of {done:?} went wrong: {:#?}", bad.len(), *bad);
        done[0] + done[1]
    }
}

/// Makes one request again and again, of which each should be answered with one of these.
async fn show(request: reqwest::RequestBuilder, wanted: &'static [u16], told: Arc<Told>, number: usize) {
    while !told.stop.load(Ordering::SeqCst) {
        let request = request.try_clone().expect("it has no body");
        let verdict = match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                answer.text().await.map(|text| (status, text))
            }
            Err(error) => Err(error),
        };
        match verdict {
            Ok((status, _)) if wanted.contains(&status) => {
                told.good[number].fetch_add(1, Ordering::SeqCst);
            }
            other => told.bad.lock().unwrap().push(format!("{wanted:?} was wanted: {other:?}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
