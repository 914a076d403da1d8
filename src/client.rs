//! The HTTP client of the command line.
//!
//! It speaks to one server with one credential, and turns everything that is not a success into a [`Failure`] that says
//! whose fault it is: what the server refused is the caller's input, what it could not do, or who could not be reached,
//! is not.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Method, StatusCode};
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::secret::Secret;

/// A backup may be large, and its reader slow.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_hours(1);
/// The whole exchange, connecting included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the server is, and how to know that it is the right one.
#[derive(Debug, Clone)]
pub struct Server {
    /// `scheme://host:port`, without a path of its own.
    base: String,
    http: reqwest::Client,
}

/// What the caller shows to the server.
#[derive(Clone)]
pub enum Credential {
    /// Nothing.
    Anonymous,
    /// An access token or a reference token.
    Token(Secret),
    /// A user's name and password.
    Password {
        /// The user.
        name: String,
        /// The password.
        password: Secret,
    },
}

/// An answer of the server, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// What the server wants an administrator to know although it did what was asked.
    pub warning: Option<String>,
    /// The body.
    pub body: String,
}

/// A server and a credential.
#[derive(Clone)]
pub struct Client {
    server: Server,
    credential: Credential,
}

impl Server {
    /// The server at `url`; with `ca_file` only certificates of the authorities in that PEM file are accepted, otherwise
    /// those that the operating system trusts.
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self, Failure> {
        let base = base_of(url)?;
        let mut builder = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("circlet/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(&base) {
            // A proxy, which the environment may name, is on its way to nowhere.
            builder = builder.no_proxy();
        }
        // The TLS library wants its cryptography named once for the process; a second time changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        if let Some(path) = ca_file {
            builder = builder.tls_certs_only(certificates(path)?);
        }
        let http = builder
            .build()
            .map_err(|error| Failure::ours("the HTTP client could not be set up").because(error))?;
        Ok(Self { base, http })
    }

    /// `scheme://host:port`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }
}

impl Client {
    /// Speaks to `server` with `credential`.
    #[must_use]
    pub fn new(server: Server, credential: Credential) -> Self {
        Self { server, credential }
    }

    /// The same server with another credential.
    #[must_use]
    pub fn with(&self, credential: Credential) -> Self {
        Self { server: self.server.clone(), credential }
    }

    /// The same credential for another server that is known by the same certificates.
    pub fn at(&self, url: &str) -> Result<Self, Failure> {
        let server = Server { base: base_of(url)?, http: self.server.http.clone() };
        Ok(Self { server, credential: self.credential.clone() })
    }

    /// Whether there is no credential.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        matches!(self.credential, Credential::Anonymous)
    }

    /// The token that this client shows, if it shows one.
    #[must_use]
    pub fn token_text(&self) -> Option<String> {
        match &self.credential {
            Credential::Token(token) => token.expose_text().map(str::to_owned),
            Credential::Anonymous | Credential::Password { .. } => None,
        }
    }

    /// Sends one request and returns the answer, whatever its status. Fails only if there is none.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        self.exchange(method, path, None, body).await
    }

    /// The same, with one more header.
    pub async fn ask_with(
        &self,
        method: Method,
        path: &str,
        header: Option<(&'static str, &str)>,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        self.exchange(method, path, header, body).await
    }

    /// Sends one request; anything but a 2xx is a failure.
    pub async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        self.request_with(method, path, None, body).await
    }

    /// The same, with one more header.
    pub async fn request_with(
        &self,
        method: Method,
        path: &str,
        header: Option<(&'static str, &str)>,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let answer = self.exchange(method, path, header, body).await?;
        if answer.is_success() { Ok(answer) } else { Err(answer.failure()) }
    }

    /// Sends a `POST` and hands over the answer's bytes as they come; for answers that are long, in bytes and in time.
    pub async fn download(
        &self,
        path: &str,
        body: &Value,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        let request = self.server.http.post(format!("{}{path}", self.server.base)).json(body);
        let request = self.with_credential(request.timeout(DOWNLOAD_TIMEOUT))?;
        let mut response = request.send().await.map_err(|error| self.unreachable(error))?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            let body = response.text().await.map_err(|error| self.unreachable(error))?;
            return Err(Answer { status, warning: None, body }.failure());
        }
        while let Some(bytes) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            take(&bytes)
                .map_err(|error| Failure::ours("the answer could not be written down").because(error))?;
        }
        Ok(())
    }

    fn with_credential(&self, request: reqwest::RequestBuilder) -> Result<reqwest::RequestBuilder, Failure> {
        Ok(match &self.credential {
            Credential::Anonymous => request,
            Credential::Token(token) => request.bearer_auth(text(token)?),
            Credential::Password { name, password } => request.basic_auth(name, Some(text(password)?)),
        })
    }

    /// Reads a list to its end: page after page, as long as the answer names a cursor. The list is the one under `key`.
    pub async fn list(&self, path: &str, key: &str) -> Result<Value, Failure> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        let mut page = path.to_owned();
        loop {
            let mut answer = self.request(Method::GET, &page, None).await?.json()?;
            if let Some(items) = answer[key].as_array_mut() {
                all.append(items);
            }
            match answer["cursor"].as_str() {
                Some(cursor) => page = format!("{path}{joint}cursor={}", segment(cursor)),
                None => return Ok(json!({ key: all })),
            }
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        header: Option<(&'static str, &str)>,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let request = self.server.http.request(method, format!("{}{path}", self.server.base));
        let mut request = self.with_credential(request)?;
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status().as_u16();
        let warning = response.headers().get("x-circlet-warning");
        let warning = warning.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = response.text().await.map_err(|error| self.unreachable(error))?;
        Ok(Answer { status, warning, body })
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let failure = Failure::ours(format!("no answer from {}", self.server.base));
        let hint = if error.is_timeout() {
            "the node is there but too slow, or packets get lost; ask another node with --url"
        } else {
            "is the node running, and is this its address? --url, CIRCLET_URL or the profile file say where to ask; \
             a server with a certificate of its cluster needs --ca-file"
        };
        // The address is in the message already; the cause is what counts.
        failure.because(error.without_url()).hint(hint)
    }
}

