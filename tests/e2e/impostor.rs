//! A member of the circle that is none: a host in this process that holds a circle key and a token key, and says what it is
//! told to say.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use circlet::certificates::{self, KeyAndCertificate, TokenKeyKind};
use circlet::clock::wall_ms;
use circlet::invitation::{Introduction, Invitation};
use circlet::secret::Secret;
use circlet_token::feed::{FeedAnswer, FeedContent, FeedEntry, FeedPosition};
use circlet_token::{
    Audience, Claims, Scope, ServiceId, SigningKey, Subject, TokenId, UserName, mint, read_certificate,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it says next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The truth.
    Nothing,
    /// An answer to an earlier question again.
    Replay,
    /// The half of an answer.
    Half,
    /// A head that its key didn't sign.
    Forged,
    /// All in order, under another key.
    WrongKey,
    /// About somebody else.
    AnotherIssuer,
    /// An answer without an end.
    Endless,
    /// Nothing, for as long as one waits.
    Silence,
    /// A feed that lost its last entry.
    Shorter,
}

/// The most entries in one answer of it.
const ANSWER_ENTRIES: usize = 1_000;
/// So many entries it tells one by one; what is older is in the list only.
const WINDOW_ENTRIES: usize = 100;

/// What is told, and how.
pub(crate) struct Said {
    pub(crate) lie: Lie,
    pub(crate) entries: Vec<FeedEntry>,
    /// How often it was asked.
    pub(crate) asked: u64,
    kept: Vec<u8>,
}

/// The host and its keys.
pub(crate) struct Impostor {
    pub(crate) service_id: ServiceId,
    pub(crate) said: Mutex<Said>,
    circle_key: SigningKey,
    issuer: KeyAndCertificate,
}

/// What a question asks for.
struct Asked {
    nonce: [u8; 32],
    after: After,
}

/// What comes after what.
#[derive(Clone, Copy)]
enum After {
    /// A position of the feed.
    Position(usize),
    /// So many entries of the list.
    Page(usize),
}

impl Asked {
    /// From the target of a request.
    fn of(target: &str) -> Option<Self> {
        let (path, query) = target.split_once('?')?;
        let field = |name: &str| {
            let fields = query.split('&').filter_map(|field| field.split_once('='));
            fields.filter(|(key, _)| *key == name).map(|(_, value)| value).next()
        };
        let nonce = bytes_of(field("nonce")?)?.try_into().ok()?;
        match path {
            "/circlet/v1/feed" => {
                Some(Self { nonce, after: After::Position(field("sequence")?.parse().ok()?) })
            }
            "/circlet/v1/feed/list" => {
                let cursor = bytes_of(field("cursor")?)?;
                let read = cursor.try_into().map_or(0, u64::from_be_bytes);
                Some(Self { nonce, after: After::Page(usize::try_from(read).ok()?) })
            }
            _ => None,
        }
    }
}

