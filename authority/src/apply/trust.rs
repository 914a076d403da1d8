//! The circle of trust.

use std::sync::Arc;

use super::{Applied, below_limit};
use crate::{
    command::{DistrustIssuer, LimitIssuer, TrustIssuer},
    outcome::Outcome,
    policy::fits,
    record::{Member, TrustedIssuer},
    refusal::Refusal,
    state::State,
};

impl State {
    /// A key speaks only for its own issuer: never ours, never another member's.
    pub(super) fn trust_issuer(&mut self, trust: &TrustIssuer) -> Applied {
        let kid = &trust.kid;
        if self.is_us(&trust.issuer) {
            return Err(Refusal::IssuerIsUs { issuer: trust.issuer.clone() });
        }
        let ours =
            self.keyring.contains_key(kid) || self.keyring.values().any(|key| key.spki_der == trust.spki_der);
        if ours {
            return Err(Refusal::KeyIsOurs { kid: kid.clone() });
        }
        let same_key = |other: &&Arc<TrustedIssuer>| other.spki_der == trust.spki_der || other.kid == *kid;
        let other =
            self.circle.values().filter(same_key).find(|other| !other.issuer.same_service(&trust.issuer));
        if let Some(other) = other {
            return Err(Refusal::KeyOfAnotherIssuer { kid: kid.clone(), issuer: other.issuer.clone() });
        }
        if self.has_ended(&trust.issuer, kid) {
            return Err(Refusal::KeyEnded { kid: kid.clone(), issuer: trust.issuer.clone() });
        }
        if !self.circle.contains_key(kid) {
            below_limit(self.circle.len(), "limits.trusted-issuers-max", self.config.trusted_issuers_max)?;
        }
        for (what, text) in [
            ("the common name", &trust.common_name),
            ("the last day", &trust.not_after),
            ("the file name", &trust.file_name),
        ] {
            fits(what, text.len(), "limits.text-bytes-max", self.config.text_bytes_max)?;
        }
        let entry = self.entry_of(trust);
        self.circle.insert(kid.clone(), Arc::new(entry));
        self.distrusted.remove(kid);
        self.keys_changed();
        Ok(Outcome::Done)
    }

    fn entry_of(&self, trust: &TrustIssuer) -> TrustedIssuer {
        TrustedIssuer {
            kid: trust.kid.clone(),
            algorithm: trust.algorithm,
            spki_der: trust.spki_der.clone(),
            certificate_der: trust.certificate_der.clone(),
            issuer: trust.issuer.clone(),
            common_name: trust.common_name.clone(),
            not_after: trust.not_after.clone(),
            limits: trust.limits.clone(),
            file_name: trust.file_name.clone(),
            since_index: self.index,
            by_feed: false,
        }
    }

    pub(super) fn limit_issuer(&mut self, limit: &LimitIssuer) -> Applied {
        let kid = &limit.kid;
        let Some(issuer) = self.circle.get(kid) else {
            return Err(Refusal::IssuerUnknown { kid: kid.clone() });
        };
        let limited = TrustedIssuer {
            limits: limit.limits.clone(),
            since_index: self.index,
            ..issuer.as_ref().clone()
        };
        self.circle.insert(kid.clone(), Arc::new(limited));
        Ok(Outcome::Done)
    }

    pub(super) fn distrust_issuer(&mut self, distrust: &DistrustIssuer) -> Outcome {
        let Some(gone) = self.circle.remove(&distrust.kid) else {
            return Outcome::NotFound { what: format!("certificate {}", distrust.kid) };
        };
        // Who distrusts the last certificate of a member doesn't want its next one either.
        if self.shared_limits(&gone.issuer).is_none()
            && let Some(member) = self.member(&gone.issuer)
        {
            let member = Member { limits: None, ..member.as_ref().clone() };
            self.members.insert(gone.issuer.ulid().to_owned(), Arc::new(member));
        }
        self.distrusted.insert(distrust.kid.clone(), self.index);
        self.keys_changed();
        Outcome::Done
    }
}