impl Answer {
    /// Whether the server did what it was asked.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value, Failure> {
        serde_json::from_str(&self.body).map_err(|error| {
            Failure::ours("the server's answer is not JSON")
                .because(error)
                .hint("is there another program or a proxy at this address?")
        })
    }

    /// This answer as the end of a command: `server response: <status>`, and the body, indented.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let failure = self.failure_without_hint();
        match hint_for(self.status) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// The same where the usual advice would mislead.
    #[must_use]
    pub fn failure_without_hint(&self) -> Failure {
        let status =
            StatusCode::from_u16(self.status).map_or_else(|_| self.status.to_string(), |s| s.to_string());
        let message = format!("server response: {status}{}", indented(&self.body));
        if self.is_callers_fault() { Failure::input(message) } else { Failure::ours(message) }
    }

    fn is_callers_fault(&self) -> bool {
        (400..500).contains(&self.status) && self.status != 408 && self.status != 429
    }
}

fn hint_for(status: u16) -> Option<&'static str> {
    match status {
        401 => Some(
            "the server does not accept this credential; `circlet token create` makes a new token, --user asks with a password",
        ),
        403 => Some("this token's scope does not allow it; ask with an administrator's token"),
        408 | 429 => Some("try again in a moment"),
        503 => Some("the cluster cannot decide at the moment; try again, or ask another node with --url"),
        _ => None,
    }
}

/// The body under the status line: JSON is laid out, everything is indented by two spaces.
fn indented(body: &str) -> String {
    let laid_out = serde_json::from_str::<Value>(body).and_then(|value| serde_json::to_string_pretty(&value));
    let body = laid_out.unwrap_or_else(|_| body.trim().to_owned());
    body.lines().fold(String::new(), |text, line| text + "\n  " + line)
}

/// The scheme and authority of what was given as the server's address; the contexts that other clients put behind it
/// (`/artifactory`, `/access`) are taken off.
fn base_of(url: &str) -> Result<String, Failure> {
    let wrong = |why: &str| {
        Failure::input(format!("the server's address {url:?} {why}"))
            .hint("for example --url http://127.0.0.1:8081")
    };
    let parsed = reqwest::Url::parse(url).map_err(|error| wrong("is not a URL").because(error))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(wrong("must start with http:// or https://"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(wrong("must not hold a user or password"));
    }
    let base = url.trim_end_matches('/');
    let base =
        ["/artifactory", "/access"].iter().find_map(|context| base.strip_suffix(context)).unwrap_or(base);
    Ok(base.trim_end_matches('/').to_owned())
}

/// Whether the address is one of this machine alone.
fn is_this_machine(base: &str) -> bool {
    let host = reqwest::Url::parse(base).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let unusable = || Failure::input(format!("the CA file {} cannot be used", path.display()));
    let pem = std::fs::read(path).map_err(|error| unusable().because(error))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| unusable().because(error))?;
    if certificates.is_empty() {
        return Err(
            unusable().hint("it must hold certificates in PEM, such as etc/security/ca.crt of a node's home")
        );
    }
    Ok(certificates)
}

fn text(secret: &Secret) -> Result<&str, Failure> {
    secret.expose_text().ok_or_else(|| Failure::input("the credential is not UTF-8 text"))
}

/// One segment of a path, with everything percent-encoded that is not unreserved (RFC 3986 section 2.3).
#[must_use]
pub fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string never fails");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::{Answer, base_of, segment};
    use crate::cli::failure::Fault;

    #[test]
    fn an_address_loses_the_contexts_of_other_clients() {
        for url in ["http://h:1", "http://h:1/", "http://h:1/artifactory/", "http://h:1/access"] {
            assert_eq!(base_of(url).expect("a usable address"), "http://h:1");
        }
        for url in ["h:1", "ftp://h", "http://u:p@h", ""] {
            assert!(base_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_refusal_shows_status_and_body_and_says_whose_fault_it_is() {
        let answer = Answer { status: 403, warning: None, body: r#"{"errors":[]}"#.to_owned() };
        let failure = answer.failure();
        assert_eq!(failure.message, "server response: 403 Forbidden\n  {\n    \"errors\": []\n  }");
        assert_eq!(failure.fault, Fault::Input);
        let answer = Answer { status: 503, warning: None, body: "no leader\n".to_owned() };
        assert_eq!(answer.failure().message, "server response: 503 Service Unavailable\n  no leader");
        assert_eq!(answer.failure().fault, Fault::Ours);
    }

    #[test]
    fn a_path_segment_holds_nothing_that_ends_it() {
        assert_eq!(segment("a b/ü?"), "a%20b%2F%C3%BC%3F");
    }
}
