//! Runs the real binary: commands to their end, and nodes until they are dropped.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use super::ports::free_port;

/// Nothing here takes longer unless something is wrong.
pub(crate) const DEADLINE: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(20);

/// Polls until `done` gives something.
pub(crate) fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(begun.elapsed() < DEADLINE, "waited in vain for: {what}");
        std::thread::sleep(LOOK);
    }
}

/// A command of the real binary, without the settings of whoever runs the tests.
pub(crate) fn circlet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_circlet"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CIRCLET_")) {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

/// How a command ended and what it said.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        serde_json::from_str(&self.stdout).expect("stdout is JSON")
    }

    /// Refused as the caller's input, saying all of this on stderr and nothing on stdout.
    pub(crate) fn assert_refused(&self, said: &[&str]) {
        assert_eq!(self.code, Some(1), "stdout {} stderr {}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        for part in said {
            assert!(self.stderr.contains(part), "`{part}` is missing in: {}", self.stderr);
        }
    }
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    run_command(circlet().args(arguments))
}

pub(crate) fn run_command(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().expect("the binary runs");
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// A home and the addresses of its node.
pub(crate) struct Place {
    pub(crate) home: PathBuf,
    pub(crate) http: String,
    pub(crate) peer: String,
    name: String,
}

impl Place {
    pub(crate) fn new(root: &Path, name: &str) -> Self {
        let address = || format!("127.0.0.1:{}", free_port());
        Self { home: root.join(name), http: address(), peer: address(), name: name.to_owned() }
    }

    /// The same where another one was.
    pub(crate) fn at(self, other: &Self) -> Self {
        Self { http: other.http.clone(), peer: other.peer.clone(), ..self }
    }

    /// `init` or `join` with the flags of this place.
    pub(crate) fn found(&self, arguments: &[&str]) -> Ended {
        let home = self.home.to_str().expect("UTF-8");
        let flags = ["--output", "json", "--home", home, "--name", &self.name];
        let listen = ["--http-listen", &self.http, "--peer-listen", &self.peer];
        run_command(circlet().args(arguments).args(flags).args(listen))
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.home.join(below)
    }

    pub(crate) fn write(&self, below: &str, content: &str) {
        std::fs::write(self.path(below), content).expect("the home can be written");
    }

    /// Serves the home until it is refused; for homes that aren't in order.
    pub(crate) fn serve_to_end(&self) -> Ended {
        run(&["serve", "--home", self.home.to_str().expect("UTF-8")])
    }

    /// Serves the home, and waits until the node is ready.
    pub(crate) fn serve(&self) -> Node {
        self.serve_with(&mut circlet())
    }

    /// The same, with a command of the binary that has an environment of its own.
    pub(crate) fn serve_with(&self, circlet: &mut Command) -> Node {
        let mut node = self.begin(circlet);
        node.until_ready();
        node
    }

    /// The same without waiting: for a node that is ready only with others.
    pub(crate) fn begin(&self, circlet: &mut Command) -> Node {
        let ready = self.path("ready.json");
        let _ = std::fs::remove_file(&ready);
        let log = self.path("logs/serve.log");
        let child = circlet
            .args(["serve", "--home", self.home.to_str().expect("UTF-8")])
            .args(["--ready-file", ready.to_str().expect("UTF-8")])
            .stdin(Stdio::null())
            .stderr(File::create(&log).expect("the home can be written"))
            .spawn()
            .expect("the binary runs");
        Node { child, log, ready, http: self.http.clone() }
    }
}

/// A serving node; killed when dropped.
pub(crate) struct Node {
    child: Child,
    log: PathBuf,
    ready: PathBuf,
    http: String,
}

impl Node {
    /// Waits until the node has said that it is ready.
    pub(crate) fn until_ready(&mut self) {
        eventually("the ready file", || {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                panic!("the node ended: {status}\n{}", self.log());
            }
            self.ready.exists().then_some(())
        });
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Asks to stop, and waits for the end.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().expect("kill is there");
        assert!(killed.success());
        self.wait()
    }

    /// How it ended, once it has.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the end of the node", || self.child.try_wait().expect("it is our child"))
    }

    /// The status and body of a plain GET.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(&self.http, path, "")
    }

    /// The same with a token.
    pub(crate) fn get_with_token(&self, path: &str, token: &str) -> (u16, String) {
        get(&self.http, path, &format!("Authorization: Bearer {token}\r\n"))
    }

    /// Runs a command against this node as the administrator, until the answer is another than "not now".
    pub(crate) fn ask(&self, password: &str, arguments: &[&str]) -> Ended {
        let url = self.url();
        let mut command = circlet();
        command.args(["--output", "json"]).args(arguments).args(["--url", &url, "--user", "admin"]);
        command.env("CIRCLET_PASSWORD", password);
        eventually("an answer other than 503", || {
            let ended = run_command(&mut command);
            (!ended.stderr.contains("server response: 503")).then_some(ended)
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(address: &str, path: &str, header: &str) -> (u16, String) {
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out can be set");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}\r\n")
        .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer in UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

/// A connection over TLS that stays open.
pub(crate) struct Secured(StreamOwned<ClientConnection, TcpStream>);

impl Secured {
    /// Connects to an address, if its certificate was signed by this CA.
    pub(crate) fn connect(address: &str, ca: &[u8]) -> Self {
        let mut trusted = RootCertStore::empty();
        trusted.add(ca.to_vec().into()).expect("a CA");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let address: SocketAddr = address.parse().expect("an address");
        let mut connection =
            ClientConnection::new(Arc::new(config), address.ip().into()).expect("a connection");
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out can be set");
        connection.complete_io(&mut stream).expect("a handshake");
        Self(StreamOwned::new(connection, stream))
    }

    /// The certificate that was shown, in DER.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        let shown = self.0.conn.peer_certificates().expect("a handshake is over");
        shown.first().expect("a certificate").to_vec()
    }

    /// The status of a ping; the connection stays open.
    pub(crate) fn ping(&mut self) -> u16 {
        self.0.write_all(b"GET /artifactory/api/system/ping HTTP/1.1\r\nHost: node\r\n\r\n").expect("sent");
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\nOK") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("an answer");
            seen.extend(byte);
        }
        let seen = String::from_utf8(seen).expect("UTF-8");
        seen.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }
}

/// Every file below a folder with what it holds.
pub(crate) fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
        {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let content = std::fs::read(&entry).expect("a file");
                files.push((entry, content));
            }
        }
    }
    files
}
