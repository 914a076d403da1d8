//! What follows from each combination of directory, memory and circle.

use std::collections::{BTreeMap, BTreeSet};

use circlet_authority::{
    Action, Actor, Command, DistrustIssuer, IssuerLimits, Outcome, Stamp, State, TrustIssuer,
};
use circlet_token::{CertificateFacts, KeyId, Lifetime, ServiceId, read_certificate};

use super::{Manifest, Scan, Seen, Step, limits_of, plan};
use crate::certificates::{TokenKeyKind, token_issuer};
use crate::founded;

const NOW_MS: u64 = 1_700_000_000_000;

fn certificate(ulid: &str) -> CertificateFacts {
    let issuer = token_issuer(TokenKeyKind::EdDsa, &format!("jfrt@{ulid}"), NOW_MS).unwrap();
    read_certificate(&issuer.certificate).unwrap()
}

/// A directory, what is remembered of it, what was seen in it, and the cluster's state.
struct Case {
    state: State,
    index: u64,
    files: BTreeMap<String, CertificateFacts>,
    unreadable: BTreeSet<String>,
    is_writable: bool,
    directory: (u64, u64),
    manifest: Option<Manifest>,
    seen: Seen,
}

impl Case {
    fn new() -> Self {
        let own = certificate("00000000000000000000000own");
        let bootstrap = founded::bootstrap("jfrt@00000000000000000000000own", own);
        let mut case = Self {
            state: State::new(),
            index: 0,
            files: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            is_writable: true,
            directory: (1, 1),
            manifest: None,
            seen: Seen::default(),
        };
        case.apply(Action::Bootstrap(Box::new(bootstrap)));
        case
    }

    fn apply(&mut self, action: Action) {
        self.index += 1;
        let command = Command { actor: Actor::System, action };
        let outcome = self.state.apply(self.index, Stamp { now_ms: NOW_MS }, &command);
        assert_eq!(outcome, Outcome::Done);
    }

    fn trust(&mut self, file: &str, facts: &CertificateFacts) {
        self.trust_within(file, facts, IssuerLimits::default());
    }

    fn trust_within(&mut self, file: &str, facts: &CertificateFacts, limits: IssuerLimits) {
        self.apply(Action::TrustIssuer(Box::new(TrustIssuer {
            kid: facts.key_id.clone(),
            algorithm: facts.algorithm,
            spki_der: facts.spki_der.clone(),
            certificate_der: facts.der.clone(),
            issuer: facts.issuer.clone().unwrap(),
            common_name: facts.common_name.clone().unwrap(),
            not_after: String::new(),
            limits,
            file_name: file.to_owned(),
        })));
    }

    fn distrust(&mut self, kid: &KeyId) {
        self.apply(Action::DistrustIssuer(DistrustIssuer { kid: kid.clone() }));
    }

    fn drop_file(&mut self, file: &str, facts: &CertificateFacts) {
        self.files.insert(file.to_owned(), facts.clone());
    }

    fn scan(&self) -> Scan {
        Scan {
            directory: self.directory,
            is_writable: self.is_writable,
            certificates: self.files.clone(),
            unreadable: self.unreadable.clone(),
            digest: [0; 32],
        }
    }

    fn plan(&self) -> Vec<Step> {
        plan(&self.scan(), self.manifest.as_ref(), &self.seen, &self.state)
    }

    /// Does what the plan says, as the running node would, until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..3 {
            let mut manifest = self.manifest.take().unwrap_or_default();
            for step in plan(&self.scan(), Some(&manifest), &self.seen, &self.state) {
                match step {
                    Step::Trust { file } => {
                        let facts = self.files[&file].clone();
                        self.trust(&file, &facts);
                        manifest.put(&facts.key_id, &file);
                    }
                    Step::Distrust { kid } => {
                        self.distrust(&kid);
                        manifest.remove(&kid);
                    }
                    Step::Show { kid, file } => {
                        let der = self.state.trusted(&kid).unwrap().certificate_der.clone();
                        self.files.insert(file.clone(), read_certificate(&der).unwrap());
                        manifest.put(&kid, &file);
                        self.seen.shown(&kid);
                    }
                    Step::MoveAside { file, kid } => {
                        self.files.remove(&file);
                        manifest.remove(&kid);
                    }
                    Step::Note { kid, file } => manifest.put(&kid, &file),
                    Step::Forget { kid } => manifest.remove(&kid),
                }
            }
            self.manifest = Some(manifest);
            let scan = self.scan();
            self.seen.note(&scan);
        }
    }

    fn trusts(&self, facts: &CertificateFacts) -> bool {
        self.state.trusted(&facts.key_id).is_some()
    }

    /// As after a restart: the memory on disk is there, what was seen is gone.
    fn restart(&mut self) {
        self.seen = Seen::default();
    }
}

