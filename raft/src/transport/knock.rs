//! The joiner's side of joining: one frame there, one frame back, over a session both ends can vouch for.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use tokio_util::bytes::Bytes;
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;

use crate::network::Lane;
use crate::network::wire::{Hello, Welcome, decode_greeting, encode};
use crate::transport::dial::connect;
use crate::transport::tls::Identity;
use crate::transport::tls::{Accept, Credentials};
use crate::transport::{GREETING_BYTES_MAX, JOIN_LABEL, frames};

/// The whole conversation may take this long; the cluster has to decide meanwhile.
const WAIT: Duration = Duration::from_secs(20);

/// Why a knock wasn't answered.
#[derive(Debug, thiserror::Error)]
pub enum KnockError {
    /// Nobody there, or the connection broke.
    #[error("can't reach {address}: {reason}")]
    Unreachable {
        /// Where we knocked.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Somebody there, but not of the expected cluster.
    #[error("{address} is not of the cluster that was expected: {reason}")]
    Stranger {
        /// Where we knocked.
        address: String,
        /// What was found.
        reason: String,
    },
    /// The cluster said no.
    #[error("the cluster refused: {0}")]
    Refused(String),
}

/// Who may open the door to a joiner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doorkeeper {
    /// Whoever shows a certificate signed by the CA whose DER has this SHA-256.
    SignedBy([u8; 32]),
    /// Anybody: the joiner knows no CA yet, and the frames that are exchanged prove who is who.
    Anybody,
}

/// Knocks at a member to join: connects with the joiner's key, checks who opens, and exchanges one frame. `make_request`
/// gets the exporter of the session, over which both sides prove what they know without sending it.
pub async fn knock<F>(
    address: &str,
    doorkeeper: Doorkeeper,
    identity: &Identity,
    make_request: F,
) -> Result<Vec<u8>, KnockError>
where
    F: FnOnce([u8; 32]) -> Vec<u8> + Send,
{
    let lost = |reason: String| KnockError::Unreachable { address: address.to_owned(), reason };
    match tokio::time::timeout(WAIT, exchange(address, doorkeeper, identity, make_request)).await {
        Ok(result) => result,
        Err(_) => Err(lost(format!("no answer within {} s", WAIT.as_secs()))),
    }
}

async fn exchange<F>(
    address: &str,
    doorkeeper: Doorkeeper,
    identity: &Identity,
    make_request: F,
) -> Result<Vec<u8>, KnockError>
where
    F: FnOnce([u8; 32]) -> Vec<u8> + Send,
{
    let lost = |reason: String| KnockError::Unreachable { address: address.to_owned(), reason };
    let io = |error: std::io::Error| lost(error.to_string());
    let stranger = |reason: String| KnockError::Stranger { address: address.to_owned(), reason };
    let credentials = Credentials::new(identity).map_err(lost)?;
    let accept = match doorkeeper {
        Doorkeeper::SignedBy(ca_fingerprint) => signed_by(ca_fingerprint),
        Doorkeeper::Anybody => Box::new(|_: &CertificateDer<'_>, _: &[CertificateDer<'_>]| Ok(())),
    };
    let stream = connect(&credentials, address, accept).await.map_err(|reason| {
        if reason.contains("invalid peer certificate") { stranger(reason) } else { lost(reason) }
    })?;
    let exporter = stream.get_ref().1.export_keying_material([0; 32], JOIN_LABEL, None);
    let exporter = exporter.map_err(|error| lost(error.to_string()))?;
    let mut frames = frames(stream, GREETING_BYTES_MAX);
    let hello = Hello {
        service_id: identity.service_id.clone(),
        generation: identity.generation,
        from: 0,
        to: 0,
        lane: Lane::Join,
    };
    frames.send(encode(&hello).map_err(io)?).await.map_err(io)?;
    frames.send(Bytes::from(make_request(exporter))).await.map_err(io)?;
    let mut next = async || match frames.next().await {
        Some(frame) => frame.map_err(io),
        None => Err(lost("closed without an answer".to_owned())),
    };
    match decode_greeting(&next().await?).map_err(io)? {
        Welcome::Yes => Ok(next().await?.to_vec()),
        Welcome::No(reason) => Err(KnockError::Refused(reason)),
        Welcome::Removed { .. } | Welcome::SetBack => {
            Err(KnockError::Refused("this key was a member's before".to_owned()))
        }
    }
}

/// Accepts a certificate that was signed by the CA with this fingerprint, which must come along.
fn signed_by(ca_fingerprint: [u8; 32]) -> Accept {
    Box::new(move |certificate, others| {
        let ca = others.iter().find(|other| <[u8; 32]>::from(Sha256::digest(other)) == ca_fingerprint);
        let ca = ca.ok_or("the expected CA is not in the chain")?;
        check_signature(certificate, ca)
    })
}

fn check_signature(certificate: &CertificateDer<'_>, ca: &CertificateDer<'_>) -> Result<(), String> {
    let parse = |der| parse_x509_certificate(der).map_err(|error| error.to_string());
    let (_, ca) = parse(ca)?;
    let (_, signed) = parse(certificate)?;
    if verified(&signed, &ca) {
        Ok(())
    } else {
        Err("the certificate was not signed by the expected CA".to_owned())
    }
}

/// Tries every algorithm that fits the CA's key and the signature's identifier; the identifiers are the DER of the
/// `AlgorithmIdentifier` without its outer header.
fn verified(signed: &X509Certificate<'_>, ca: &X509Certificate<'_>) -> bool {
    let key = &ca.tbs_certificate.subject_pki;
    let message = signed.tbs_certificate.as_ref();
    aws_lc_rs::default_provider().signature_verification_algorithms.all.iter().any(|algorithm| {
        let fits = signature_oid(algorithm.signature_alg_id().as_ref())
            == Some(signed.signature_algorithm.algorithm.as_bytes());
        let signature = signed.signature_value.data.as_ref();
        fits && algorithm.verify_signature(key.subject_public_key.data.as_ref(), message, signature).is_ok()
    })
}

/// The object identifier at the start of an `AlgorithmIdentifier`'s content.
fn signature_oid(content: &[u8]) -> Option<&[u8]> {
    let (&[0x06, length], rest) = content.split_first_chunk()? else { return None };
    rest.get(..usize::from(length))
}
