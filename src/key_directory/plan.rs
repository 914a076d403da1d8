//! What to do about the pair: what is there, and what the cluster has decided.

use circlet_authority::{KeyState, State};
use circlet_token::{CertificateFacts, KeyId};

use super::scan::{Certificate, Plain, PrivateKey, Scan};

/// A pair that ends sooner is a mistake (contract section 1.9).
const VALID_SECS_MIN: u64 = 7 * 86_400;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// All is as it should be.
    Rest,
    /// Show what the cluster signs with.
    ShowCertificate,
    /// The pair is new: have the cluster adopt it.
    Adopt,
    /// The cluster has the key: leave only its sealed form.
    SealKey,
    /// Nothing can be done before the operator does something; and what is wrong.
    Wait(String),
    /// The pair will never be adopted; and why.
    SetAside(String),
}

/// Compares what is there with the view. `shown` is the certificate that this node has last shown in the file: if the
/// cluster has moved on since, whoever placed a file meanwhile knew an older cluster.
pub(super) fn plan(scan: &Scan, view: &State, shown: Option<&KeyId>, now_secs: u64) -> Step {
    let Some(active) = view.active_key().map(|key| &key.kid) else { return Step::Rest };
    match (&scan.key, &scan.certificate) {
        (PrivateKey::Plain(plain), Certificate::Read(facts)) => pair(plain, facts, view, now_secs),
        (PrivateKey::Plain(_), Certificate::Absent) => {
            Step::Wait("private.key lies alone; place its certificate as root.crt beside it".to_owned())
        }
        (PrivateKey::Plain(_), Certificate::Unreadable(why)) => {
            Step::Wait(format!("root.crt is not a certificate, or not yet: {why}"))
        }
        (PrivateKey::Unreadable(why), _) => {
            Step::Wait(format!("private.key is not a private key, or not yet: {why}"))
        }
        (_, Certificate::Absent) => Step::ShowCertificate,
        (_, Certificate::Unreadable(why)) => Step::Wait(format!(
            "root.crt is not a certificate, or not yet: {why}; remove it to have the cluster's written again"
        )),
        (_, Certificate::Read(facts)) => certificate_alone(&facts.key_id, view, active, shown),
    }
}

fn certificate_alone(kid: &KeyId, view: &State, active: &KeyId, shown: Option<&KeyId>) -> Step {
    match view.key(kid).map(|key| key.state) {
        // What signs next may be shown already.
        Some(KeyState::Active | KeyState::Published) => Step::Rest,
        Some(KeyState::Retiring | KeyState::Retired | KeyState::Tainted) => Step::ShowCertificate,
        None if shown.is_some_and(|shown| shown != active) => Step::SetAside(format!(
            "root.crt ({kid}) is no certificate of this cluster, and came without its private.key"
        )),
        None => Step::Wait(format!(
            "root.crt ({kid}) is not the cluster's, which is {active}; place its private.key beside it to have the \
             pair adopted, or remove it"
        )),
    }
}

fn pair(plain: &Plain, facts: &CertificateFacts, view: &State, now_secs: u64) -> Step {
    let kid = &facts.key_id;
    if !plain.key.fits(&facts.spki_der) {
        return Step::Wait(format!(
            "private.key is not the key of root.crt ({kid}); place both files of one pair"
        ));
    }
    match view.key(kid).map(|key| key.state) {
        Some(KeyState::Active | KeyState::Published) if plain.is_file => Step::SealKey,
        Some(KeyState::Active | KeyState::Published) => Step::Rest,
        Some(state) => Step::SetAside(format!(
            "key {kid} is {}: a key that was in the keyring before is not adopted again",
            state.as_str()
        )),
        None => match unfit(facts, view, now_secs) {
            Some(why) => Step::Wait(why),
            None => Step::Adopt,
        },
    }
}

/// Why a matching pair can't be this cluster's.
fn unfit(facts: &CertificateFacts, view: &State, now_secs: u64) -> Option<String> {
    let kid = &facts.key_id;
    let own = view.service_id()?;
    if let Some(issuer) = facts.issuer.as_ref().filter(|issuer| !issuer.same_service(own)) {
        return Some(format!(
            "root.crt ({kid}) is a certificate of {issuer}, and this cluster is {own}: a key speaks only for its own \
             issuer; name {own} at the end of the common name, or leave service ids out of it"
        ));
    }
    let needed = i64::try_from(now_secs.saturating_add(VALID_SECS_MIN)).unwrap_or(i64::MAX);
    if facts.not_after < needed {
        return Some(format!("root.crt ({kid}) expires in less than seven days; make one that lasts"));
    }
    None
}

#[cfg(test)]
mod tests;
