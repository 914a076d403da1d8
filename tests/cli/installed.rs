//! What an installation needs of the binary: manual pages, completions, and word to the process supervisor.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use super::process::{DEADLINE, Place, circlet, run};
use super::root;

#[test]
fn every_command_has_a_manual_page_and_is_completed() {
    let root = root();
    let folder = root.path().to_str().unwrap();
    let written = run(&["man", folder]);
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""), "{}", written.stderr);
    let top = std::fs::read_to_string(root.path().join("circlet.1")).unwrap();
    assert!(top.contains(".TH circlet 1"), "{top}");
    for page in ["circlet-serve.1", "circlet-token-create.1", "circlet-cluster-status.1"] {
        let page = std::fs::read_to_string(root.path().join(page)).unwrap();
        assert!(page.contains("OPTIONS"), "{page}");
    }
    for page in std::fs::read_dir(root.path()).unwrap() {
        let page = page.unwrap().path();
        assert_nothing_to_complain_of("groff", &["-man", "-ww", "-Tutf8"], &page);
    }
    run(&["man", "/nonexistent/pages"]).assert_refused(&["/nonexistent/pages", "existing directory"]);

    for (shell, mark) in
        [("bash", "complete -F _circlet"), ("zsh", "#compdef circlet"), ("fish", "complete -c circlet")]
    {
        let script = run(&["completions", shell]);
        assert_eq!(script.code, Some(0), "{}", script.stderr);
        let file = root.path().join(shell);
        std::fs::write(&file, &script.stdout).unwrap();
        assert_nothing_to_complain_of(shell, &["-n"], &file);
        assert!(script.stdout.contains(mark) && script.stdout.contains("ready-file"), "{shell}");
    }
    run(&["completions", "tcl"]).assert_refused(&["tcl", "bash", "zsh", "fish"]);
}

/// Has a program read a file, if this machine has the program; where `TOOLS_REQUIRED` is set, it must have it.
fn assert_nothing_to_complain_of(program: &str, flags: &[&str], file: &Path) {
    let read = match Command::new(program).args(flags).arg(file).output() {
        Ok(read) => read,
        Err(error) => {
            assert!(std::env::var_os("TOOLS_REQUIRED").is_none(), "{program} can't be run: {error}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success() && said.is_empty(), "{program} {}: {said}", file.display());
}

#[test]
fn the_supervisor_is_told_how_far_the_node_is() {
    let root = root();
    let place = Place::new(root.path(), "node1");
    place.found(&["init"]).json();
    let socket = root.path().join("notify");
    let supervisor = UnixDatagram::bind(&socket).unwrap();
    supervisor.set_read_timeout(Some(DEADLINE)).unwrap();
    let told = || {
        let mut bytes = [0; 512];
        let length = supervisor.recv(&mut bytes).expect("the node says something");
        String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned()
    };

    let node = place.serve_with(circlet().env("NOTIFY_SOCKET", &socket));
    assert!(told().starts_with("READY=1\nSTATUS=serving; "));
    assert_eq!(told().trim_end(), "STATUS=serving");
    assert_eq!(node.terminate().code(), Some(0));
    assert!(told().starts_with("STOPPING=1\n"));
}
