//! Makes the certificates of a cluster: its token issuer, its CA, its nodes.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData,
    SubjectPublicKeyInfo, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_parser::parse_x509_certificate;

use crate::secret::Secret;

/// Dates don't end token keys: they are replaced by decision.
const LAST_YEAR: i32 = 6999;
/// Certificates begin a day early, so that a clock that is behind accepts them.
const BEGINS_EARLY: Duration = Duration::from_hours(24);

/// A certificate with its key.
pub struct KeyAndCertificate {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// Its key, PKCS#8 DER.
    pub private_key: Secret,
}

/// From when to when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// In seconds since 1970.
    pub not_before: i64,
    /// In seconds since 1970.
    pub not_after: i64,
}

impl Validity {
    /// Of a certificate in DER.
    ///
    /// # Errors
    /// It is no certificate.
    pub fn of(certificate: &[u8]) -> Result<Self, CertificateProblem> {
        let parsed = parse_x509_certificate(certificate);
        let (_, parsed) = parsed.map_err(|error| CertificateProblem::Unreadable(error.to_string()))?;
        let validity = parsed.validity();
        Ok(Self { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
    }

    /// For how many seconds it is still valid; 0 if it is not any more.
    #[must_use]
    pub fn left_secs(self, now_ms: u64) -> u64 {
        u64::try_from(self.not_after).unwrap_or(0).saturating_sub(now_ms / 1000)
    }

    /// Whether a certificate that should live for `lifetime` is to be renewed: a third of that is left, or much more than
    /// all of it, since it was made under another setting.
    #[must_use]
    pub fn is_due(self, lifetime: Duration, now_ms: u64) -> bool {
        let (left, wanted) = (self.left_secs(now_ms), lifetime.as_secs());
        left <= wanted / 3 || left > wanted + BEGINS_EARLY.as_secs()
    }
}

/// Which signature a new token key makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKeyKind {
    /// Ed25519.
    EdDsa,
    /// RSA with 2048 bits.
    Rs256,
}

/// A certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateProblem {
    /// The library refused.
    #[error("the certificate could not be made")]
    Making(#[from] rcgen::Error),
    /// What was made can't be read.
    #[error("the certificate can't be read: {0}")]
    Reading(#[from] circlet_token::CertificateError),
    /// A certificate of our own is damaged.
    #[error("the certificate can't be read: {0}")]
    Unreadable(String),
    /// The program is ending.
    #[error("making the certificate was broken off")]
    BrokenOff,
    /// Not a certificate, or no PEM.
    #[error("not a PEM certificate: {0}")]
    NotPem(String),
}

/// A new token key with its self-signed certificate, whose common name ends with the service id.
pub fn token_issuer(
    kind: TokenKeyKind,
    service_id: &str,
    now_ms: u64,
) -> Result<KeyAndCertificate, CertificateProblem> {
    let algorithm = match kind {
        TokenKeyKind::EdDsa => &PKCS_ED25519,
        TokenKeyKind::Rs256 => &PKCS_RSA_SHA256,
    };
    let key = KeyPair::generate_for(algorithm)?;
    let mut params = params(&format!("circlet Token Issuer {service_id}"), now_ms);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    self_signed(&params, &key)
}

/// A new certificate authority for the nodes of a cluster.
pub fn cluster_ca(
    service_id: &str,
    now_ms: u64,
    lifetime: Duration,
) -> Result<KeyAndCertificate, CertificateProblem> {
    ca_of(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?, service_id, now_ms, lifetime)
}

/// The same authority with other dates: who trusts the certificate before it trusts what it signs.
pub fn renewed_cluster_ca(
    private_key: &Secret,
    service_id: &str,
    now_ms: u64,
    lifetime: Duration,
) -> Result<KeyAndCertificate, CertificateProblem> {
    ca_of(&key_pair(private_key)?, service_id, now_ms, lifetime)
}

fn ca_of(
    key: &KeyPair,
    service_id: &str,
    now_ms: u64,
    lifetime: Duration,
) -> Result<KeyAndCertificate, CertificateProblem> {
    let mut params = params(&format!("circlet cluster CA {service_id}"), now_ms);
    params.not_after = params.not_before + BEGINS_EARLY + lifetime;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    self_signed(&params, key)
}

/// A new key for a node, which never leaves it.
pub fn node_key() -> Result<Secret, CertificateProblem> {
    Ok(Secret::new(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_der()))
}

/// The public part of a PKCS#8 key, as `SubjectPublicKeyInfo` DER.
pub fn public_key(private_key: &Secret) -> Result<Vec<u8>, CertificateProblem> {
    Ok(key_pair(private_key)?.subject_public_key_info())
}

/// What peers are held to: SHA-256 of the DER of the public key.
#[must_use]
pub fn pin(public_key: &[u8]) -> [u8; 32] {
    Sha256::digest(public_key).into()
}

/// What a join token names the cluster's CA by: SHA-256 of the certificate's DER.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// When a certificate ends, in seconds since 1970; `None` if it can't be read.
#[must_use]
pub fn not_after_secs(der: &[u8]) -> Option<u64> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    u64::try_from(certificate.validity().not_after.timestamp()).ok()
}

/// A certificate for the node with this public key, by which its peers know it.
pub fn node_certificate(
    ca: &KeyAndCertificate,
    public_key: &[u8],
    name: &str,
    service_id: &str,
    now_ms: u64,
    lifetime: Duration,
) -> Result<Vec<u8>, CertificateProblem> {
    let mut params = params(&format!("circlet node {name} {service_id}"), now_ms);
    params.not_after = params.not_before + BEGINS_EARLY + lifetime;
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    signed(&params, &SubjectPublicKeyInfo::from_der(public_key)?, ca)
}

/// What a node that has not joined yet shows: its key, and nobody's signature but its own.
pub fn stranger_certificate(private_key: &Secret, now_ms: u64) -> Result<Vec<u8>, CertificateProblem> {
    let key = key_pair(private_key)?;
    Ok(self_signed(&params("circlet node that wants to join", now_ms), &key)?.certificate)
}

/// A new key and certificate for client traffic to `hosts` (names and addresses).
pub fn client_traffic(
    ca: &KeyAndCertificate,
    hosts: Vec<String>,
    now_ms: u64,
    lifetime: Duration,
) -> Result<KeyAndCertificate, CertificateProblem> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let common_name = hosts.first().cloned().unwrap_or_default();
    let mut params = params(&common_name, now_ms);
    params.not_after = params.not_before + BEGINS_EARLY + lifetime;
    params.subject_alt_names = CertificateParams::new(hosts)?.subject_alt_names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = signed(&params, &key, ca)?;
    Ok(KeyAndCertificate { certificate, private_key: Secret::new(key.serialize_der()) })
}