impl Impostor {
    /// Begins to serve; returns where.
    pub(crate) async fn serve(entries: Vec<FeedEntry>) -> (Arc<Self>, String) {
        let service_id = ServiceId::parse("jfrt@01impostor0000000000000000").expect("a service id");
        let issuer = certificates::token_issuer(TokenKeyKind::EdDsa, service_id.as_str(), wall_ms());
        let impostor = Arc::new(Self {
            service_id,
            said: Mutex::new(Said { lie: Lie::Nothing, entries, asked: 0, kept: Vec::new() }),
            circle_key: SigningKey::from_ed25519_seed(&[42; 32]),
            issuer: issuer.expect("a key and a certificate"),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = Arc::clone(&impostor);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(Arc::clone(&serving), stream));
            }
        });
        (impostor, url)
    }

    pub(crate) fn says(&self, lie: Lie) {
        self.said.lock().expect("not poisoned").lie = lie;
    }

    pub(crate) fn asked(&self) -> u64 {
        self.said.lock().expect("not poisoned").asked
    }

    pub(crate) fn tell(&self, more: impl IntoIterator<Item = FeedEntry>) {
        self.said.lock().expect("not poisoned").entries.extend(more);
    }

    /// An invitation that it never made: whoever accepts it one way asks nobody.
    pub(crate) fn invitation(&self, url: &str) -> String {
        let introduction = Introduction {
            service_id: self.service_id.to_string(),
            circle_key: STANDARD.encode(self.circle_key.spki_der()),
            hosts: vec![url.to_owned()],
            ca: String::new(),
            certificates: vec![STANDARD.encode(&self.issuer.certificate)],
        };
        let introduction = introduction.to_text();
        let invitation = Invitation { id: [1; 16], secret: Secret::new(vec![1; 32]), introduction };
        invitation.to_text().expose_text().expect("text").to_owned()
    }

    /// A revocable token, as far as `change` doesn't make it another.
    pub(crate) fn token(&self, number: u8, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = Claims {
            revocable: Some(true),
            subject: Subject::user(&self.service_id, &UserName::parse("admin").expect("a name")),
            scope: Scope::parse("applied-permissions/admin").expect("a scope"),
            audience: Audience::any(),
            issuer: self.service_id.clone(),
            expires_at: None,
            issued_at: wall_ms() / 1_000,
            not_before: None,
            id: Some(TokenId([number; 16])),
            index: Some(5),
        };
        change(&mut claims);
        let kid = read_certificate(&self.issuer.certificate).expect("our own certificate").key_id;
        mint(&claims, &kid, &SigningKey::from_pkcs8_der(self.issuer.private_key.expose()).expect("a key"))
    }

    /// The bytes that it answers with.
    fn make(&self, said: &Said, asked: &Asked) -> Vec<u8> {
        let bytes = |entries: &[FeedEntry]| entries.iter().flat_map(FeedEntry::to_bytes).collect::<Vec<u8>>();
        let told = said.entries.len() - usize::from(said.lie == Lie::Shorter);
        let start = FeedPosition { generation: 1, ..FeedPosition::default() };
        let content = |after: usize| bytes(&said.entries[after..told.min(after + ANSWER_ENTRIES)]);
        let (mut upto, cursor) = (told, |read: usize| (read as u64).to_be_bytes().to_vec());
        let content = match asked.after {
            After::Page(read) => FeedContent::Page {
                cursor: if read == 0 { Vec::new() } else { cursor(read) },
                entries: content(read),
                next: if read + ANSWER_ENTRIES < told { cursor(read + ANSWER_ENTRIES) } else { Vec::new() },
            },
            After::Position(after) if after <= told && after + WINDOW_ENTRIES >= told => {
                upto = told.min(after + ANSWER_ENTRIES);
                FeedContent::Entries { after: after as u64, entries: content(after) }
            }
            After::Position(_) => FeedContent::Elsewhere,
        };
        let position = start.after_all(&said.entries[..upto]);
        let other = SigningKey::from_ed25519_seed(&[99; 32]);
        let key = if said.lie == Lie::WrongKey { &other } else { &self.circle_key };
        let stranger = ServiceId::parse("jfrt@01somebodyelse").expect("a service id");
        let issuer = if said.lie == Lie::AnotherIssuer { &stranger } else { &self.service_id };
        let answer = FeedAnswer::sign(key, issuer, position, told as u64, asked.nonce, Vec::new(), content);
        answer.expect("an Ed25519 key").to_bytes()
    }

    /// As it lies at the moment.
    fn answer(&self, asked: &Asked) -> (Lie, Vec<u8>) {
        let mut said = self.said.lock().expect("not poisoned");
        said.asked += 1;
        let mut body = self.make(&said, asked);
        match said.lie {
            Lie::Nothing => said.kept.clone_from(&body),
            Lie::Replay => body.clone_from(&said.kept),
            Lie::Half => body.truncate(body.len() / 2),
            // The sequence behind the issuer and the generation: what is signed says another.
            Lie::Forged => body[2 + self.service_id.as_str().len() + 1] ^= 1,
            Lie::Endless => body = vec![7; 4 << 20],
            Lie::WrongKey | Lie::AnotherIssuer | Lie::Silence | Lie::Shorter => {}
        }
        (said.lie, body)
    }
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let bytes = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
    bytes.collect()
}

/// One question on each connection.
async fn converse(impostor: Arc<Impostor>, mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let asked = request.split(' ').nth(1).and_then(Asked::of).expect("only feeds are asked for");
    let (lie, body) = impostor.answer(&asked);
    if lie == Lie::Silence {
        std::future::pending::<()>().await;
    }
    // Who asks again at once learns nothing sooner by it.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // Whoever asked may have gone.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
}
