//! This node as the one that follows: its clocks, its log, and HTTP to the hosts of a member.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, Approved, Outcome, State};
use circlet_raft::{Instants, Published, SourceId};
use circlet_token::ServiceId;
use circlet_token::feed::{FEED_ANSWER_BYTES_MAX, FeedPosition, Taken};

use super::ask;
use super::follow::{self, Asked, Leader, Place};
use crate::clock::Now;
use crate::cluster::Cluster;
use crate::seal::hex;

/// Follows a member until it is dismissed or approved anew.
pub(super) async fn follow(cluster: Cluster, approved: Approved, since_index: u64) {
    let (issuer, name) = (&approved.issuer, &approved.name);
    let http = match ask::client(&approved.ca_certificate_der) {
        Ok(http) => http,
        Err(error) => {
            tracing::error!(%issuer, name, %error, "a member can't be asked");
            return;
        }
    };
    follow::member(Here { cluster, http }, &approved, since_index).await;
}

struct Here {
    cluster: Cluster,
    http: reqwest::Client,
}

impl Here {
    /// What we have of a feed, under our circle key.
    fn taken(&self, issuer: &ServiceId, at: FeedPosition) -> Option<String> {
        let view = &self.cluster.published().view;
        let (member, key) = (view.service_id()?, self.cluster.keys().circle_key(view).ok()?);
        let taken = Taken { issuer, member, at };
        Some(format!("&member={member}&taken={}", hex(&taken.sign(&key))))
    }
}

impl Leader for Here {
    fn published(&self) -> Arc<Published<State>> {
        self.cluster.published()
    }

    fn instants(&self) -> Instants {
        self.cluster.instants()
    }

    fn now_ms(&self, view: &State) -> u64 {
        Now::at_least(view.now_ms()).millis()
    }

    fn nonce(&self) -> [u8; 32] {
        let mut nonce = [0; 32];
        rand::fill(&mut nonce);
        nonce
    }

    fn prove_source(&self, source: SourceId, noted: Instants) {
        self.cluster.prove_source(source, noted);
    }

    async fn decide(&self, action: Action) -> Result<Outcome, String> {
        let decided = self.cluster.decide_for_itself(Actor::System, action).await;
        decided.map(|decided| decided.outcome).map_err(|error| error.to_string())
    }

    async fn ask(&self, host: &str, asked: Asked<'_>, deadline: Duration) -> Result<Vec<u8>, String> {
        let nonce = hex(&asked.nonce);
        let url = match asked.place {
            Place::After { at: at @ FeedPosition { generation, sequence, hash }, wait } => format!(
                "{host}/circlet/v1/feed?nonce={nonce}&generation={generation}&sequence={sequence}&hash={}&wait_ms={}{}",
                hex(&hash),
                wait.as_millis(),
                self.taken(asked.issuer, at).unwrap_or_default()
            ),
            Place::Page { cursor } => {
                format!("{host}/circlet/v1/feed/list?nonce={nonce}&cursor={}", hex(cursor))
            }
        };
        let answer = ask::read(self.http.get(url), FEED_ANSWER_BYTES_MAX, deadline).await;
        answer.map_err(|error| error.to_string())
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
