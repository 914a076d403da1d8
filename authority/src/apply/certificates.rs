//! The certificate authority behind the nodes' TLS certificates.

use std::sync::Arc;

use super::Applied;
use crate::{command::ReplaceCa, outcome::Outcome, refusal::Refusal, state::State};

impl State {
    pub(super) fn replace_ca(&mut self, replace: &ReplaceCa) -> Applied {
        let cluster = self.cluster.as_ref().ok_or(Refusal::NotBootstrapped)?;
        if cluster.ca == replace.ca {
            return Ok(Outcome::Done);
        }
        if cluster.ca.certificate_der != replace.replaces {
            return Err(Refusal::CaReplaced);
        }
        self.check_sealed(&replace.ca.private_key)?;
        let mut cluster = cluster.as_ref().clone();
        cluster.ca = replace.ca.clone();
        self.cluster = Some(Arc::new(cluster));
        Ok(Outcome::Done)
    }
}
