//! The new node's side of joining: knock, and write the home.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use circlet_raft::{Doorkeeper, Identity as PeerIdentity, KnockError, knock};
use zeroize::Zeroizing;

use super::messages::{JoinAnswer, JoinRequest, Means, read_answer, write_request};
use crate::certificates::{self, CertificateProblem};
use crate::clock;
use crate::home::settings::NodeSettings;
use crate::home::{self, Home, HomeError, Identity, Paths};
use crate::join_key;
use crate::join_token::JoinToken;
use crate::node::opening;
use crate::seal::MasterKey;
use crate::secret::Secret;

/// Between two rounds of knocking, while nobody answers.
const RETRY: Duration = Duration::from_secs(1);
/// So long those who answer may show certificates of another CA than the join token names: after a change of the CA each
/// node gives itself a new one within moments, and the token may be there first.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(10);

/// What a node joins with.
pub struct Joining {
    /// Where it shall live.
    pub home: PathBuf,
    /// Its settings that differ from the default, as `node.yml` names them.
    pub chosen: Vec<(&'static str, String)>,
    /// What lets it in.
    pub invitation: Invitation,
    /// It never votes: one more node that issues and verifies, and makes no decision slower.
    pub learner: bool,
}

/// What lets a node in.
pub enum Invitation {
    /// A join token.
    Token(JoinToken),
    /// The files `join.key` and `master.key` of its home, at the addresses of its settings.
    Key,
}

/// The same, with all that it takes.
enum Credential {
    Token(JoinToken),
    Key { addresses: Vec<String>, secret: Secret, master: MasterKey },
}

impl Credential {
    fn addresses(&self) -> &[String] {
        match self {
            Self::Token(token) => &token.addresses,
            Self::Key { addresses, .. } => addresses,
        }
    }

    fn secret(&self) -> &Secret {
        match self {
            Self::Token(token) => &token.secret,
            Self::Key { secret, .. } => secret,
        }
    }

    fn doorkeeper(&self) -> Doorkeeper {
        match self {
            Self::Token(token) => Doorkeeper::SignedBy(token.ca_fingerprint),
            Self::Key { .. } => Doorkeeper::Anybody,
        }
    }

    fn frame(&self, exporter: &[u8; 32], request: &JoinRequest) -> Vec<u8> {
        match self {
            Self::Token(token) => write_request(Means::Token(token.id), &token.secret, exporter, request),
            Self::Key { secret, master, .. } => {
                write_request(Means::Key, secret, exporter, &request.with_master_key(master, exporter))
            }
        }
    }
}

/// A node that has joined; its home can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Its id, for ever.
    pub node_id: u64,
    /// Its name.
    pub name: String,
    /// The cluster.
    pub service_id: String,
    /// The URL at which clients will reach it.
    pub url: String,
}

/// Why a node did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The home can't be one.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A key or a certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] CertificateProblem),
    /// There is a join key, and nowhere to ask.
    #[error("{} has a join key, but the settings name no join.addresses", .home.display())]
    NoAddress {
        /// The home of the node.
        home: PathBuf,
    },
    /// None of the addresses answered as the cluster would.
    #[error("no node of the cluster could be reached: {0}")]
    Unreachable(String),
    /// Whoever answered shows no certificate of the CA that the join token names.
    #[error("no node of the cluster was found: {0}")]
    Stranger(String),
    /// The cluster said no.
    #[error("the cluster refused: {0}")]
    Refused(String),
    /// Whoever answered doesn't know the secret of the token or the join key, or speaks another version.
    #[error("{0} answered, but did not prove that it belongs to the cluster")]
    NotProved(String),
}

/// Knocks at the addresses until one answers, and writes the home of the new node. May be repeated after a
/// failure: the node's key, which the cluster has then recorded, is kept.
pub async fn join(joining: Joining) -> Result<Joined, JoinError> {
    let home = Home::found(&joining.home)?;
    let paths = &home.paths;
    let settings = home::settings::write_or_read(paths, &joining.chosen)?;
    let key = node_key(paths)?;
    let public_key = certificates::public_key(&key)?;
    let mut request =
        JoinRequest::new(&settings.name, &settings.peer_advertise, &settings.http_advertise, &public_key);
    request.learner = joining.learner;
    let credential = match joining.invitation {
        Invitation::Token(token) => Credential::Token(token),
        Invitation::Key => placed_keys(paths, &settings)?,
    };
    let answer = patiently(STRANGERS_PATIENCE, RETRY, || ask_any(&credential, &key, &request)).await?;
    let identity = write_home(paths, &key, &credential, &answer)?;
    Ok(Joined {
        node_id: identity.node_id,
        name: settings.name,
        service_id: identity.service_id,
        url: settings.http_advertise,
    })
}

/// Joins by the keys that were placed in a home, and waits as long as no node of the cluster answers: machines that are
/// set up by files start in any order.
pub async fn join_by_key(home: &Path) -> Result<Joined, JoinError> {
    loop {
        let joining = Joining {
            home: home.to_owned(),
            chosen: Vec::new(),
            invitation: Invitation::Key,
            learner: false,
        };
        match join(joining).await {
            Err(JoinError::Unreachable(why)) => {
                tracing::warn!(%why, "no node of the cluster to join answers yet");
                tokio::time::sleep(RETRY).await;
            }
            ended => return ended,
        }
    }
}

