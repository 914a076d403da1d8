//! Three sides into one: what is in the directory, what this node remembers of it, and what the cluster decided.

use std::collections::{BTreeMap, BTreeSet};

use circlet_authority::{IssuerLimits, State};
use circlet_token::{KeyId, ServiceId};

use super::manifest::Manifest;
use super::scan::Scan;

/// What a running node has seen in its directory with its own eyes.
#[derive(Default)]
pub(super) struct Seen {
    directory: Option<(u64, u64)>,
    kids: BTreeSet<KeyId>,
    shown: BTreeSet<KeyId>,
    unreadable: BTreeSet<String>,
    complaints: BTreeSet<(String, KeyId)>,
}

impl Seen {
    /// Remembers a reading, and what was written after it. Says which files have become unreadable.
    pub(super) fn note(&mut self, scan: &Scan) -> Vec<String> {
        self.directory = Some(scan.directory);
        self.kids = scan.certificates.values().map(|facts| facts.key_id.clone()).collect();
        self.kids.append(&mut self.shown);
        self.complaints.retain(|(file, kid)| {
            self.kids.contains(kid) || scan.certificates.get(file).is_some_and(|facts| facts.key_id == *kid)
        });
        let new = scan.unreadable.difference(&self.unreadable).cloned().collect();
        self.unreadable.clone_from(&scan.unreadable);
        new
    }

    /// A file was written for this certificate.
    pub(super) fn shown(&mut self, kid: &KeyId) {
        self.shown.insert(kid.clone());
    }

    /// Whether something was said about this file already; it is said once, until the file changes.
    pub(super) fn has_complained(&self, file: &str, kid: &KeyId) -> bool {
        self.complaints.contains(&(file.to_owned(), kid.clone()))
    }

    /// Whether to say something about this file.
    pub(super) fn complain(&mut self, file: &str, kid: &KeyId) -> bool {
        self.complaints.insert((file.to_owned(), kid.clone()))
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A file is new: have the cluster trust it.
    Trust { file: String },
    /// A file was removed under the eyes of this node: have the cluster distrust it.
    Distrust { kid: KeyId },
    /// The cluster trusts what the directory doesn't show: write it.
    Show { kid: KeyId, file: String },
    /// The cluster has distrusted a file meanwhile.
    MoveAside { file: String, kid: KeyId },
    /// Directory and cluster agree: remember it.
    Note { kid: KeyId, file: String },
    /// Neither has it any more.
    Forget { kid: KeyId },
}

/// Compares the three sides, certificate by certificate; identity is the key id, whatever the file is called.
///
/// | in the directory | remembered | trusted | then |
/// |---|---|---|---|
/// | yes | no | no | trust it; but without any memory, what the cluster distrusted before is moved aside |
/// | yes | yes | no | the cluster distrusted it: move it aside |
/// | no | yes | yes | distrust it, if it was seen to go; otherwise show it again |
/// | no | no | yes | show it |
///
/// It was seen to go if this run of the node saw it there, in this very directory, which can be written to and was not
/// emptied of several at once, and no file is in the making under its name.
pub(super) fn plan(scan: &Scan, manifest: Option<&Manifest>, seen: &Seen, view: &State) -> Vec<Step> {
    let present: BTreeMap<&KeyId, &String> =
        scan.certificates.iter().map(|(file, facts)| (&facts.key_id, file)).collect();
    let mut steps = Vec::new();
    for (kid, file) in &present {
        let remembered = manifest.is_some_and(|manifest| manifest.file_of(kid).is_some());
        let step = match (view.trusted(kid).is_some(), remembered) {
            (true, _) => Step::Note { kid: (*kid).clone(), file: (*file).clone() },
            (false, true) => Step::MoveAside { file: (*file).clone(), kid: (*kid).clone() },
            (false, false) if manifest.is_none() && view.distrusted_at(kid).is_some() => {
                Step::MoveAside { file: (*file).clone(), kid: (*kid).clone() }
            }
            (false, false) => Step::Trust { file: (*file).clone() },
        };
        steps.push(step);
    }
    // Two certificates may go by one name in the circle; under one name here, either would look like the end of the other.
    let mut taken: BTreeSet<String> = scan.certificates.keys().chain(&scan.unreadable).cloned().collect();
    for issuer in view.circle().filter(|issuer| !present.contains_key(&issuer.kid)) {
        let remembered = manifest.and_then(|manifest| manifest.file_of(&issuer.kid));
        let step = match remembered {
            Some(file) if scan.unreadable.contains(file) => continue,
            Some(_) if was_seen_to_go(&issuer.kid, scan, seen) => Step::Distrust { kid: issuer.kid.clone() },
            _ if !scan.is_writable => continue,
            _ => {
                let file = free_name(&issuer.file_name, &issuer.kid, &taken);
                taken.insert(file.clone());
                Step::Show { kid: issuer.kid.clone(), file }
            }
        };
        steps.push(step);
    }
    let remembered = manifest.into_iter().flat_map(Manifest::entries);
    for kid in remembered.filter_map(|(kid, _)| KeyId::parse(kid).ok()) {
        if !present.contains_key(&kid) && view.trusted(&kid).is_none() {
            steps.push(Step::Forget { kid });
        }
    }
    // A replacement is trusted before what it replaces is distrusted.
    steps.sort_by_key(|step| matches!(step, Step::Distrust { .. }));
    steps
}

fn was_seen_to_go(kid: &KeyId, scan: &Scan, seen: &Seen) -> bool {
    let emptied = scan.certificates.is_empty() && seen.kids.len() > 1;
    seen.kids.contains(kid) && seen.directory == Some(scan.directory) && scan.is_writable && !emptied
}

/// The name under which the circle knows a certificate, unless another file has it here or is about to.
fn free_name(wanted: &str, kid: &KeyId, taken: &BTreeSet<String>) -> String {
    let stem = wanted.strip_suffix(".crt").unwrap_or(wanted);
    let is_plain = |c: char| c.is_alphanumeric() || "-_.@ ".contains(c);
    let stem = if stem.is_empty() || stem.starts_with('.') || !stem.chars().all(is_plain) {
        kid.as_str()
    } else {
        stem
    };
    let name = format!("{stem}.crt");
    if taken.contains(&name) { format!("{stem}-{}.crt", kid.as_str()) } else { name }
}

/// What tokens under a certificate from a file may do: no more than the other certificates of its issuer let them, so that
/// renewing one loosens nothing. Whether they administer here, or revoke, is never for a file to say.
pub(super) fn limits_of(view: &State, issuer: &ServiceId) -> IssuerLimits {
    IssuerLimits { admin: false, revoke: false, ..view.shared_limits(issuer).unwrap_or_default() }
}

#[cfg(test)]
mod tests;
