//! The circle of trust: root certificates of other clusters.

use std::collections::BTreeSet;
use std::sync::Arc;

use circlet_authority::limits::MEMBER_KEYS_MAX;
use circlet_authority::{
    Action, DistrustIssuer, IssuerLimits, LimitIssuer, Outcome, State, TrustIssuer, TrustedIssuer,
};
use circlet_raft::Published;
use circlet_token::{CertificateFacts, KeyId, Lifetime, ServiceId, read_certificate};
use serde_json::json;

use super::failure::Failure;
use super::{Session, reading};
use crate::audit::{self, Change, Entity};

/// A certificate to trust.
pub(crate) struct TrustOrder {
    /// PEM, or base64 of the DER.
    pub(crate) certificate: String,
    /// What to call it; by default its key id.
    pub(crate) name: Option<String>,
    /// Whom it speaks for, where its common name doesn't say.
    pub(crate) service_id: Option<String>,
    pub(crate) limits: IssuerLimits,
}

/// The longest name of a trusted certificate, in bytes: it becomes a file name.
const NAME_BYTES_MAX: usize = 128;

/// Trusts a certificate, or changes the limits of one that is trusted already.
pub(crate) async fn add(
    session: &Session<'_>,
    order: TrustOrder,
) -> Result<(Arc<Published<State>>, KeyId, u64), Failure> {
    session.require_admin("change the circle of trust").await?;
    let facts = read_certificate(order.certificate.as_bytes()).map_err(|error| {
        Failure::bad_request("bad_certificate", format!("the certificate can't be used: {error}"))
    })?;
    let issuer = match &order.service_id {
        Some(text) => ServiceId::parse(text)
            .map_err(|malformed| Failure::bad_request("bad_service_id", malformed.to_string()))?,
        None => facts.issuer.clone().ok_or_else(|| {
            Failure::bad_request("no_issuer", "the certificate's common name holds no service id")
                .with_detail("name the cluster that it speaks for with service_id")
        })?,
    };
    let name = order.name.unwrap_or_else(|| facts.key_id.as_str().to_owned());
    let kid = facts.key_id.clone();
    let action = action(facts, issuer.clone(), &name, order.limits)?;
    let data = json!({"added": {
        "kid": kid.as_str(),
        "serviceId": issuer.as_str(),
        "commonName": action.common_name,
        "notAfter": action.not_after,
        "file": action.file_name,
    }});
    let decided = session.decide(Action::TrustIssuer(Box::new(action))).await?;
    session.record(Change::Created, Entity::Trust, issuer.as_str(), data)?;
    tracing::info!(%kid, %issuer, "issuer trusted");
    Ok((session.published(), kid, decided.index))
}

/// The action that trusts a certificate of this issuer, under this name.
pub(crate) fn action(
    facts: CertificateFacts,
    issuer: ServiceId,
    name: &str,
    limits: IssuerLimits,
) -> Result<TrustIssuer, Failure> {
    Ok(TrustIssuer {
        kid: facts.key_id,
        algorithm: facts.algorithm,
        spki_der: facts.spki_der,
        certificate_der: facts.der,
        issuer,
        common_name: facts.common_name.unwrap_or_default(),
        not_after: audit::date_of(facts.not_after),
        limits,
        file_name: file_name(name)?,
    })
}

/// Changes what the tokens of an issuer may do, by key id, name or service id; of all certificates that it names.
pub(crate) async fn limit(
    session: &Session<'_>,
    named: &str,
    change: impl Fn(&IssuerLimits) -> Result<IssuerLimits, Failure>,
) -> Result<(Arc<Published<State>>, u64), Failure> {
    session.require_admin("change the circle of trust").await?;
    let mut left = Left::of(session, named).await?;
    let mut index = None;
    while let Some(issuer) = left.next(matching(&session.published().view, named)) {
        let kid = issuer.kid.clone();
        let limits = change(&issuer.limits)?;
        let data = json!({"limited": {"kid": kid.as_str(), "serviceId": issuer.issuer.as_str(),
            "admin": limits.admin, "revoke": limits.revoke, "groups": limits.groups, "audiences": limits.audiences,
            "maxLifetime": limits.max_lifetime.and_then(Lifetime::secs)}});
        let action = Action::LimitIssuer(Box::new(LimitIssuer { kid: kid.clone(), limits }));
        index = Some(session.decide(action).await?.index);
        session.record(Change::Updated, Entity::Trust, issuer.issuer.as_str(), data)?;
        tracing::info!(%kid, issuer = %issuer.issuer, "issuer limited");
    }
    index.map(|index| (session.published(), index)).ok_or_else(|| unknown(named))
}

