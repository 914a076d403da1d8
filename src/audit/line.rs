//! One line of the audit log, and how much of it there may be.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::calendar::write_timestamp;
use crate::percent;

/// So much of a name, an id or an address is written, in bytes after encoding: the longest name of a user (255
/// characters of up to 4 bytes, each of which takes 3) behind the longest service id.
const FIELD_BYTES_MAX: usize = 3328;
/// So much of one text in the data is written, in bytes: the longest description is shorter.
const TEXT_BYTES_MAX: usize = 2048;
/// So many items of a list or of an object in the data are written.
const ITEMS_MAX: usize = 64;
/// So much data is written in all, in bytes; more is replaced by its size.
const DATA_BYTES_MAX: usize = 16 * 1024;

/// No line is longer than this, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 32 * 1024;

/// What happened to the entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was made, or let in.
    Created,
    /// It was changed.
    Updated,
    /// It was removed or revoked.
    Deleted,
    /// It was refused.
    Refused,
}

/// What kind of entity a line speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// A token.
    Token,
    /// A user.
    User,
    /// A group.
    Group,
    /// A trusted issuer.
    Trust,
    /// A signing key of this cluster.
    Key,
    /// A setting.
    Config,
    /// A node of the cluster.
    Node,
    /// A login with a password, or a credential that was refused.
    Login,
    /// The audit log itself.
    Audit,
}

/// One line.
#[derive(Debug)]
pub struct Line<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// The client's address, where it is known.
    pub address: Option<IpAddr>,
    /// Who asked: a user's name, or a token's subject.
    pub user: &'a str,
    /// The principal that was authenticated, as a subject.
    pub principal: &'a str,
    /// The name or id of what was changed.
    pub entity_name: &'a str,
    /// What happened.
    pub change: Change,
    /// To what.
    pub entity: Entity,
    /// The change itself, without secrets.
    pub data: Value,
}

impl<'a> Line<'a> {
    /// The line of something that the node did without a request, as by a file in its home.
    #[must_use]
    pub fn by_node(change: Change, entity: Entity, entity_name: &'a str, data: Value) -> Self {
        Self {
            request_id: "",
            address: None,
            user: "node",
            principal: "node",
            entity_name,
            change,
            entity,
            data,
        }
    }

    /// The text of the line, with the line feed at its end; whatever the fields hold, it has a bounded length.
    pub(super) fn render(&self, now_ms: u64) -> String {
        let mut text = String::with_capacity(256);
        write_timestamp(now_ms, &mut text);
        let address = self.address.map_or_else(String::new, |address| address.to_string());
        for field in [self.request_id, &address, self.user, self.principal, self.entity_name] {
            text.push('|');
            write_field(if field.is_empty() { "UNKNOWN" } else { field }, &mut text);
        }
        // A `String` takes whatever is written into it.
        let _ = writeln!(text, "|{}|{}|{}", self.change.code(), self.entity.code(), bounded(&self.data));
        text
    }
}

impl Change {
    fn code(self) -> &'static str {
        match self {
            Self::Created => "C",
            Self::Updated => "U",
            Self::Deleted => "D",
            Self::Refused => "R",
        }
    }
}

impl Entity {
    fn code(self) -> &'static str {
        match self {
            Self::Token => "TKN",
            Self::User => "USR",
            Self::Group => "GRP",
            Self::Trust => "TRS",
            Self::Key => "KEY",
            Self::Config => "CFG",
            Self::Node => "NOD",
            Self::Login => "LGN",
            Self::Audit => "AUD",
        }
    }
}

/// Names may hold anything; a space or a bar would shift the fields of a parser.
fn write_field(field: &str, into: &mut String) {
    let begun = into.len();
    for (at, character) in field.char_indices() {
        let before = into.len();
        percent::encode_except(&field[at..at + character.len_utf8()], b"@/:*+,;=!$&'()", into);
        if into.len() - begun > FIELD_BYTES_MAX {
            into.truncate(before);
            into.push_str("...");
            return;
        }
    }
}

/// The data as it is written: long texts and lists cut, and marked as cut.
fn bounded(data: &Value) -> String {
    // A bar can only be part of a text, and a parser that splits at bars must find none.
    let text = cut(data).to_string().replace('|', "\\u007c");
    if text.len() <= DATA_BYTES_MAX { text } else { json!({"left_out_bytes": text.len()}).to_string() }
}

fn cut(value: &Value) -> Value {
    match value {
        Value::String(text) => cut_text(text).into(),
        Value::Array(items) => {
            let mut kept: Vec<Value> = items.iter().take(ITEMS_MAX).map(cut).collect();
            if items.len() > ITEMS_MAX {
                kept.push(format!("... and {} more", items.len() - ITEMS_MAX).into());
            }
            kept.into()
        }
        Value::Object(entries) => {
            let mut kept: Map<String, Value> =
                entries.iter().take(ITEMS_MAX).map(|(name, value)| (cut_text(name), cut(value))).collect();
            if entries.len() > ITEMS_MAX {
                kept.insert("...".to_owned(), format!("and {} more", entries.len() - ITEMS_MAX).into());
            }
            kept.into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn cut_text(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(TEXT_BYTES_MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, data: Value) -> Line<'_> {
        Line {
            request_id: "269cdf00fb8d37bc",
            address: None,
            user: name,
            principal: name,
            entity_name: name,
            change: Change::Created,
            entity: Entity::Token,
            data,
        }
    }

    #[test]
    fn a_line_has_nine_fields_and_no_space_in_the_first_eight() {
        let line = Line {
            principal: "jfrt@01/users/two words|bar",
            entity_name: "ünï",
            ..line("two words|bar", json!({"added": {"scope": "api:* applied-permissions/admin"}}))
        };
        let text = line.render(1_697_806_417_758);
        assert_eq!(
            text,
            "2023-10-20T12:53:37.758Z|269cdf00fb8d37bc|UNKNOWN|two%20words%7Cbar|jfrt@01/users/two%20words%7Cbar|\
             %C3%BCn%C3%AF|C|TKN|{\"added\":{\"scope\":\"api:* applied-permissions/admin\"}}\n"
        );
    }

    #[test]
    fn whatever_a_client_sends_a_line_has_a_bounded_length_and_stays_one_line_of_nine_fields() {
        let long = "漢 |\n".repeat(100_000);
        let deep = (0..50).fold(json!(long), |inner, _| json!([inner, long]));
        let wide: Map<String, Value> =
            (0..100_000).map(|number| (format!("{number}{long:.10}"), json!(number))).collect();
        for data in [json!(long), json!([long, long]), deep, json!(wide), json!(vec![long.as_str(); 1000])] {
            let text = line(&long, data).render(0);
            assert!(text.len() <= LINE_BYTES_MAX, "{} bytes", text.len());
            assert_eq!((text.lines().count(), text.ends_with('\n')), (1, true));
            let fields: Vec<&str> = text.trim_end().splitn(9, '|').collect();
            assert_eq!(fields.len(), 9);
            assert!(fields[..8].iter().all(|field| !field.contains(' ')), "{text}");
            serde_json::from_str::<Value>(fields[8]).unwrap();
        }
    }

    #[test]
    fn the_longest_name_of_a_user_is_written_whole() {
        let name = format!("jfrt@01h0000000000000000000000/users/{}", "𝕏".repeat(255));
        let text = line(&name, json!({})).render(0);
        let written = text.split('|').nth(4).unwrap();
        assert_eq!(percent::decode(written, percent::Plus::Literal).unwrap(), name);
    }
}