fn placed_keys(paths: &Paths, settings: &NodeSettings) -> Result<Credential, JoinError> {
    if settings.join_addresses.is_empty() {
        return Err(JoinError::NoAddress { home: paths.root().to_owned() });
    }
    Ok(Credential::Key {
        addresses: settings.join_addresses.clone(),
        secret: join_key::read(paths)?,
        master: opening::master_key(paths)?,
    })
}

async fn ask_any(
    credential: &Credential,
    key: &Secret,
    request: &JoinRequest,
) -> Result<JoinAnswer, JoinError> {
    let (mut failures, mut strangers) = (Vec::new(), false);
    for address in credential.addresses() {
        match ask(address, credential, key, request).await {
            Ok(answer) => return Ok(answer),
            Err(JoinError::Unreachable(why)) => failures.push(why),
            Err(JoinError::Stranger(why)) => {
                strangers = true;
                failures.push(why);
            }
            Err(error) => return Err(error),
        }
    }
    let why = failures.join("; ");
    Err(if strangers { JoinError::Stranger(why) } else { JoinError::Unreachable(why) })
}

/// Asks again as long as only strangers answer, up to `patience`.
async fn patiently<T>(
    patience: Duration,
    pause: Duration,
    ask: impl AsyncFn() -> Result<T, JoinError>,
) -> Result<T, JoinError> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(JoinError::Stranger(why)) if begun.elapsed() < patience => {
                tracing::warn!(%why, "another CA's certificate is shown; it may be about to be replaced");
                tokio::time::sleep(pause).await;
            }
            ended => return ended,
        }
    }
}

async fn ask(
    address: &str,
    credential: &Credential,
    key: &Secret,
    request: &JoinRequest,
) -> Result<JoinAnswer, JoinError> {
    let stranger = PeerIdentity {
        node_id: 0,
        certificate_chain: vec![certificates::stranger_certificate(key, clock::wall_ms())?],
        private_key: Zeroizing::new(key.expose().to_vec()),
        service_id: String::new(),
        generation: 0,
    };
    let session = Mutex::new([0; 32]);
    let make_request = |exporter: [u8; 32]| {
        *session.lock().unwrap_or_else(PoisonError::into_inner) = exporter;
        credential.frame(&exporter, request)
    };
    let answer = knock(address, credential.doorkeeper(), &stranger, make_request).await;
    let answer = answer.map_err(|error| match error {
        KnockError::Refused(why) => JoinError::Refused(why),
        error @ KnockError::Unreachable { .. } => JoinError::Unreachable(error.to_string()),
        error @ KnockError::Stranger { .. } => JoinError::Stranger(error.to_string()),
    })?;
    let exporter = *session.lock().unwrap_or_else(PoisonError::into_inner);
    read_answer(&Secret::new(answer), credential.secret(), &exporter)
        .ok_or_else(|| JoinError::NotProved(address.to_owned()))
}

/// The key of an attempt that was broken off is used again, since the cluster may have recorded it.
fn node_key(paths: &Paths) -> Result<Secret, JoinError> {
    match opening::node_key(paths) {
        Ok(key) => Ok(key),
        Err(HomeError::Missing { .. }) => {
            let key = certificates::node_key()?;
            home::write_secret(&paths.node_key(), certificates::private_key_pem(&key).expose())?;
            Ok(key)
        }
        Err(error) => Err(error.into()),
    }
}

fn write_home(
    paths: &Paths,
    key: &Secret,
    credential: &Credential,
    answer: &JoinAnswer,
) -> Result<Identity, JoinError> {
    let garbled = || JoinError::Refused("the answer of the cluster is garbled".to_owned());
    let ca_certificate = answer.ca_certificate().ok_or_else(garbled)?;
    let node_certificate = answer.node_certificate().ok_or_else(garbled)?;
    // Who joins by key has shown that its master key is the cluster's.
    if let Credential::Token(_) = credential {
        let master_key = MasterKey::from_material(answer.master_key().ok_or_else(garbled)?);
        home::write_secret(&paths.master_key(), master_key.to_text().expose())?;
    }
    opening::write_node_files(paths, key, &node_certificate, &ca_certificate)?;
    let identity = Identity {
        node_id: answer.node_id,
        service_id: answer.service_id.clone(),
        generation: answer.generation,
        log_begun: false,
        introduced: answer.members.clone(),
    };
    // Last: it makes the home one.
    identity.write(paths)?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::{JoinError, patiently};

    #[tokio::test]
    async fn strangers_are_asked_again_for_a_while_and_nobody_else_is() {
        let asked = Cell::new(0);
        let ask = async |until: u32, failure: fn() -> JoinError| {
            asked.set(asked.get() + 1);
            if asked.get() < until { Err(failure()) } else { Ok(asked.get()) }
        };
        let stranger = || JoinError::Stranger(String::new());
        let unreachable = || JoinError::Unreachable(String::new());
        let pause = Duration::from_millis(1);
        let patience = Duration::from_mins(1);
        assert!(matches!(patiently(patience, pause, || ask(3, stranger)).await, Ok(3)));
        asked.set(0);
        let ended = patiently(Duration::ZERO, pause, || ask(3, stranger)).await;
        assert!(matches!(ended, Err(JoinError::Stranger(_))) && asked.get() == 1);
        asked.set(0);
        let ended = patiently(patience, pause, || ask(3, unreachable)).await;
        assert!(matches!(ended, Err(JoinError::Unreachable(_))) && asked.get() == 1);
    }
}
