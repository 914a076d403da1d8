//! The table of what follows from which files.

use circlet_authority::{Action, Actor, Command, KeyOrigin, NewKey, Outcome, RotateKey, Stamp, State};
use circlet_token::{CertificateFacts, KeyId, SigningKey, read_certificate};

use super::super::scan::{Certificate, Plain, PrivateKey, Scan};
use super::{Step, plan};
use crate::certificates::{KeyAndCertificate, TokenKeyKind, token_issuer};
use crate::founded;

const OURS: &str = "jfrt@01hzx3b2q5v7k9m4n6p8r0s2t4";
const THEIRS: &str = "jfrt@01hzx3b2q5v7k9m4n6p8r0s2t5";
const NOW_MS: u64 = 1_800_000_000_000;

struct Pair {
    made: KeyAndCertificate,
    facts: CertificateFacts,
}

fn pair(service_id: &str) -> Pair {
    let made = token_issuer(TokenKeyKind::EdDsa, service_id, NOW_MS).unwrap();
    let facts = read_certificate(&made.certificate).unwrap();
    Pair { made, facts }
}

impl Pair {
    fn certificate(&self) -> Certificate {
        Certificate::Read(Box::new(self.facts.clone()))
    }

    fn key(&self, is_file: bool) -> PrivateKey {
        let key = SigningKey::from_pkcs8_der(self.made.private_key.expose()).unwrap();
        PrivateKey::Plain(Box::new(Plain { key, is_file, is_open: false }))
    }

    fn new_key(&self) -> NewKey {
        NewKey {
            kid: self.facts.key_id.clone(),
            algorithm: self.facts.algorithm,
            certificate_der: self.facts.der.clone(),
            spki_der: self.facts.spki_der.clone(),
            private_key: founded::sealed(),
            origin: KeyOrigin::Adopted,
        }
    }
}

/// A cluster that signs with `first`.
struct Here {
    state: State,
    first: Pair,
}

impl Here {
    fn new() -> Self {
        let first = pair(OURS);
        let bootstrap = founded::bootstrap(OURS, first.facts.clone());
        let mut here = Self { state: State::new(), first };
        here.apply(Action::Bootstrap(Box::new(bootstrap)));
        here
    }

    fn apply(&mut self, action: Action) {
        let command = Command { actor: Actor::System, action };
        let index = self.state.index() + 1;
        assert_eq!(self.state.apply(index, Stamp { now_ms: NOW_MS }, &command), Outcome::Done);
    }

    fn publish(&mut self, next: &Pair) {
        let replaces = self.first.facts.key_id.clone();
        let key = Box::new(next.new_key());
        self.apply(Action::RotateKey(Box::new(RotateKey::Publish { key, replaces, overlap_secs: None })));
    }

    fn activate(&mut self, next: &Pair) {
        let replaces = self.first.facts.key_id.clone();
        let kid = next.facts.key_id.clone();
        self.apply(Action::RotateKey(Box::new(RotateKey::Activate { kid, replaces })));
    }

    fn plan(&self, certificate: Certificate, key: PrivateKey) -> Step {
        self.plan_having_shown(certificate, key, &self.first.facts.key_id)
    }

    fn plan_having_shown(&self, certificate: Certificate, key: PrivateKey, shown: &KeyId) -> Step {
        let scan = Scan { certificate, key, digest: [0; 32] };
        plan(&scan, &self.state, Some(shown), NOW_MS / 1000)
    }
}

fn waits_for(step: &Step, word: &str) {
    assert!(matches!(step, Step::Wait(why) if why.contains(word)), "{step:?}");
}

#[test]
fn a_missing_certificate_is_shown_again() {
    let here = Here::new();
    assert_eq!(here.plan(Certificate::Absent, PrivateKey::Absent), Step::ShowCertificate);
    assert_eq!(here.plan(here.first.certificate(), PrivateKey::Absent), Step::Rest);
}

#[test]
fn a_new_pair_is_adopted_and_then_sealed() {
    let (mut here, next) = (Here::new(), pair(OURS));
    assert_eq!(here.plan(next.certificate(), next.key(true)), Step::Adopt);
    here.publish(&next);
    assert_eq!(here.plan(next.certificate(), next.key(true)), Step::SealKey);
    assert_eq!(here.plan(next.certificate(), next.key(false)), Step::Rest, "a link is left to its owner");
    assert_eq!(here.plan(next.certificate(), PrivateKey::Sealed(String::new())), Step::Rest);
    here.activate(&next);
    assert_eq!(here.plan(here.first.certificate(), PrivateKey::Absent), Step::ShowCertificate);
}

#[test]
fn halves_wait_for_each_other() {
    let (here, next, other) = (Here::new(), pair(OURS), pair(OURS));
    waits_for(&here.plan(next.certificate(), PrivateKey::Absent), "is not the cluster's");
    waits_for(&here.plan(here.first.certificate(), next.key(true)), "not the key of root.crt");
    waits_for(&here.plan(other.certificate(), next.key(true)), "not the key of root.crt");
    waits_for(&here.plan(Certificate::Absent, next.key(true)), "lies alone");
    waits_for(&here.plan(Certificate::Unreadable("cut".to_owned()), next.key(true)), "cut");
    waits_for(&here.plan(next.certificate(), PrivateKey::Unreadable("cut".to_owned())), "cut");
}

#[test]
fn a_key_that_was_in_the_keyring_does_not_come_back_from_a_file() {
    let (mut here, next) = (Here::new(), pair(OURS));
    here.publish(&next);
    here.activate(&next);
    let step = here.plan(here.first.certificate(), here.first.key(true));
    assert!(matches!(&step, Step::SetAside(why) if why.contains("retiring")), "{step:?}");
}

#[test]
fn a_pair_of_another_service_or_about_to_end_is_not_adopted() {
    let (here, theirs) = (Here::new(), pair(THEIRS));
    waits_for(&here.plan(theirs.certificate(), theirs.key(true)), "its own");
    let mut ends = pair(OURS);
    ends.facts.not_after = i64::try_from(NOW_MS / 1000).unwrap() + 6 * 86_400;
    waits_for(&here.plan(ends.certificate(), ends.key(true)), "seven days");
}

#[test]
fn a_certificate_alone_gives_way_once_the_cluster_has_moved_on() {
    let (mut here, next, stray) = (Here::new(), pair(OURS), pair(OURS));
    here.publish(&next);
    here.activate(&next);
    let step = here.plan_having_shown(stray.certificate(), PrivateKey::Absent, &here.first.facts.key_id);
    assert!(matches!(step, Step::SetAside(_)), "{step:?}");
    let step = here.plan_having_shown(stray.certificate(), PrivateKey::Absent, &next.facts.key_id);
    waits_for(&step, "is not the cluster's");
}