/// PEM of one certificate.
#[must_use]
pub fn certificate_pem(der: &[u8]) -> String {
    pem("CERTIFICATE", der)
}

/// PEM of a PKCS#8 key.
#[must_use]
pub fn private_key_pem(pkcs8: &Secret) -> Secret {
    Secret::from(pem("PRIVATE KEY", pkcs8.expose()))
}

/// The certificates of a PEM file, DER; at least one.
pub fn read_certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, CertificateProblem> {
    let certificates: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(pem)
        .map(|certificate| certificate.map(|der| der.as_ref().to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| CertificateProblem::NotPem(error.to_string()))?;
    if certificates.is_empty() {
        return Err(CertificateProblem::NotPem("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// The private key of a PEM file, as DER in whichever form the file has.
pub fn read_private_key(pem: &Secret) -> Result<PrivateKeyDer<'static>, CertificateProblem> {
    PrivateKeyDer::from_pem_slice(pem.expose()).map_err(|error| CertificateProblem::NotPem(error.to_string()))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("base64 is ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn params(common_name: &str, now_ms: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    // Whole seconds: a certificate has no fractions.
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(now_ms / 1000) - BEGINS_EARLY;
    params.not_after = date_time_ymd(LAST_YEAR, 1, 1);
    params
}

fn key_pair(pkcs8: &Secret) -> Result<KeyPair, CertificateProblem> {
    Ok(KeyPair::try_from(pkcs8.expose())?)
}

fn self_signed(params: &CertificateParams, key: &KeyPair) -> Result<KeyAndCertificate, CertificateProblem> {
    let certificate = params.self_signed(key)?.der().to_vec();
    Ok(KeyAndCertificate { certificate, private_key: Secret::new(key.serialize_der()) })
}

fn signed(
    params: &CertificateParams,
    public_key: &impl PublicKeyData,
    ca: &KeyAndCertificate,
) -> Result<Vec<u8>, CertificateProblem> {
    let issuer = Issuer::from_ca_cert_der(&ca.certificate.as_slice().into(), key_pair(&ca.private_key)?)?;
    Ok(params.signed_by(public_key, &issuer)?.der().to_vec())
}

#[cfg(test)]
mod tests {
    use super::{
        KeyAndCertificate, TokenKeyKind, Validity, certificate_pem, client_traffic, cluster_ca,
        node_certificate, node_key, private_key_pem, public_key, read_certificates, read_private_key,
        renewed_cluster_ca, stranger_certificate, token_issuer,
    };
    use crate::secret::Secret;
    use std::time::Duration;
    use x509_parser::prelude::{FromDer, X509Certificate};

    const NOW_MS: u64 = 1_700_000_000_000;
    const YEAR: Duration = Duration::from_hours(24 * 365);

    fn parsed(der: &[u8]) -> X509Certificate<'_> {
        X509Certificate::from_der(der).unwrap().1
    }

    #[test]
    fn a_token_issuer_is_named_after_its_service() {
        for kind in [TokenKeyKind::EdDsa, TokenKeyKind::Rs256] {
            let issuer = token_issuer(kind, "jfrt@01abc", NOW_MS).unwrap();
            let certificate = parsed(&issuer.certificate);
            assert_eq!(certificate.subject().to_string(), "CN=circlet Token Issuer jfrt@01abc");
            assert_eq!(certificate.validity().not_before.timestamp(), 1_700_000_000 - 86_400);
            assert!(certificate.verify_signature(None).is_ok());
        }
    }

    #[test]
    fn the_ca_signs_nodes_and_client_traffic() {
        let ca = cluster_ca("jfrt@01abc", NOW_MS, 9 * YEAR).unwrap();
        let authority = parsed(&ca.certificate);
        assert!(authority.is_ca());
        let key = node_key().unwrap();
        let public = public_key(&key).unwrap();
        let node = node_certificate(&ca, &public, "node1", "jfrt@01abc", NOW_MS, YEAR).unwrap();
        assert!(parsed(&node).verify_signature(Some(authority.public_key())).is_ok());
        assert_eq!(parsed(&node).public_key().raw, public);
        let hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let traffic = client_traffic(&ca, hosts, NOW_MS, YEAR).unwrap();
        assert!(parsed(&traffic.certificate).verify_signature(Some(authority.public_key())).is_ok());
        let stranger = stranger_certificate(&key, NOW_MS).unwrap();
        assert!(parsed(&stranger).verify_signature(Some(authority.public_key())).is_err());
    }

    #[test]
    fn who_trusts_the_ca_of_before_trusts_what_the_renewed_one_signs() {
        let before = cluster_ca("jfrt@01abc", NOW_MS, YEAR).unwrap();
        let later_ms = NOW_MS + 30_000_000_000;
        let after = renewed_cluster_ca(&before.private_key, "jfrt@01abc", later_ms, YEAR).unwrap();
        let (old, new) = (parsed(&before.certificate), parsed(&after.certificate));
        assert_eq!(
            (old.subject().as_raw(), old.public_key().raw),
            (new.subject().as_raw(), new.public_key().raw)
        );
        let until = |ca: &KeyAndCertificate| Validity::of(&ca.certificate).unwrap().not_after;
        assert_eq!(until(&after) - until(&before), 30_000_000);
        let key = public_key(&node_key().unwrap()).unwrap();
        let node = node_certificate(&after, &key, "node1", "jfrt@01abc", later_ms, YEAR).unwrap();
        assert!(parsed(&node).verify_signature(Some(old.public_key())).is_ok());
    }

    #[test]
    fn a_certificate_is_renewed_while_a_third_of_its_life_is_left() {
        let ca = cluster_ca("jfrt@01abc", NOW_MS, YEAR).unwrap();
        let validity = Validity::of(&ca.certificate).unwrap();
        assert_eq!(validity.not_before, 1_700_000_000 - 86_400);
        let after = |days: u64| NOW_MS + days * 86_400_000;
        assert_eq!(validity.left_secs(after(65)), 300 * 86_400);
        assert!(!validity.is_due(YEAR, NOW_MS) && !validity.is_due(YEAR, after(243)));
        assert!(validity.is_due(YEAR, after(244)) && validity.is_due(YEAR, after(400)));
        assert!(validity.is_due(YEAR / 2, NOW_MS), "made when certificates should live longer");
        assert!(Validity::of(b"nothing").is_err());
    }

    #[test]
    fn pem_goes_both_ways() {
        let ca = cluster_ca("jfrt@01abc", NOW_MS, YEAR).unwrap();
        let text = certificate_pem(&ca.certificate);
        assert_eq!(read_certificates(text.as_bytes()).unwrap(), std::slice::from_ref(&ca.certificate));
        let key = read_private_key(&private_key_pem(&ca.private_key)).unwrap();
        assert_eq!(key.secret_der(), ca.private_key.expose());
        assert!(read_certificates(b"nothing").is_err());
        assert!(read_private_key(&Secret::new(b"nothing".to_vec())).is_err());
    }
}
