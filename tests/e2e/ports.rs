//! Free ports in the place of those in a node's settings.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

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

/// The ports from here on lie below those that the system gives out by itself: a node that is down for a while finds its
/// own one free again.
const FIRST: u16 = 20_000;
/// Every process of tests begins somewhere else, in steps of this.
const STEP: u16 = 25;

static TAKEN: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on at the moment.
fn free_port() -> u16 {
    consecutive_ports(1)
}

/// The first of several such ports in a row.
pub(crate) fn consecutive_ports(count: u16) -> u16 {
    let spread = u16::try_from(std::process::id() % 400).expect("below 400") * STEP;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let first = FIRST + spread + TAKEN.fetch_add(count, Ordering::Relaxed) % 2_000;
        if (first..first + count).all(is_free) {
            return first;
        }
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