/// A cluster that trusts what was dropped into its directory.
fn with_dropped(names: &[&str]) -> (Case, Vec<CertificateFacts>) {
    let mut case = Case::new();
    let ids = (0..names.len()).map(|number| format!("0000000000000000000000000{number}"));
    let all: Vec<CertificateFacts> = ids.map(|ulid| certificate(&ulid)).collect();
    for (name, facts) in names.iter().zip(&all) {
        case.drop_file(name, facts);
    }
    case.settle();
    assert!(all.iter().all(|facts| case.trusts(facts)));
    (case, all)
}

#[test]
fn a_dropped_file_is_trusted_and_a_removed_one_distrusted() {
    let (mut case, all) = with_dropped(&["b.crt"]);
    case.files.clear();
    assert_eq!(case.plan(), [Step::Distrust { kid: all[0].key_id.clone() }]);
    case.settle();
    assert!(!case.trusts(&all[0]));
    assert_eq!(case.plan(), []);
}

#[test]
fn what_another_node_brought_in_is_shown_and_what_it_took_out_is_moved_aside() {
    let mut case = Case::new();
    let other = certificate("0000000000000000000000000a");
    case.trust("other.crt", &other);
    assert_eq!(case.plan(), [Step::Show { kid: other.key_id.clone(), file: "other.crt".to_owned() }]);
    case.settle();
    assert!(case.files.contains_key("other.crt"));
    case.distrust(&other.key_id);
    let aside = Step::MoveAside { file: "other.crt".to_owned(), kid: other.key_id.clone() };
    assert_eq!(case.plan(), [aside]);
    case.settle();
    assert!(case.files.is_empty() && !case.trusts(&other));
}

#[test]
fn what_went_while_the_node_was_down_comes_back() {
    let (mut case, all) = with_dropped(&["b.crt", "c.crt"]);
    case.restart();
    case.files.remove("b.crt");
    assert!(case.plan().contains(&Step::Show { kid: all[0].key_id.clone(), file: "b.crt".to_owned() }));
    case.settle();
    assert!(case.trusts(&all[0]) && case.files.contains_key("b.crt"));
}

#[test]
fn a_node_without_memory_distrusts_nobody_and_brings_nothing_back() {
    let (mut case, all) = with_dropped(&["b.crt", "c.crt"]);
    case.distrust(&all[1].key_id);
    case.manifest = None;
    case.restart();
    case.files.remove("b.crt");
    let steps = case.plan();
    assert!(
        steps.contains(&Step::Show { kid: all[0].key_id.clone(), file: "b.crt".to_owned() }),
        "{steps:?}"
    );
    assert!(
        steps.contains(&Step::MoveAside { file: "c.crt".to_owned(), kid: all[1].key_id.clone() }),
        "{steps:?}"
    );
    assert_eq!(steps.len(), 2);
}

#[test]
fn a_file_that_is_dropped_again_after_it_was_distrusted_is_trusted_again() {
    let (mut case, all) = with_dropped(&["b.crt"]);
    case.files.clear();
    case.settle();
    case.drop_file("b.crt", &all[0]);
    case.settle();
    assert!(case.trusts(&all[0]));
}

#[test]
fn a_suddenly_empty_directory_distrusts_nobody() {
    let (mut case, all) = with_dropped(&["b.crt", "c.crt"]);
    case.files.clear();
    assert!(case.plan().iter().all(|step| matches!(step, Step::Show { .. })), "{:?}", case.plan());
    case.settle();
    assert!(all.iter().all(|facts| case.trusts(facts)));
}

