//! This node and the others: whether they answer, what they lack, what time they have.

use std::time::Duration;

use circlet_authority::NodeRecord;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Finding;
use crate::client::{Client, Credential, Server};
use crate::clock;
use crate::home::settings::NodeSettings;
use crate::home::{self, Identity, Paths};

const CLOCK: &str = "clock";
const NODE: &str = "node";
const PEERS: &str = "peers";
/// Whoever takes longer is not there.
const WAIT: Duration = Duration::from_secs(3);
/// A clock that is off by so much, in milliseconds, is to be set; by five seconds, its node may not lead.
const CLOCK_OFF_MS: i64 = 1_000;
const FIREWALL: &str = "is it running? If so, see to firewalls and addresses between the nodes";

/// A member as the node has last written it down, in `data/members.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownMember {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) peer_address: String,
    pub(crate) client_url: String,
}

impl KnownMember {
    /// What is written down of a node.
    pub(crate) fn of(node: &NodeRecord) -> Self {
        Self {
            id: node.id,
            name: node.name.clone(),
            peer_address: node.peer_address.clone(),
            client_url: node.client_url.clone(),
        }
    }
}

/// What a node says of itself.
struct Answer {
    readiness: Value,
    /// How far its clock is ahead of ours, in milliseconds; half of the question's time is on its way.
    ahead_ms: Option<i64>,
}

pub(super) async fn look(paths: &Paths, settings: Option<&NodeSettings>, findings: &mut Vec<Finding>) {
    let identity = Identity::read_if_present(paths).ok().flatten();
    if let Some(settings) = settings {
        own(paths, settings, findings).await;
    }
    let Some(identity) = identity else { return };
    let others: Vec<KnownMember> =
        members(paths, &identity).into_iter().filter(|member| member.id != identity.node_id).collect();
    if others.is_empty() {
        let alone =
            "two more nodes let the cluster survive the loss of one: circlet cluster token, circlet join";
        findings.push(Finding::warning(PEERS, "no other node is known", alone));
        return;
    }
    let asked = others.iter().map(|member| async move {
        let reached = timeout(WAIT, TcpStream::connect(&member.peer_address)).await;
        let reached =
            reached.map_or(Err("no answer in time".to_owned()), |tried| tried.map_err(|e| e.to_string()));
        (member, reached.map(drop), ask(paths, &member.client_url).await)
    });
    let mut offsets = Vec::new();
    for (member, reached, answer) in futures::future::join_all(asked).await {
        findings.push(of_peer(member, reached, answer.as_ref()));
        offsets.extend(
            answer.and_then(|answer| answer.ahead_ms).map(|ahead_ms| (member.name.clone(), ahead_ms)),
        );
    }
    clocks(&offsets, findings);
}

/// The members that the node has written down, or those that it was told of when it joined.
fn members(paths: &Paths, identity: &Identity) -> Vec<KnownMember> {
    let written = home::read(&paths.members(), "it says which nodes there are").ok();
    let written = written.and_then(|bytes| serde_json::from_slice::<Vec<KnownMember>>(&bytes).ok());
    written.unwrap_or_else(|| {
        let told = identity.introduced.iter().cloned();
        told.map(|other| KnownMember {
            id: other.id,
            name: other.name,
            peer_address: other.peer_address,
            client_url: other.client_url,
        })
        .collect()
    })
}

/// Whether the node of this home runs, and what it lacks.
async fn own(paths: &Paths, settings: &NodeSettings, findings: &mut Vec<Finding>) {
    let scheme = if settings.is_https() { "https" } else { "http" };
    let listen = settings.http_listen;
    let here = if listen.ip().is_unspecified() {
        settings.http_advertise.clone()
    } else {
        format!("{scheme}://{listen}")
    };
    let Some(answer) = ask(paths, &here).await else {
        findings.push(Finding::problem(
            NODE,
            format!("the node of this home does not answer at {here}"),
            "start it (systemctl start circlet, or circlet serve), and read the end of its log if it does not stay",
        ));
        return;
    };
    let missing = answer.readiness["missing"].as_array().cloned().unwrap_or_default();
    if missing.is_empty() {
        findings.push(Finding::fine(NODE, "the node of this home runs, and lacks nothing"));
    }
    for lacks in missing {
        let text = |key: &str| lacks[key].as_str().unwrap_or_default().to_owned();
        let found = format!("the node of this home runs, but: {} ({})", text("why"), text("condition"));
        findings.push(Finding::problem(NODE, found, text("hint")));
    }
}

