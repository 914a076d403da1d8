//! TLS for client traffic: the operator's certificate or one of the cluster's CA, replaced while the node runs.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certificates::{self, KeyAndCertificate, Validity};
use crate::clock;
use crate::cluster::Cluster;
use crate::home::settings::{NodeSettings, TlsChoice};
use crate::home::{self, HomeError, Paths};
use crate::renewal;

/// How often it is looked whether another certificate is to be shown.
const LOOK: Duration = Duration::from_secs(5);
/// The same while there is none yet.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// Why client traffic can't be protected.
#[derive(Debug, thiserror::Error)]
pub enum TlsProblem {
    /// A file of the operator is missing or unreadable.
    #[error(transparent)]
    File(#[from] HomeError),
    /// A file of the operator is not what it should be.
    #[error("{}: {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Certificate and key don't belong together, or TLS refuses them.
    #[error("the certificate and key of http.tls can't be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What accepts TLS connections and what it shows them, or `None` for plain HTTP. A task in `tasks` replaces the certificate
/// until `stop`.
pub fn acceptor(
    settings: &NodeSettings,
    paths: &Paths,
    cluster: &Cluster,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<Option<(TlsAcceptor, Arc<Shown>)>, TlsProblem> {
    if !settings.is_https() {
        return Ok(None);
    }
    let shown = Arc::new(Shown::default());
    if let TlsChoice::Files { certificate, key } = &settings.tls {
        let files =
            OperatorFiles { certificate: paths.root().join(certificate), key: paths.root().join(key) };
        // A mistake shows at the start, not at the first connection.
        let (seen, certified) = files.load()?;
        shown.show(certified);
        let watching = files.watch(Arc::clone(&shown), seen);
        tasks.spawn(stop.clone().run_until_cancelled_owned(watching));
    } else {
        let renewing = renew(Arc::clone(&shown), cluster.clone(), hosts(settings));
        tasks.spawn(stop.clone().run_until_cancelled_owned(renewing));
    }
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some((TlsAcceptor::from(Arc::new(config)), shown)))
}

/// The certificate that is shown at the moment; none until the first one is there.
#[derive(Default)]
pub struct Shown(ArcSwapOption<CertifiedKey>);

impl Shown {
    /// Whether clients are shown one yet.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.0.load().is_some()
    }

    fn show(&self, certified: CertifiedKey) {
        self.0.store(Some(Arc::new(certified)));
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// The operator's certificate and key.
struct OperatorFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// What the files held when they were last read.
#[derive(PartialEq, Eq)]
struct Seen([u8; 32]);

impl OperatorFiles {
    fn load(&self) -> Result<(Seen, CertifiedKey), TlsProblem> {
        let certificate =
            home::read(&self.certificate, "it is the certificate that http.tls.certificate names")?;
        let key = home::read_secret(&self.key, "it is the key that http.tls.key names")?;
        let seen = Seen(certificates::fingerprint(&[certificate.as_slice(), key.expose()].concat()));
        let damaged = |file: &PathBuf, why: String| TlsProblem::Damaged { file: file.clone(), why };
        let chain = certificates::read_certificates(&certificate)
            .map_err(|error| damaged(&self.certificate, error.to_string()))?;
        let key = certificates::read_private_key(&key)
            .map_err(|_| damaged(&self.key, "not a PEM private key".to_owned()))?;
        Ok((seen, certified(chain, key)?))
    }

    /// Takes changed files over; what can't be used is refused loudly, and the old certificate stays. Never returns.
    async fn watch(self, shown: Arc<Shown>, mut seen: Seen) {
        let mut complained = false;
        loop {
            tokio::time::sleep(LOOK).await;
            match self.load() {
                Ok((now, _)) if now == seen => complained = false,
                Ok((now, certified)) => {
                    shown.show(certified);
                    seen = now;
                    complained = false;
                    tracing::info!(certificate = %self.certificate.display(), "took over a changed certificate");
                }
                Err(_) if complained => {}
                Err(error) => {
                    complained = true;
                    tracing::error!(%error, "the changed certificate is refused; the one before stays in use");
                }
            }
        }
    }
}

/// Shows a certificate of the cluster's CA, and makes a new one long before it ends, or when another CA signs. Never
/// returns.
async fn renew(shown: Arc<Shown>, cluster: Cluster, hosts: Vec<String>) {
    let mut wait = FIRST_LOOK;
    let mut signed: Option<Signed> = None;
    loop {
        match reissue(&cluster, &hosts, signed.as_ref()) {
            Ok(None) => {}
            Ok(Some((certified, by))) => {
                tracing::info!(until = by.1.not_after, "clients are shown a new certificate");
                shown.show(certified);
                signed = Some(by);
                wait = LOOK;
            }
            // A node that has just joined has no CA yet.
            Err(reason) => tracing::debug!(%reason, "no certificate for clients yet"),
        }
        tokio::time::sleep(wait).await;
    }
}

/// The CA that signed a certificate, and from when to when that is valid.
type Signed = (Vec<u8>, Validity);

/// A new certificate, if one is due.
fn reissue(
    cluster: &Cluster,
    hosts: &[String],
    signed: Option<&Signed>,
) -> Result<Option<(CertifiedKey, Signed)>, String> {
    let view = Arc::clone(&cluster.published().view);
    let ca = view.cluster_ca_certificate().ok_or("the cluster has no CA yet")?.to_vec();
    let now_ms = cluster.now().millis();
    let lifetime = renewal::lifetime(&view, &ca, now_ms).map_err(|error| error.to_string())?;
    if signed.is_some_and(|(by, validity)| *by == ca && !validity.is_due(lifetime, now_ms)) {
        return Ok(None);
    }
    let authority = cluster.keys().cluster_ca(&view).map_err(|error| error.to_string())?;
    let made = certificates::client_traffic(&authority, hosts.to_vec(), clock::wall_ms(), lifetime);
    let KeyAndCertificate { certificate, private_key } = made.map_err(|error| error.to_string())?;
    let validity = Validity::of(&certificate).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(private_key.expose().to_vec()));
    let shown = certified(vec![certificate, ca.clone()], key).map_err(|error| error.to_string())?;
    Ok(Some((shown, (ca, validity))))
}

/// Checks that key and certificate belong together.
fn certified(chain: Vec<Vec<u8>>, key: PrivateKeyDer<'static>) -> Result<CertifiedKey, rustls::Error> {
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    CertifiedKey::from_der(chain, key, &provider())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The names and addresses by which clients may call this node.
fn hosts(settings: &NodeSettings) -> Vec<String> {
    let authority = settings.http_advertise.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => authority,
    };
    let listen = settings.http_listen.ip();
    let mut hosts = vec![host.trim_matches(['[', ']']).to_owned()];
    if !listen.is_unspecified() {
        hosts.push(listen.to_string());
    }
    hosts.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let mut seen = std::collections::BTreeSet::new();
    hosts.retain(|host| !host.is_empty() && seen.insert(host.clone()));
    hosts
}

#[cfg(test)]
mod tests {
    use super::{OperatorFiles, TlsProblem, hosts};
    use crate::certificates;
    use crate::home::settings::NodeSettings;
    use std::path::Path;
    use std::time::Duration;

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn a_certificate_names_every_way_to_call_the_node() {
        let text = "http: {listen: '10.0.0.1:1', advertise: 'https://node1.example:8040/'}";
        let settings = NodeSettings::parse(Path::new("f"), text, &|_| None).unwrap();
        assert_eq!(hosts(&settings), ["node1.example", "10.0.0.1", "localhost", "127.0.0.1", "::1"]);
    }

    #[test]
    fn the_operators_files_must_belong_together() {
        let folder = tempfile::tempdir().unwrap();
        let files =
            OperatorFiles { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
        assert!(files.load().err().unwrap().to_string().contains("c.pem is missing"));
        let write = |certificate: &str, key: &[u8]| {
            std::fs::write(&files.certificate, certificate).unwrap();
            std::fs::write(&files.key, key).unwrap();
        };
        let one = certificates::cluster_ca("jfrt@01", NOW_MS, Duration::from_hours(1)).unwrap();
        let other = certificates::cluster_ca("jfrt@01", NOW_MS, Duration::from_hours(1)).unwrap();
        let (certificate, key) = (
            certificates::certificate_pem(&one.certificate),
            certificates::private_key_pem(&one.private_key),
        );
        write(&certificate, key.expose());
        let (seen, _) = files.load().unwrap_or_else(|error| panic!("{error}"));
        assert!(files.load().is_ok_and(|(again, _)| again == seen));
        write(&certificate, certificates::private_key_pem(&other.private_key).expose());
        assert!(matches!(files.load(), Err(TlsProblem::Unusable(_))));
        write("nothing", key.expose());
        assert!(matches!(files.load(), Err(TlsProblem::Damaged { file, .. }) if file == files.certificate));
        write(&certificate, b"nothing");
        assert!(matches!(files.load(), Err(TlsProblem::Damaged { file, .. }) if file == files.key));
    }
}
