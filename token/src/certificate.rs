//! Root certificates: what a certificate says about the key that signs tokens.
use crate::algorithm::Algorithm;
use crate::key_id::KeyId;
use crate::key_material::{KeyError, KeyMaterial};
use crate::limits::PEM_BYTES_MAX;
use crate::pem;
use crate::service_id::ServiceId;
use aws_lc_rs::signature as aws;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// What a certificate says. Its dates are facts for the operator: a token's signature is believed for as long as the
/// certificate is trusted, whatever they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The id of its key, the `kid` of its tokens.
    pub key_id: KeyId,
    /// The algorithm that its key is for.
    pub algorithm: Algorithm,
    /// Its public key, as DER `SubjectPublicKeyInfo`.
    pub spki_der: Vec<u8>,
    /// The subject's common name, if it has exactly one.
    pub common_name: Option<String>,
    /// The service id at the end of the common name: `jfac@<id>`, `JFrog Token Issuer jfac@<id>`.
    pub issuer: Option<ServiceId>,
    /// From when it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
    /// The serial number, in hexadecimal.
    pub serial: String,
    /// Whether it is signed with its own key, as a root certificate is.
    pub self_signed: bool,
    /// The certificate itself.
    pub der: Vec<u8>,
}

/// Why a certificate can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The file is larger than any certificate.
    #[error("{bytes} bytes are too many for a certificate, at most {PEM_BYTES_MAX} are read")]
    Oversize {
        /// Its size.
        bytes: usize,
    },
    /// It is neither PEM, nor DER, nor the base64 of DER.
    #[error("not a certificate in PEM or DER")]
    Format,
    /// It holds none or several certificates.
    #[error("{found} certificates where one was expected")]
    Count {
        /// How many.
        found: usize,
    },
    /// It holds a private key, which does not belong among certificates.
    #[error("the file holds a private key where a certificate alone was expected")]
    PrivateKey,
    /// Its DER is not an X.509 certificate, or has bytes behind it.
    #[error("not an X.509 certificate")]
    X509,
    /// Its key can't be used.
    #[error("the certificate's key can't be used: {0}")]
    Key(#[from] KeyError),
    /// It says that it signed itself, and its signature does not fit: it is damaged.
    #[error("the certificate is damaged: its own signature does not fit")]
    Damaged,
    /// The certificate names no service and nobody else did.
    #[error("the certificate's common name `{common_name}` names no service: say which issuer it stands for")]
    NoIssuer {
        /// The common name, empty if it has none.
        common_name: String,
    },
}

/// Reads one certificate: PEM, DER, or the base64 of the DER without armour.
pub fn read_certificate(bytes: &[u8]) -> Result<CertificateFacts, CertificateError> {
    if bytes.len() > PEM_BYTES_MAX {
        return Err(CertificateError::Oversize { bytes: bytes.len() });
    }
    // A DER certificate starts with the tag of a sequence, 0x30, and the first length byte of anything this long has its
    // high bit set; no text does.
    if bytes.first() == Some(&0x30) && bytes.get(1).is_some_and(|length| length & 0x80 != 0) {
        return facts(bytes);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| CertificateError::Format)?;
    if !text.contains("-----BEGIN ") {
        return facts(&pem::bare_base64(text).filter(|der| !der.is_empty()).ok_or(CertificateError::Format)?);
    }
    let blocks = pem::blocks(text).ok_or(CertificateError::Format)?;
    if blocks.iter().any(|block| block.label.ends_with("PRIVATE KEY")) {
        return Err(CertificateError::PrivateKey);
    }
    let mut certificates =
        blocks.iter().filter(|block| matches!(block.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE"));
    match (certificates.next(), certificates.count()) {
        (Some(block), 0) => facts(&block.bytes),
        (None, _) => Err(CertificateError::Count { found: 0 }),
        (Some(_), more) => Err(CertificateError::Count { found: more.saturating_add(1) }),
    }
}

fn facts(der: &[u8]) -> Result<CertificateFacts, CertificateError> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::X509)?;
    // RFC 5280 section 4.1.1.2: the algorithm stands outside and inside of what is signed, and must be the same.
    if !rest.is_empty() || certificate.signature_algorithm != certificate.tbs_certificate.signature {
        return Err(CertificateError::X509);
    }
    let spki_der = certificate.public_key().raw;
    let material = KeyMaterial::read(spki_der)?;
    let common_name = common_name(&certificate);
    Ok(CertificateFacts {
        key_id: KeyId::of_certificate(der),
        algorithm: material.algorithm,
        spki_der: spki_der.to_vec(),
        issuer: common_name.as_deref().and_then(issuer),
        common_name,
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        serial: hexadecimal(certificate.raw_serial()),
        self_signed: is_self_signed(&certificate)?,
        der: der.to_vec(),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        for nibble in [byte >> 4, byte & 0xF] {
            text.extend(char::from_digit(nibble.into(), 16));
        }
        text
    })
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    names.next().is_none().then(|| name.to_owned())
}

/// The service id that the common name ends with.
fn issuer(common_name: &str) -> Option<ServiceId> {
    ServiceId::parse(common_name.rsplit(' ').next()?).ok()
}

/// Whether it signed itself. A certificate that names itself as issuer and whose signature does not fit is an error; one
/// that another authority signed is not.
fn is_self_signed(certificate: &X509Certificate<'_>) -> Result<bool, CertificateError> {
    if certificate.subject().as_raw() != certificate.issuer().as_raw() {
        return Ok(false);
    }
    let algorithm: &'static dyn aws::VerificationAlgorithm =
        match certificate.signature_algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.11" => &aws::RSA_PKCS1_2048_8192_SHA256,
            "1.2.840.113549.1.1.12" => &aws::RSA_PKCS1_2048_8192_SHA384,
            "1.2.840.113549.1.1.13" => &aws::RSA_PKCS1_2048_8192_SHA512,
            "1.2.840.10045.4.3.2" => &aws::ECDSA_P256_SHA256_ASN1,
            "1.3.101.112" => &aws::ED25519,
            // Signed with something that is not checked here (SHA-1 in an old root): not vouched for, not damaged.
            _ => return Ok(false),
        };
    aws::UnparsedPublicKey::new(algorithm, certificate.public_key().raw)
        .verify(certificate.tbs_certificate.as_ref(), &certificate.signature_value.data)
        .map(|()| true)
        .map_err(|_| CertificateError::Damaged)
}