/// Distrusts by key id, name or service id; all certificates that it names.
pub(crate) async fn remove(session: &Session<'_>, named: &str) -> Result<u64, Failure> {
    session.require_admin("change the circle of trust").await?;
    let mut left = Left::of(session, named).await?;
    let mut index = None;
    while let Some(issuer) = left.next(matching(&session.published().view, named)) {
        let kid = issuer.kid.clone();
        let decided = session.decide(Action::DistrustIssuer(DistrustIssuer { kid: kid.clone() })).await?;
        if matches!(decided.outcome, Outcome::NotFound { .. }) {
            continue;
        }
        index = Some(decided.index);
        let data = json!({"removed": {"kid": kid.as_str(), "serviceId": issuer.issuer.as_str()}});
        session.record(Change::Deleted, Entity::Trust, issuer.issuer.as_str(), data)?;
        tracing::info!(%kid, issuer = %issuer.issuer, "issuer distrusted");
    }
    index.ok_or_else(|| unknown(named))
}

/// Which of the certificates that are meant are next: those that are there, and then those that a feed has told meanwhile. A
/// key that comes in the middle of a change comes as those are that have not been changed yet.
struct Left {
    done: BTreeSet<KeyId>,
    /// So many at most: no member keeps an administrator busy for ever.
    most: usize,
}

impl Left {
    async fn of(session: &Session<'_>, named: &str) -> Result<Self, Failure> {
        let some = |view: &State| matching(view, named).next().is_some();
        let published = reading::holding(session.cluster, some).await?;
        Ok(Self::at_least(published.map_or(0, |published| matching(&published.view, named).count())))
    }

    fn at_least(count: usize) -> Self {
        Self { done: BTreeSet::new(), most: count.saturating_add(MEMBER_KEYS_MAX) }
    }

    /// One that was not next before, of those that are meant once the one before has been decided.
    fn next<'a>(
        &mut self,
        mut meant: impl Iterator<Item = &'a Arc<TrustedIssuer>>,
    ) -> Option<Arc<TrustedIssuer>> {
        let next = meant.find(|issuer| !self.done.contains(&issuer.kid)).cloned()?;
        let may = self.done.len() < self.most;
        may.then(|| {
            self.done.insert(next.kid.clone());
            next
        })
    }
}

/// A view with the circle, for administrators.
pub(crate) async fn all(session: &Session<'_>) -> Result<Arc<Published<State>>, Failure> {
    session.require_admin("read the circle of trust").await?;
    reading::current(session.cluster).await
}

/// The trusted certificates that a key id, a name or a service id means.
pub(crate) fn matching<'a>(view: &'a State, named: &'a str) -> impl Iterator<Item = &'a Arc<TrustedIssuer>> {
    view.circle().filter(move |issuer| {
        issuer.kid.as_str() == named || issuer.issuer.as_str() == named || display_name(issuer) == named
    })
}

/// What a trusted certificate is called: its file's name without the ending.
pub(crate) fn display_name(issuer: &TrustedIssuer) -> &str {
    issuer.file_name.strip_suffix(".crt").unwrap_or(&issuer.file_name)
}

/// 404 for this issuer.
pub(crate) fn unknown(named: &str) -> Failure {
    Failure::not_found(format!("no trusted certificate has the key id, name or service id '{named}'"))
}

/// The file that shows it in every node's trusted directory: nothing that could leave that directory.
fn file_name(name: &str) -> Result<String, Failure> {
    let name = name.trim().trim_end_matches(".crt");
    let good = (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || "-_.@ ".contains(c));
    if good {
        return Ok(format!("{name}.crt"));
    }
    Err(Failure::bad_request(
        "bad_name",
        format!(
            "a name has 1 to {NAME_BYTES_MAX} bytes of letters, digits, space and -_.@ and does not start with a dot"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use circlet_token::Algorithm;

    use super::*;

    fn certificate(number: usize) -> Arc<TrustedIssuer> {
        Arc::new(TrustedIssuer {
            kid: KeyId::of_certificate(&number.to_be_bytes()),
            algorithm: Algorithm::EdDsa,
            spki_der: Vec::new(),
            certificate_der: Vec::new(),
            issuer: ServiceId::parse("jfrt@01them").expect("it is one"),
            common_name: String::new(),
            not_after: String::new(),
            limits: IssuerLimits::default(),
            file_name: "them.crt".to_owned(),
            since_index: 1,
            by_feed: true,
        })
    }

    #[test]
    fn a_key_that_a_feed_tells_in_the_middle_of_a_change_is_changed_too() {
        let mut left = Left::at_least(2);
        let (mut known, mut changed) = (vec![certificate(1), certificate(2)], Vec::new());
        while let Some(next) = left.next(known.iter()) {
            changed.push(next.kid.clone());
            if changed.len() == 1 {
                known = vec![certificate(3), certificate(2)];
            }
        }
        assert_eq!(changed.len(), 3);
        assert!(changed.contains(&certificate(3).kid));
    }

    #[test]
    fn a_member_that_tells_keys_without_end_keeps_nobody_busy() {
        let mut left = Left::at_least(1);
        let changed = (0..1_000).map_while(|number| left.next([certificate(number)].iter())).count();
        assert_eq!(changed, 1 + MEMBER_KEYS_MAX);
    }
}
