//! Free ports in the place of those in a node's settings.

use std::collections::BTreeMap;
use std::sync::Mutex;

#[path = "../support/ports.rs"]
mod claimed;

pub(crate) use claimed::consecutive_ports;
use claimed::free_port;

const ADDRESS: &str = "127.0.0.1:";

/// Which port stands for which: the same one in every file of a cluster.
#[derive(Default)]
pub(crate) struct Ports(Mutex<BTreeMap<String, u16>>);

impl Ports {
    /// The text with every port on 127.0.0.1 replaced by a free one.
    pub(crate) fn substituted(&self, text: &str) -> String {
        let mut parts = text.split(ADDRESS);
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.chars().take_while(char::is_ascii_digit).count();
            let (port, rest) = part.split_at(digits);
            result.push_str(ADDRESS);
            result.push_str(&self.port_for(port).to_string());
            result.push_str(rest);
        }
        result
    }

    fn port_for(&self, written: &str) -> u16 {
        *self.0.lock().expect("no panic while held").entry(written.to_owned()).or_insert_with(free_port)
    }
}

#[test]
fn every_port_is_replaced_and_the_same_one_by_the_same() {
    let ports = Ports::default();
    let text = "http: 127.0.0.1:8081\npeer: 127.0.0.1:8181\nagain: 127.0.0.1:8081 end";
    let lines = ports.substituted(text);
    let lines: Vec<&str> = lines.lines().collect();
    assert!(!lines[0].ends_with("8081"), "{lines:?}");
    assert_eq!(
        lines[0].trim_start_matches("http: "),
        lines[2].trim_start_matches("again: ").trim_end_matches(" end")
    );
    assert_ne!(lines[0].rsplit(':').next(), lines[1].rsplit(':').next());
}