fn of_peer(member: &KnownMember, reached: Result<(), String>, answer: Option<&Answer>) -> Finding {
    let name = &member.name;
    match (reached, answer) {
        (Ok(()), Some(answer)) if answer.readiness["ready"] == true => Finding::fine(
            PEERS,
            format!("{name} answers its peers at {} and its clients", member.peer_address),
        ),
        (Ok(()), Some(_)) => Finding::warning(
            PEERS,
            format!("{name} answers, but is not ready"),
            format!("look there: curl {}/readyz", member.client_url),
        ),
        (Ok(()), None) => Finding::warning(
            PEERS,
            format!("{name} answers its peers, but not its clients at {}", member.client_url),
            "its clients may have another way to it; else see to firewalls, and to its certificate",
        ),
        (Err(why), Some(_)) => Finding::problem(
            PEERS,
            format!("{name} runs, but can't be reached by its peers at {}: {why}", member.peer_address),
            FIREWALL,
        ),
        (Err(why), None) => Finding::problem(
            PEERS,
            format!("{name} can't be reached at {}: {why}", member.peer_address),
            FIREWALL,
        ),
    }
}

/// Our clock against those of the others: if most of them differ from it, it is ours that is off.
fn clocks(offsets: &[(String, i64)], findings: &mut Vec<Finding>) {
    let off: Vec<&(String, i64)> = offsets.iter().filter(|(_, ms)| ms.abs() > CLOCK_OFF_MS).collect();
    let remedy = "set it, and see to it that it is kept right (chrony, systemd-timesyncd): at five seconds a node may not lead";
    match off.as_slice() {
        [] if offsets.is_empty() => {}
        [] => {
            findings.push(Finding::fine(CLOCK, "the clocks of the nodes that answer agree within a second"));
        }
        many if many.len() * 2 > offsets.len() => {
            let mut all: Vec<i64> = offsets.iter().map(|(_, ms)| *ms).collect();
            all.sort_unstable();
            let median = all.get(all.len() / 2).copied().unwrap_or(0);
            findings.push(Finding::problem(
                CLOCK,
                format!("the clock of this machine is {} ms ahead of the others'", -median),
                remedy,
            ));
        }
        few => findings.extend(few.iter().map(|(name, ms)| {
            Finding::problem(CLOCK, format!("the clock of {name} is {ms} ms ahead of this machine's"), remedy)
        })),
    }
}

/// What a node tells everybody about itself. Its certificate is the cluster's or the operator's.
async fn ask(paths: &Paths, url: &str) -> Option<Answer> {
    let ca = paths.ca_crt();
    for ca_file in [Some(ca.as_path()), None] {
        let server = Server::new(url, ca_file.filter(|_| url.starts_with("https"))).ok()?;
        let client = Client::new(server, Credential::Anonymous);
        let asked = clock::wall_ms();
        let Ok(Ok(answer)) = timeout(WAIT, client.ask(Method::GET, "/readyz", None)).await else { continue };
        let middle = asked / 2 + clock::wall_ms() / 2;
        let readiness = answer.json().ok()?;
        let theirs = readiness["wall_ms"].as_u64();
        let ahead_ms = theirs.and_then(|theirs| i64::try_from(i128::from(theirs) - i128::from(middle)).ok());
        return Some(Answer { readiness, ahead_ms });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::clocks;

    #[test]
    fn the_clock_that_differs_from_most_is_the_wrong_one() {
        let told = |offsets: &[(&str, i64)]| {
            let offsets: Vec<(String, i64)> =
                offsets.iter().map(|(name, ms)| ((*name).to_owned(), *ms)).collect();
            let mut findings = Vec::new();
            clocks(&offsets, &mut findings);
            findings.into_iter().map(|finding| finding.found).collect::<Vec<_>>().join("; ")
        };
        assert!(told(&[("b", -7_000), ("c", -7_100)]).contains("this machine is 7000 ms ahead"));
        assert!(told(&[("b", 20), ("c", 9_000), ("d", 3)]).contains("clock of c is 9000 ms ahead"));
        assert!(told(&[("b", 20)]).contains("agree"));
        assert_eq!(told(&[]), "");
    }
}
