//! Keys instead of certificates: verifiers that check who holds a key, and nothing else.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::types::NodeId;

/// Who this node is, to its peers.
#[derive(Clone)]
pub struct Identity {
    /// Its id in the membership.
    pub node_id: NodeId,
    /// Its certificate, then whatever signed it, as DER. Only the public key of the first counts for members.
    pub certificate_chain: Vec<Vec<u8>>,
    /// The key of the first certificate, as PKCS#8 DER.
    pub private_key: Zeroizing<Vec<u8>>,
    /// The service id of the cluster; peers of another are refused.
    pub service_id: String,
    /// The generation of the cluster; peers of another are refused.
    pub generation: u64,
}

/// SHA-256 of the public key (the DER of `SubjectPublicKeyInfo`) in a certificate; what peers are known by.
pub fn public_key_digest(certificate_der: &[u8]) -> Result<[u8; 32], String> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(certificate_der).map_err(|error| error.to_string())?;
    Ok(Sha256::digest(certificate.tbs_certificate.subject_pki.raw).into())
}

/// Our side of every handshake. The certificates may be replaced at any time; the key stays.
pub(crate) struct Credentials {
    provider: Arc<CryptoProvider>,
    shown: Arc<Shown>,
    private_key: Zeroizing<Vec<u8>>,
}

/// What we show at the moment.
struct Shown(ArcSwap<CertifiedKey>);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shown")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Credentials {
    pub(crate) fn new(identity: &Identity) -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = certified(&provider, &identity.certificate_chain, &identity.private_key)?;
        let shown = Arc::new(Shown(ArcSwap::from_pointee(key)));
        Ok(Self { provider, shown, private_key: identity.private_key.clone() })
    }

    /// Shows other certificates from the next handshake on; the first must be of the same key.
    pub(crate) fn show(&self, certificate_chain: &[Vec<u8>]) -> Result<(), String> {
        let key = certified(&self.provider, certificate_chain, &self.private_key)?;
        self.shown.0.store(Arc::new(key));
        Ok(())
    }

    /// For accepting: any key, as long as it is proved.
    pub(crate) fn server(&self) -> Result<ServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(Proved(Arc::clone(&self.provider))))
            .with_cert_resolver(Arc::clone(&self.shown) as _);
        // A resumed session wouldn't prove the key again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// For connecting to whom `accept` accepts, given the certificates shown.
    pub(crate) fn client(&self, accept: Accept) -> Result<ClientConfig, Error> {
        let verifier = Pinned { provider: Arc::clone(&self.provider), accept };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::clone(&self.shown) as _);
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(config)
    }
}

/// Certificates with the key of the first.
fn certified(
    provider: &CryptoProvider,
    certificate_chain: &[Vec<u8>],
    private_key: &[u8],
) -> Result<CertifiedKey, String> {
    let chain = certificate_chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(private_key));
    let key = provider
        .key_provider
        .load_private_key(key.clone_key())
        .map_err(|error| format!("the private key: {error}"))?;
    let key = CertifiedKey::new(chain, key);
    key.keys_match().map_err(|error| format!("certificate and key: {error}"))?;
    Ok(key)
}

/// Whose certificates are accepted: the first proves its key, the others came with it.
pub(crate) type Accept =
    Box<dyn Fn(&CertificateDer<'_>, &[CertificateDer<'_>]) -> Result<(), String> + Send + Sync>;

/// Accepts whoever holds the key with this digest.
pub(crate) fn pinned(expected: [u8; 32]) -> Accept {
    Box::new(move |certificate, _| {
        if public_key_digest(certificate)? == expected {
            Ok(())
        } else {
            Err("another key than the one recorded".to_owned())
        }
    })
}

fn refused(reason: &str) -> Error {
    tracing::debug!(reason, "certificate of a peer refused");
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
}

fn only_tls13() -> Error {
    Error::General("only TLS 1.3 is spoken between nodes".to_owned())
}

struct Pinned {
    provider: Arc<CryptoProvider>,
    accept: Accept,
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pinned")
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        (self.accept)(end_entity, intermediates).map_err(|reason| refused(&reason))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Accepts any key that is proved; whose it must be is known only after the first frame.
#[derive(Debug)]
struct Proved(Arc<CryptoProvider>);

impl ClientCertVerifier for Proved {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        public_key_digest(end_entity).map_err(|reason| refused(&reason))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(only_tls13())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
