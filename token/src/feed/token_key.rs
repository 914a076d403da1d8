//! Token keys that a feed tells: which of them may be believed, as far as that can be seen from the certificate alone.

use super::FEED_CERTIFICATE_BYTES_MAX;
use crate::{CertificateFacts, ServiceId, read_certificate};

/// Why a token key that a feed tells is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenKeyFault {
    /// The certificate is too large.
    #[error("its certificate is larger than one in a feed may be")]
    Oversize,
    /// The certificate can't be read.
    #[error("its certificate can't be used")]
    Certificate,
    /// The certificate names another issuer.
    #[error("its certificate speaks for another issuer")]
    Issuer,
}

/// Reads the certificate of a token key that the feed of `issuer` tells. Whether the key is known as another's is for
/// whoever follows to say.
///
/// # Errors
/// Why it is not believed.
pub fn check_token_key(issuer: &ServiceId, certificate: &[u8]) -> Result<CertificateFacts, TokenKeyFault> {
    if certificate.len() > FEED_CERTIFICATE_BYTES_MAX {
        return Err(TokenKeyFault::Oversize);
    }
    // The id is that of the very bytes in the chain, so only DER counts.
    let facts = read_certificate(certificate).map_err(|_| TokenKeyFault::Certificate)?;
    if facts.der != certificate {
        return Err(TokenKeyFault::Certificate);
    }
    match &facts.issuer {
        Some(named) if !named.same_service(issuer) => Err(TokenKeyFault::Issuer),
        _ => Ok(facts),
    }
}