#[test]
fn another_directory_in_its_place_or_a_read_only_one_distrusts_nobody() {
    let (mut case, all) = with_dropped(&["b.crt"]);
    case.files.clear();
    case.is_writable = false;
    assert_eq!(case.plan(), []);
    case.is_writable = true;
    case.directory = (2, 7);
    assert_eq!(case.plan(), [Step::Show { kid: all[0].key_id.clone(), file: "b.crt".to_owned() }]);
}

#[test]
fn a_read_only_directory_that_becomes_writable_distrusts_nobody() {
    let mut case = Case::new();
    let other = certificate("0000000000000000000000000a");
    case.trust("other.crt", &other);
    case.is_writable = false;
    case.settle();
    case.is_writable = true;
    case.settle();
    assert!(case.trusts(&other) && case.files.contains_key("other.crt"));
}

#[test]
fn a_half_written_file_is_waited_for() {
    let (mut case, all) = with_dropped(&["b.crt"]);
    case.files.clear();
    case.unreadable.insert("b.crt".to_owned());
    assert_eq!(case.plan(), []);
    let renewed = certificate("00000000000000000000000000");
    case.unreadable.clear();
    case.drop_file("b.crt", &renewed);
    let steps = case.plan();
    assert_eq!(
        steps,
        [Step::Trust { file: "b.crt".to_owned() }, Step::Distrust { kid: all[0].key_id.clone() }]
    );
    case.settle();
    assert!(case.trusts(&renewed) && !case.trusts(&all[0]));
}

#[test]
fn a_renamed_file_stays_trusted() {
    let (mut case, all) = with_dropped(&["b.crt"]);
    let facts = case.files.remove("b.crt").unwrap();
    case.drop_file("renamed.crt", &facts);
    assert_eq!(case.plan(), [Step::Note { kid: all[0].key_id.clone(), file: "renamed.crt".to_owned() }]);
}

#[test]
fn a_shown_file_takes_no_name_that_is_in_use() {
    let (mut case, _) = with_dropped(&["b.crt"]);
    let other = certificate("0000000000000000000000000z");
    case.trust("b.crt", &other);
    case.settle();
    assert_eq!(case.files.len(), 2);
    let escaping = certificate("0000000000000000000000000y");
    case.trust("../../x.crt", &escaping);
    let file = format!("{}.crt", escaping.key_id.as_str());
    assert!(case.plan().contains(&Step::Show { kid: escaping.key_id, file }));
}

#[test]
fn two_certificates_of_one_name_are_shown_side_by_side_and_neither_ends_the_other() {
    let mut case = Case::new();
    let both = [certificate("0000000000000000000000000y"), certificate("0000000000000000000000000z")];
    for facts in &both {
        case.trust("theirs.crt", facts);
    }
    // As a node sees it that joins, or was away: both are new to it at once.
    case.settle();
    assert_eq!(case.files.len(), 2);
    case.settle();
    assert!(both.iter().all(|facts| case.trusts(facts)));
}

#[test]
fn a_renewed_certificate_may_do_no_more_than_the_one_before() {
    let (ulid, mut case) = ("0000000000000000000000them", Case::new());
    let issuer = ServiceId::parse(&format!("jfac@{ulid}")).unwrap();
    assert_eq!(limits_of(&case.state, &issuer), IssuerLimits::default());
    let groups =
        |names: &[&str]| Some(names.iter().map(|&name| (name.to_owned(), name.to_owned())).collect());
    let audiences = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
    let hours = |hours: u64| Some(Lifetime::from_secs(hours * 3600));
    let limits = |groups, max_lifetime| IssuerLimits {
        admin: true,
        groups,
        max_lifetime,
        audiences: None,
        revoke: true,
    };
    let narrow = IssuerLimits { audiences: audiences(&["jfrt@*"]), ..limits(None, hours(1)) };
    case.trust_within("a.crt", &certificate(ulid), limits(groups(&["g", "h"]), hours(2)));
    case.trust_within("b.crt", &certificate(ulid), narrow);
    case.trust_within("c.crt", &certificate(ulid), limits(groups(&["h", "i"]), None));
    case.trust_within("d.crt", &certificate("00000000000000000000others"), limits(groups(&[]), hours(0)));
    let expected = IssuerLimits {
        admin: false,
        groups: groups(&["h"]),
        max_lifetime: hours(1),
        audiences: audiences(&["jfrt@*"]),
        revoke: false,
    };
    assert_eq!(limits_of(&case.state, &issuer), expected);
}
