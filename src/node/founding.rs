//! Founds a cluster: one node, its keys, its first administrator, and a home that `circlet serve` can open.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{
    Action, Actor, Bootstrap, ClusterCa, Command, Config, FirstAdministrator, KeyOrigin, NodeRecord, Outcome,
    PasswordChange, PutMode, PutUser, SealedKind,
};
use circlet_raft::{MemberError, OpenError, ProposeError, Raft};
use circlet_token::{Algorithm, CertificateError, KeyId, ServiceId, SigningKey, UserName, read_certificate};

use super::opening;
use crate::certificates::{self, CertificateProblem, KeyAndCertificate, TokenKeyKind};
use crate::clock;
use crate::feature_level;
use crate::home::settings::{self, NodeSettings};
use crate::home::{self, Home, HomeError, Identity, Paths};
use crate::keys;
use crate::machine::{self, Authority};
use crate::password;
use crate::seal::MasterKey;
use crate::secret::Secret;

/// The id of a cluster's first node: ids are log indexes of admissions, and none of those is the first entry.
const FOUNDER: u64 = 1;
/// The generation of a cluster that was never restored.
const GENERATION: u64 = 1;

/// What a new cluster is founded with.
pub struct Founding {
    /// Where its first node shall live.
    pub home: PathBuf,
    /// The settings of that node that differ from the default, as `node.yml` names them.
    pub chosen: Vec<(&'static str, String)>,
    /// Where its token key comes from.
    pub token_key: TokenKey,
    /// The service id, if it isn't drawn or read from the certificate.
    pub service_id: Option<ServiceId>,
    /// The first administrators; at least one.
    pub administrators: Vec<Administrator>,
}

/// Where the token key of a new cluster comes from.
pub enum TokenKey {
    /// Made for it.
    Generate(TokenKeyKind),
    /// Of another installation, whose heir the cluster is.
    Adopt {
        /// The certificate's file.
        certificate: PathBuf,
        /// The private key's file.
        private_key: PathBuf,
        /// Whether it must say whose key it is: it is another installation's, and not one made for this cluster.
        named: bool,
    },
}

/// One of the first administrators of a new cluster.
pub struct Administrator {
    /// The user name.
    pub name: UserName,
    /// The mail address.
    pub email: String,
    /// The password.
    pub password: Secret,
}

/// What was founded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founded {
    /// The cluster.
    pub service_id: ServiceId,
    /// The id of its token key.
    pub key_id: KeyId,
    /// How it signs.
    pub algorithm: Algorithm,
    /// The id of its first node.
    pub node_id: u64,
    /// The URL at which clients will reach that node.
    pub url: String,
}

