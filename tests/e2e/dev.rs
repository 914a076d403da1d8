//! `circlet dev`: a cluster with one command, and nothing left of it afterwards.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use super::cluster::Turn;
use super::eventually::eventually;
use super::http::Endpoint;
use super::node::program;
use super::ports::consecutive_ports;
use super::promises::READY_WITHIN;
use super::tokens::{PLAIN_SECS, create};

/// All processes are gone this long after the end was asked for.
const GONE_WITHIN: Duration = Duration::from_mins(2);

/// A running `circlet dev`.
struct Dev {
    process: Child,
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pid(value: &Value) -> Pid {
    let raw = value.as_u64().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    raw.unwrap_or_else(|| panic!("a process id, not {value}"))
}

/// Starts it, and waits for what it puts into the ready file.
async fn start(folder: &Path, port: u16, arguments: &[&str]) -> (Dev, Value) {
    let ready = folder.join("ready.json");
    let process = program()
        .args(["dev", "--output", "json", "--base-port", &port.to_string(), "--ready-file"])
        .arg(&ready)
        .args(arguments)
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut dev = Dev { process };
    let told = eventually(READY_WITHIN * 2, "the cluster is ready", || {
        let ended = dev.process.try_wait().expect("our child");
        assert!(ended.is_none(), "circlet dev ended: {ended:?}");
        let text = std::fs::read_to_string(&ready).ok();
        async move { text.map(|text| serde_json::from_str(&text).expect("JSON, whole")) }
    })
    .await;
    (dev, told)
}

async fn all_gone(nodes: &[Pid]) {
    eventually(GONE_WITHIN, "every node has ended", || async {
        nodes.iter().all(|pid| test_kill_process(*pid).is_err()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_cluster_with_one_command_serves_survives_a_death_and_leaves_nothing() {
    let _turn = Turn::wait().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (mut dev, told) = start(folder.path(), consecutive_ports(6), &[]).await;
    let nodes = told["nodes"].as_array().expect("nodes").clone();
    assert_eq!(nodes.len(), 3);
    let pids: Vec<Pid> = nodes.iter().map(|node| pid(&node["pid"])).collect();
    let endpoint = |number: usize| Endpoint::new(nodes[number]["url"].as_str().expect("a URL"));
    let admin = told["admin"]["access_token"].as_str().expect("a token");
    for issuer in 0..3 {
        let token = create(&endpoint(issuer), admin, PLAIN_SECS, false).await;
        // The group of that scope does not exist here, which an administrator is only told.
        assert_eq!(token.status, 200, "{}", token.text);
        let verdict = endpoint((issuer + 1) % 3).verify(&token.member("access_token")).await;
        assert_eq!(verdict.status, 200, "{}", verdict.text);
    }

    kill_process(pids[0], Signal::KILL).expect("a signal");
    eventually(GONE_WITHIN, "the killed node is gone", || async {
        test_kill_process(pids[0]).is_err().then_some(())
    })
    .await;
    let token = create(&endpoint(1), admin, PLAIN_SECS, false).await;
    assert_eq!(token.status, 200, "{}", token.text);
    assert!(dev.process.try_wait().expect("our child").is_none(), "dev goes on");

    let dev_pid = i32::try_from(dev.process.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(dev_pid, Signal::INT).expect("a signal");
    all_gone(&pids).await;
    let ended = dev.process.wait().expect("our child");
    assert!(ended.success(), "{ended}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder").collect();
    assert!(left.is_empty(), "the temporary home is removed: {left:?}");
}

#[tokio::test]
async fn no_node_outlives_a_killed_parent_and_a_kept_home_is_taken_up_again() {
    let _turn = Turn::wait().await;
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("kept");
    let arguments = ["--nodes", "1", "--home", home.to_str().expect("UTF-8")];
    let port = consecutive_ports(2);
    let (dev, told) = start(folder.path(), port, &arguments).await;
    let pids = [pid(&told["nodes"][0]["pid"])];
    let admin = told["admin"]["access_token"].as_str().expect("a token").to_owned();
    drop(dev);
    all_gone(&pids).await;
    std::fs::remove_file(folder.path().join("ready.json")).expect("a killed dev leaves its ready file");
    let elsewhere = program()
        .args(["dev", "--base-port", &consecutive_ports(2).to_string()])
        .args(arguments)
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&elsewhere.stderr);
    assert_eq!(elsewhere.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("--base-port {port}")), "{said}");
    let (_dev, again) = start(folder.path(), port, &arguments).await;
    assert_eq!(again["service_id"], told["service_id"]);
    let endpoint = Endpoint::new(again["nodes"][0]["url"].as_str().expect("a URL"));
    assert_eq!(endpoint.verify(&admin).await.status, 200, "the token of the first run");
}

#[tokio::test]
async fn one_that_is_told_to_end_while_it_starts_says_so() {
    let _turn = Turn::wait().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (home, log) = (folder.path().join("homes"), folder.path().join("log"));
    let process = program()
        .args(["dev", "--nodes", "1", "--base-port", &consecutive_ports(2).to_string(), "--home"])
        .arg(&home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).expect("a file"))
        .spawn()
        .expect("the program runs");
    let mut dev = Dev { process };
    // It listens for signals before it makes anything, and makes the first home long before anything is ready.
    eventually(READY_WITHIN, "it makes the home", || {
        let made = home.exists();
        async move { made.then_some(()) }
    })
    .await;
    kill_process(pid(&dev.process.id().into()), Signal::TERM).expect("a signal");
    let ended = dev.process.wait().expect("our child");
    let said = std::fs::read_to_string(&log).expect("the file");
    assert!(
        ended.success() && said.contains("SIGTERM: ending before the cluster is ready"),
        "{ended} {said}"
    );
}
