//! What README.md tells a stranger to do works, and what the operator's guide tells an operator: the tested blocks run
//! against clusters that `circlet dev` started.

#[path = "readme/cluster.rs"]
mod cluster;
#[path = "readme/commands.rs"]
mod commands;
#[path = "readme/page.rs"]
mod page;
#[path = "support/ports.rs"]
mod ports;

use std::path::{Path, PathBuf};

use cluster::Cluster;
use page::Page;

/// The fenced blocks of a document whose opening line ends with `kind`.
fn blocks(document: &str, kind: &str) -> Vec<String> {
    let opening = format!("```{kind}\n");
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(path).expect("a document");
    text.split(opening.as_str())
        .skip(1)
        .map(|rest| rest.split("```").next().expect("split yields one part at least").to_owned())
        .collect()
}

#[test]
fn the_life_of_a_token_goes_as_the_readme_says() {
    let blocks = blocks("README.md", "sh tested");
    assert_eq!(blocks.len(), 3, "create, refresh and revoke");
    let cluster = Cluster::start(3);
    let script = blocks.join("\n");
    // On a busy machine a node may say "not now", which who reads along answers by asking again.
    let tries = (0..3).map(|_| cluster.run(&script));
    let mut said = tries.skip_while(|said| !said.contains("Invalid token, revoked"));
    let said = said.next().expect("the lines work within three tries");
    assert!(said.contains(r#""user":"ci-job""#), "the token verifies: {said}");
    assert!(said.contains(r#""revocable":true"#), "and is revocable: {said}");
    assert!(said.contains("the same bytes"), "the refresh repeats itself: {said}");
    assert!(said.contains("Token revoked"), "the revoke is acknowledged: {said}");
    assert!(said.contains("Invalid token, revoked"), "and the token refused: {said}");
}

#[test]
fn the_readme_names_the_two_commands() {
    let first = blocks("README.md", "sh").into_iter().next().expect("a block of shell");
    let commands: Vec<&str> =
        first.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).collect();
    assert_eq!(commands, ["cargo run --release -- dev", "cargo test --workspace"]);
}

#[test]
fn the_operators_guide_can_be_followed_from_its_first_line_to_its_last_and_shows_what_is_said() {
    Page { document: "docs/operations.md", nodes: 3, tested: 25, untested: 1 }.follow();
}

#[test]
fn nodes_come_go_and_move_as_the_page_says() {
    Page { document: "docs/membership.md", nodes: 1, tested: 9, untested: 0 }.follow();
}

#[test]
fn a_cluster_is_backed_up_restored_and_recovered_as_the_page_says() {
    Page { document: "docs/backup.md", nodes: 3, tested: 9, untested: 0 }.follow();
}