/// Why no cluster was founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// The home can't be one.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateProblem),
    /// The certificate to adopt is none.
    #[error("{}: {source}", file.display())]
    Adopted {
        /// The certificate's file.
        file: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The key to adopt is none, or of another certificate.
    #[error("{}: {why}", file.display())]
    AdoptedKey {
        /// The key's file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Neither the certificate nor the caller says whose key it is.
    #[error("{} has no service id in its common name", file.display())]
    Nameless {
        /// The certificate's file.
        file: PathBuf,
    },
    /// Nobody could ever log in.
    #[error("a cluster needs an administrator")]
    NobodyInCharge,
    /// The log could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log did not start.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The first entry was not accepted.
    #[error(transparent)]
    Propose(#[from] ProposeError),
    /// The first entry was refused.
    #[error("the first entry of the log was refused: {0}")]
    Refused(String),
}

/// Founds a cluster. If that fails, nothing of the node is left in the home but the files given by the operator.
pub async fn found(founding: Founding) -> Result<Founded, FoundingError> {
    let token_key = TokenPair::prepare(&founding.token_key, founding.service_id.as_ref())?;
    let home = Home::found(&founding.home)?;
    let founded = found_in(&home, founding, token_key).await;
    if founded.is_err() {
        // The next attempt shall not find half a log; why this one failed is what counts.
        let _ = std::fs::remove_dir_all(home.paths.data());
    }
    founded
}

async fn found_in(home: &Home, founding: Founding, token_key: TokenPair) -> Result<Founded, FoundingError> {
    let paths = &home.paths;
    let now_ms = clock::wall_ms();
    let service_id = token_key.service_id.clone();
    let settings = settings::write_or_read(paths, &founding.chosen)?;
    let master = opening::master_key_or_new(paths)?;
    let config = Config::default();
    let lives = |secs: i64| Duration::from_secs(u64::try_from(secs).unwrap_or(0));
    let ca = certificates::cluster_ca(service_id.as_str(), now_ms, lives(config.ca_lifetime))?;
    let node_key = certificates::node_key()?;
    let public_key = certificates::public_key(&node_key)?;
    let node_certificate = certificates::node_certificate(
        &ca,
        &public_key,
        &settings.name,
        service_id.as_str(),
        now_ms,
        lives(config.certificate_lifetime),
    )?;
    home::write_public(
        &paths.root_crt(),
        certificates::certificate_pem(&token_key.pair.certificate).as_bytes(),
    )?;
    opening::write_node_files(paths, &node_key, &node_certificate, &ca.certificate)?;

    let founder = NodeRecord {
        id: FOUNDER,
        name: settings.name.clone(),
        peer_address: settings.peer_advertise.clone(),
        client_url: settings.http_advertise.clone(),
        public_key: certificates::pin(&public_key),
    };
    let identity = Identity {
        node_id: FOUNDER,
        service_id: service_id.as_str().to_owned(),
        generation: GENERATION,
        log_begun: true,
        introduced: Vec::new(),
    };
    let (first, others) = founding.administrators.split_first().ok_or(FoundingError::NobodyInCharge)?;
    let bootstrap = Action::Bootstrap(Box::new(token_key.bootstrap(&master, &ca, founder.clone(), first)));
    let actions = std::iter::once(bootstrap).chain(others.iter().map(put_administrator)).collect();
    write_first_entries(paths, &settings, &identity, founder, actions).await?;
    // Last: it makes the home one.
    identity.write(paths)?;
    Ok(Founded {
        service_id,
        key_id: token_key.key_id,
        algorithm: token_key.algorithm,
        node_id: FOUNDER,
        url: settings.http_advertise,
    })
}

fn put_administrator(administrator: &Administrator) -> Action {
    let mut user = PutUser::new(administrator.name.clone(), PutMode::CreateOrUpdate);
    user.email = Some(administrator.email.clone());
    user.password = PasswordChange::Set(password::hash_now(&administrator.password));
    user.admin = Some(true);
    Action::PutUser(Box::new(user))
}

/// Starts the log with this node alone, writes the first entries, and closes it again.
async fn write_first_entries(
    paths: &Paths,
    settings: &NodeSettings,
    identity: &Identity,
    founder: NodeRecord,
    actions: Vec<Action>,
) -> Result<(), FoundingError> {
    let options = opening::Opening {
        paths,
        settings,
        identity,
        // Nobody needs to reach the node yet, and its port may be in use by what it replaces.
        listen: "127.0.0.1:0".to_owned(),
        gate: Arc::new(opening::ClosedGate),
        accept_clock: false,
    }
    .options()?;
    let raft = Raft::<Authority>::open(options).await?;
    let written = async {
        raft.initialize(machine::peer(&founder)).await?;
        for action in actions {
            let command = Command { actor: Actor::System, action };
            let committed = raft.propose(command.encode()).await?;
            match Outcome::decode(&committed.outcome) {
                Ok(Outcome::Done) => {}
                Ok(Outcome::Refused(refusal)) => return Err(FoundingError::Refused(refusal.to_string())),
                Ok(other) => return Err(FoundingError::Refused(format!("{other:?}"))),
                Err(error) => return Err(FoundingError::Refused(error.to_string())),
            }
        }
        Ok(())
    }
    .await;
    raft.shutdown().await;
    written
}

/// The token key of the new cluster, and whose it is.
struct TokenPair {
    service_id: ServiceId,
    key_id: KeyId,
    algorithm: Algorithm,
    public_key: Vec<u8>,
    origin: KeyOrigin,
    pair: KeyAndCertificate,
}

impl TokenPair {
    fn prepare(source: &TokenKey, service_id: Option<&ServiceId>) -> Result<Self, FoundingError> {
        match source {
            TokenKey::Generate(kind) => {
                let service_id = service_id.cloned().unwrap_or_else(new_service_id);
                let pair = certificates::token_issuer(*kind, service_id.as_str(), clock::wall_ms())?;
                let made = Path::new("the new certificate");
                Self::read(made, made, pair, KeyOrigin::Made, Some(&service_id))
            }
            TokenKey::Adopt { certificate, private_key, .. } => {
                let text = home::read_secret(private_key, "it holds the private key to adopt")?;
                let key = text.expose_text().ok_or("it is not PEM".to_owned());
                let key = key.and_then(|text| SigningKey::from_pem(text).map_err(|error| error.to_string()));
                let key = key.map_err(|why| FoundingError::AdoptedKey { file: private_key.clone(), why })?;
                let pem = home::read(certificate, "it holds the certificate to adopt")?;
                let der = match certificates::read_certificates(&pem) {
                    Ok(certificates) => certificates.into_iter().next().unwrap_or_default(),
                    // Some installations hand out bare DER.
                    Err(_) => pem,
                };
                let pair = KeyAndCertificate {
                    certificate: der,
                    private_key: Secret::new(key.to_pkcs8_der().to_vec()),
                };
                Self::read(certificate, private_key, pair, KeyOrigin::Adopted, service_id)
            }
        }
    }

    fn read(
        certificate: &Path,
        private_key: &Path,
        pair: KeyAndCertificate,
        origin: KeyOrigin,
        service_id: Option<&ServiceId>,
    ) -> Result<Self, FoundingError> {
        let adopted = |source| FoundingError::Adopted { file: certificate.to_owned(), source };
        let facts = read_certificate(&pair.certificate).map_err(adopted)?;
        let unfit = |why: String| FoundingError::AdoptedKey { file: private_key.to_owned(), why };
        let key = SigningKey::from_pkcs8_der(pair.private_key.expose())
            .map_err(|error| unfit(error.to_string()))?;
        if !key.fits(&facts.spki_der) {
            return Err(unfit(format!("it is not the key of the certificate {}", certificate.display())));
        }
        let named = service_id.cloned().or_else(|| facts.issuer.clone());
        let service_id = named.ok_or_else(|| FoundingError::Nameless { file: certificate.to_owned() })?;
        Ok(Self {
            service_id,
            key_id: facts.key_id,
            algorithm: facts.algorithm,
            public_key: facts.spki_der,
            origin,
            pair,
        })
    }

    fn bootstrap(
        &self,
        master: &MasterKey,
        ca: &KeyAndCertificate,
        founder: NodeRecord,
        administrator: &Administrator,
    ) -> Bootstrap {
        let seal =
            |kind: SealedKind, secret: &Secret| keys::seal(master, self.service_id.as_str(), &kind, secret);
        Bootstrap {
            service_id: self.service_id.clone(),
            generation: GENERATION,
            kid: self.key_id.clone(),
            algorithm: self.algorithm,
            certificate_der: self.pair.certificate.clone(),
            spki_der: self.public_key.clone(),
            private_key: seal(SealedKind::TokenKey(self.key_id.clone()), &self.pair.private_key),
            origin: self.origin,
            cluster_ca: ClusterCa {
                certificate_der: ca.certificate.clone(),
                private_key: seal(SealedKind::ClusterCa, &ca.private_key),
            },
            refresh_secret: seal(SealedKind::RefreshSecret, &Secret::random(32)),
            master_key_fingerprint: master.fingerprint(),
            administrator: FirstAdministrator {
                name: administrator.name.clone(),
                email: administrator.email.clone(),
                password_hash: password::hash_now(&administrator.password),
            },
            founder,
            config: Config::default(),
            feature_level: feature_level::supported(),
        }
    }
}

/// `jfrt@` and a lower-case ULID: 48 bits of time, 80 random ones, in Crockford's base 32.
pub(crate) fn new_service_id() -> ServiceId {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut random = [0_u8; 16];
    rand::fill(&mut random);
    let bits = u128::from(clock::wall_ms()) << 80 | u128::from_be_bytes(random) >> 48;
    let ulid: String =
        (0..26).rev().map(|digit| char::from(ALPHABET[(bits >> (5 * digit)) as usize & 31])).collect();
    ServiceId::parse(&format!("jfrt@{ulid}")).expect("a ULID after a kind is a service id")
}

#[cfg(test)]
mod tests {
    use super::new_service_id;

    #[test]
    fn new_service_ids_differ_and_sort_by_time() {
        let one = new_service_id();
        let other = new_service_id();
        assert_ne!(one, other);
        assert_eq!(one.kind(), "jfrt");
        assert_eq!(one.ulid().len(), 26);
        assert_eq!(one.ulid()[..5], other.ulid()[..5]);
    }
}
