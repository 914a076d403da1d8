//! Another cluster, which is trusted at times, and keys that nobody has published.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use circlet_sim::history::Event;
use circlet_sim::house;
use circlet_sim::linear::value::{self, ABSENT, GOOD};
use circlet_sim::linear::{Object, Step};
use circlet_token::{Audience, Claims, KeyId, Scope, ServiceId, SigningKey, Subject, TokenId, mint};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use reqwest::Method;
use serde_json::json;

use super::plain::PLAIN_SECS;
use super::{Reply, Workload, Write, lock, wall_secs};
use crate::client::Shown;
use crate::lab::Node;

/// So many of others' tokens are remembered.
const REMEMBERED_MAX: usize = 30;

const TRUST: &str = "/circlet/v1/trust";

/// A key of somebody else's, with its certificate.
pub(crate) struct Pair {
    pub(crate) kid: KeyId,
    pub(crate) certificate: String,
    signer: SigningKey,
}

impl Pair {
    /// A new one, of a cluster that is called so.
    fn of(service: &ServiceId) -> Result<Self, String> {
        let made = || -> Result<_, rcgen::Error> {
            let key = KeyPair::generate_for(&PKCS_ED25519)?;
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, format!("Token Issuer {service}"));
            Ok((params.self_signed(&key)?, key))
        };
        let (certificate, key) = made().map_err(|error| error.to_string())?;
        Ok(Self {
            kid: KeyId::of_certificate(certificate.der()),
            certificate: certificate.pem(),
            signer: SigningKey::from_pkcs8_der(&key.serialize_der()).map_err(|error| error.to_string())?,
        })
    }
}

/// Everybody else.
pub(crate) struct Strangers {
    /// The other cluster's keys.
    theirs: [Pair; 2],
    /// A key of theirs that nobody has ever trusted.
    pub(crate) untrusted: Pair,
    /// Names us, and nobody has ever published it.
    forged: Pair,
    /// One change of what is trusted at a time; and the keys of which it was never said whether they are trusted: that
    /// may yet be decided, whatever is decided before.
    changing: tokio::sync::Mutex<BTreeSet<KeyId>>,
    /// The latest of their tokens that were shown.
    shown: Mutex<VecDeque<(TokenId, String)>>,
}

impl Strangers {
    /// With new keys.
    pub(crate) fn new(us: &ServiceId) -> Result<Self, String> {
        let theirs = [Pair::of(&house::OTHERS)?, Pair::of(&house::OTHERS)?];
        let (untrusted, forged) = (Pair::of(&house::OTHERS)?, Pair::of(us)?);
        Ok(Self {
            theirs,
            untrusted,
            forged,
            changing: tokio::sync::Mutex::default(),
            shown: Mutex::default(),
        })
    }
}

impl Workload {
    /// An administrator trusts another cluster's key, or does so no more.
    pub(super) async fn change_trust(&self, node: &Arc<Node>) {
        let Some(pair) = self.dice.pick(&self.strangers.theirs) else { return };
        let mut unheard = self.strangers.changing.lock().await;
        let trusts = self.dice.percent(60);
        let body = json!({ "certificate": pair.certificate, "name": "theirs" });
        let admin = self.admin();
        let shown = Shown::Token(&admin.text);
        let (what, method, path, body, value) = if trusts {
            let nodes = self.lab.nodes();
            self.ledger.tell_trusted(&self.judge, nodes.iter().map(|node| node.number), &pair.kid);
            ("issuer trusted", Method::POST, TRUST.to_owned(), Some(&body), GOOD)
        } else {
            ("issuer distrusted", Method::DELETE, format!("{TRUST}/{}", pair.kid.as_str()), None, ABSENT)
        };
        let write = Write { method, path, shown, body, idempotency_key: None };
        let sent = self.judge.now();
        let reply = self.write(node, what, write, &[404, 409]).await;
        let (object, step) = (Object::Issuer(pair.kid.clone()), Step::Value(value::Step::Write(value)));
        match reply {
            Reply::Done(..) => {
                self.record_now(object, step, sent);
                // What was asked for earlier may still come after it.
                if !trusts && !unheard.contains(&pair.kid) {
                    self.ledger.tell_distrusted(&self.judge, node.number, &pair.kid);
                }
            }
            Reply::Unknown => {
                self.record(object, step, sent, None);
                if trusts {
                    unheard.insert(pair.kid.clone());
                }
            }
            Reply::Refused(_) => {}
        }
    }

    /// Shows a node a token of the other cluster, or one that is signed by a key that nobody has published or trusted.
    pub(super) async fn show_strange(&self, node: &Arc<Node>) {
        let us = &self.administrator.service;
        let (what, issuer, user, pair) = match self.dice.between(0, 9) {
            0..=5 => {
                let Some(theirs) = self.dice.pick(&self.strangers.theirs) else { return };
                ("foreign token", &*house::OTHERS, "dave", theirs)
            }
            6..=7 => ("untrusted token", &*house::OTHERS, "dave", &self.strangers.untrusted),
            _ => ("forged token", us, "alice", &self.strangers.forged),
        };
        self.judge.count(what);
        let claims = self.claims(issuer, user);
        let Some(id) = claims.id else { return };
        let text = mint(&claims, &pair.kid, &pair.signer);
        self.remember(id, &text);
        let sent = self.judge.now();
        let answer = self.show(node, &text).await;
        let accepted = match &answer {
            Some(answer) if answer.status == 200 => true,
            Some(answer) if answer.status == 401 => false,
            _ => return self.judge.count("strange token unanswered"),
        };
        if accepted {
            self.judge.count("strange token accepted");
            let view = answer.and_then(|answer| answer.body["index"].as_u64()).unwrap_or(0);
            self.vouched(node, &pair.kid, view, sent).await;
        }
        self.judge.tell(&Event::Shown { node: node.number, id, own: false, accepted });
    }

    fn remember(&self, id: TokenId, text: &str) {
        let mut shown = lock(&self.strangers.shown);
        if shown.len() >= REMEMBERED_MAX {
            shown.pop_front();
        }
        shown.push_back((id, text.to_owned()));
    }

    /// The latest tokens of others that were shown.
    pub(super) fn foreign_shown(&self) -> Vec<(TokenId, String)> {
        lock(&self.strangers.shown).iter().cloned().collect()
    }

    /// Asks a node on a fresh view whom it trusts.
    pub(super) async fn read_trust(&self, node: &Arc<Node>) {
        let sent = self.judge.now();
        let Some(answer) = self.read(node, &format!("{TRUST}?consistency=strong")).await else { return };
        let Some(issuers) = answer.body["issuers"].as_array() else { return };
        for pair in &self.strangers.theirs {
            let found = issuers.iter().any(|issuer| issuer["kid"] == pair.kid.as_str());
            let read = value::Step::Read(if found { GOOD } else { ABSENT });
            self.record_now(Object::Issuer(pair.kid.clone()), Step::Value(read), sent);
        }
    }

    /// What a plain token of that issuer says, issued now.
    fn claims(&self, issuer: &ServiceId, user: &str) -> Claims {
        let now = wall_secs();
        Claims {
            revocable: None,
            subject: Subject::user(issuer, &house::name(user)),
            scope: Scope::parse("applied-permissions/user").expect("the scope of a user"),
            audience: Audience::service(&self.administrator.service),
            issuer: issuer.clone(),
            expires_at: Some(now + PLAIN_SECS),
            issued_at: now,
            not_before: None,
            id: Some(TokenId(self.dice.bytes())),
            index: (*issuer == self.administrator.service).then_some(5),
        }
    }
}
