//! Every parser that sees bytes from outside, by name: for those who throw bytes at them (`fuzz/`, and the tests that
//! throw again what was found).

use std::path::Path;

use circlet_authority::{Command, Outcome, State};
use circlet_raft::outside::Parser;
use circlet_token::feed::{DatedHead, FeedAnswer, FeedEntry, Follower};
use circlet_token::{Audience, Parsed, Scope, ServiceId, SigningKey, Subject, UserName, read_certificate};

use crate::home::settings::NodeSettings;
use crate::http::body::{Parameters, Reads};
use crate::join_token::JoinToken;
use crate::percent::{self, Plus};
use crate::refresh_token::RefreshTokens;
use crate::secret::Secret;
use crate::{backup, join, reference_token};

/// Those of this crate and of the crates below it.
const PARSERS: [Parser; 17] = [
    ("token", |bytes| text(bytes, |text| drop(Parsed::parse(text)))),
    ("scope", |bytes| text(bytes, |text| drop(Scope::parse(text)))),
    ("audience", |bytes| text(bytes, |text| drop(Audience::parse(text)))),
    ("names", |bytes| text(bytes, names)),
    ("form", |bytes| drop(Parameters::read_form(bytes))),
    ("json-body", |bytes| drop(Parameters::read(Some("application/json"), bytes, Reads::FormOrJson))),
    ("certificate", |bytes| drop(read_certificate(bytes))),
    ("private-key", |bytes| drop(SigningKey::from_pkcs8_der(bytes))),
    ("command", |bytes| drop(Command::decode(bytes))),
    ("outcome", |bytes| drop(Outcome::decode(bytes))),
    ("snapshot", |mut bytes| drop(State::decode_snapshot(&mut bytes))),
    ("settings", |bytes| {
        text(bytes, |text| drop(NodeSettings::parse(Path::new("node.yml"), text, &|_| None)));
    }),
    ("secret-texts", |bytes| text(bytes, secret_texts)),
    ("join-frame", join::read_any_frame),
    ("backup", backup::read_any),
    ("feed-answer", feed_answer),
    ("feed-follower", |bytes| drop(Follower::from_bytes(bytes))),
];

/// All of them, with those of the log and the peers.
pub fn parsers() -> impl Iterator<Item = Parser> {
    PARSERS.into_iter().chain(circlet_raft::outside::PARSERS)
}

fn text(bytes: &[u8], parse: impl Fn(&str)) {
    if let Ok(text) = str::from_utf8(bytes) {
        parse(text);
    }
}

/// What nodes of another cluster say.
fn feed_answer(bytes: &[u8]) {
    // What came of it is nobody's business here: that it came is.
    let _ = (FeedAnswer::read(bytes).is_some(), DatedHead::read(bytes).is_some());
    let _ = FeedEntry::read_all(bytes).is_some();
}

fn names(text: &str) {
    // What came of it is nobody's business here: that it came is.
    let _ = (ServiceId::parse(text).is_ok(), Subject::parse(text).is_ok(), UserName::parse(text).is_ok());
    let _ = (percent::decode(text, Plus::Space).is_ok(), percent::decode(text, Plus::Literal).is_ok());
}

fn secret_texts(text: &str) {
    let refresh = RefreshTokens::new(&Secret::new(vec![0; 32]));
    let _ =
        (JoinToken::parse(text).is_ok(), refresh.read(text).is_some(), reference_token::read(text).is_some());
}
