//! Cutting the leader off from its peers, while clients still reach it: packet filter rules where its process lives.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::process::{Command, Stdio};

use super::fleet::{Fleet, Member};
use super::process::Process;

/// The table that holds the rules; it is deleted when the partition ends.
const TABLE: &str = "inet circlet_drill";

/// A node that is cut off from its peers until this is dropped.
pub(super) struct Partition {
    namespace: String,
}

impl Partition {
    /// Cuts `leader` off, whose process runs on this machine. Needs root and nft, and peers at addresses other than the
    /// leader's: on one address, its connections can't be told from theirs.
    pub(super) fn of(leader: &Member, process: &Process, fleet: &Fleet) -> Result<Self, String> {
        let own = resolved(&leader.peer)?;
        let others: Vec<SocketAddr> = fleet
            .nodes()
            .iter()
            .filter(|member| member.id != leader.id)
            .map(|member| resolved(&member.peer))
            .collect::<Result<_, _>>()?;
        if let Some(shared) = others.iter().find(|other| other.ip() == own.ip()) {
            return Err(format!("{} and a peer of it share the address {}", leader.name, shared.ip()));
        }
        let partition = Self { namespace: format!("--net=/proc/{}/ns/net", process.id()) };
        partition.apply(&rules(own, &others))?;
        Ok(partition)
    }

    /// Has nft read rules, in the network of the process.
    fn apply(&self, rules: &str) -> Result<(), String> {
        let mut child = Command::new("nsenter")
            .args([&self.namespace, "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("nsenter: {error}"))?;
        if let Some(mut pipe) = child.stdin.take() {
            pipe.write_all(rules.as_bytes()).map_err(|error| format!("nft: {error}"))?;
        }
        let output = child.wait_with_output().map_err(|error| format!("nft: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("nft: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        // If the process is gone, its network may be gone with it.
        let _ = self.apply(&format!("delete table {TABLE}\n"));
    }
}

fn resolved(peer: &str) -> Result<SocketAddr, String> {
    let mut found = peer.to_socket_addrs().map_err(|error| format!("{peer}: {error}"))?;
    found.next().ok_or_else(|| format!("{peer} has no address"))
}

/// Drops what peers send to the leader's peer port and what it answers, and what it sends to theirs and they answer.
fn rules(own: SocketAddr, others: &[SocketAddr]) -> String {
    let family = |address: IpAddr| if address.is_ipv4() { "ip" } else { "ip6" };
    let each = |rule: &dyn Fn(&str, &SocketAddr) -> String| -> String {
        others.iter().map(|other| rule(family(other.ip()), other)).collect()
    };
    let answers =
        each(&|family, other| format!("    {family} saddr {} tcp sport {} drop\n", other.ip(), other.port()));
    let requests =
        each(&|family, other| format!("    {family} daddr {} tcp dport {} drop\n", other.ip(), other.port()));
    let incoming = format!("    tcp dport {} drop\n{answers}", own.port());
    let outgoing = format!("    tcp sport {} drop\n{requests}", own.port());
    let chain = |hook: &str, rules: &str| {
        format!("  chain {hook} {{\n    type filter hook {hook} priority 0; policy accept;\n{rules}  }}\n")
    };
    format!("table {TABLE} {{\n{}{}}}\n", chain("input", &incoming), chain("output", &outgoing))
}

#[cfg(test)]
mod tests {
    use super::rules;

    #[test]
    fn both_directions_of_both_kinds_of_connections_are_cut() {
        let address = |text: &str| text.parse().expect("an address");
        let text = rules(address("10.0.0.1:8444"), &[address("10.0.0.2:8445"), address("[fd00::3]:8446")]);
        for rule in [
            "tcp dport 8444 drop",
            "tcp sport 8444 drop",
            "ip saddr 10.0.0.2 tcp sport 8445 drop",
            "ip daddr 10.0.0.2 tcp dport 8445 drop",
            "ip6 daddr fd00::3 tcp dport 8446 drop",
        ] {
            assert!(text.contains(rule), "{rule}: {text}");
        }
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
}
