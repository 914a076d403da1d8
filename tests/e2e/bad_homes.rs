//! Homes that a node must refuse to serve: each with a clear error that names the thing, and nothing lost.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::cluster::Cluster;
use super::eventually::eventually;
use super::node::program;
use super::tokens::{LONG_SECS, create};

/// A node that can't serve says so within this.
const REFUSES_WITHIN: Duration = Duration::from_mins(2);

/// Runs `serve`, which must fail by itself, and returns its exit code and what it said.
async fn refused(home: &Path) -> (Option<i32>, String) {
    let mut child = program()
        .args(["serve", "--home"])
        .arg(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let gave_up = eventually(REFUSES_WITHIN, "the node refuses to serve", || {
        let ended = child.try_wait().expect("our child");
        async move { ended }
    })
    .await;
    let said = std::io::read_to_string(child.stderr.take().expect("a pipe")).expect("UTF-8 on stderr");
    (gave_up.code(), said)
}

#[tokio::test]
async fn a_home_that_is_not_right_is_refused_by_name_and_serves_again_when_it_is() {
    let mut cluster = Cluster::start("single").await;
    let home = cluster.home(0).to_path_buf();
    let token =
        create(cluster.endpoint(0), &cluster.admin_token, LONG_SECS, false).await.member("access_token");

    let (code, said) = refused(&home).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("in use"), "two processes in one home: {said}");

    cluster.kill(0);
    let port_holder = TcpListener::bind(cluster.endpoint(0).url().trim_start_matches("http://"));
    let port_holder = port_holder.expect("the port of the killed node");
    let address = port_holder.local_addr().expect("an address").to_string();
    let (code, said) = refused(&home).await;
    assert!(matches!(code, Some(1 | 2)), "{said}");
    assert!(said.contains(&address), "a port in use is named: {said}");
    drop(port_holder);

    for (file, damage) in [
        ("etc/security/master.key", Damage::Replaced("00".repeat(32))),
        ("etc/security/master.key", Damage::Removed),
        ("etc/security/identity.json", Damage::Replaced("{".to_owned())),
        ("etc/security/node.key", Damage::Removed),
        ("etc/node.yml", Damage::Replaced("http:\n  lisen: 127.0.0.1:1\n".to_owned())),
    ] {
        let path = home.join(file);
        let original = std::fs::read(&path).expect("a file of the home");
        match &damage {
            Damage::Removed => std::fs::remove_file(&path).expect("removed"),
            Damage::Replaced(content) => std::fs::write(&path, content).expect("replaced"),
        }
        let (code, said) = refused(&home).await;
        assert!(matches!(code, Some(1 | 2)), "{file}: {said}");
        let name = file.rsplit('/').next().expect("a name");
        assert!(said.contains("error: ") && said.contains(name), "{file} is named: {said}");
        assert!(said.contains("hint: "), "{file}: what to do: {said}");
        std::fs::write(&path, original).expect("put back");
    }

    let empty = tempfile::tempdir().expect("a folder");
    let (code, said) = refused(empty.path()).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("circlet init"), "{said}");

    cluster.restart(0);
    cluster.ready(0).await;
    let verdict = cluster.endpoint(0).verify(&token).await;
    assert_eq!(verdict.status, 200, "nothing was lost: {}", verdict.text);
}

enum Damage {
    Removed,
    Replaced(String),
}
