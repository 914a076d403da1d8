//! Request parameters: one reading of forms and JSON, whatever the client library made of them.
//!
//! Clients send booleans as `True`, numbers as text, an empty body under a JSON content type, and a form under a
//! JSON content type (contract sections 1.4, 1.6 and 3.1). All of them end up as one map of named values.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use crate::percent::{self, Plus};

/// More parameters than any request needs.
const PARAMETERS_MAX: usize = 64;

/// Which encodings an endpoint reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// `application/x-www-form-urlencoded` only: the legacy token endpoints.
    Form,
    /// Forms and JSON: the Access token endpoints.
    FormOrJson,
    /// JSON only: users, groups, trust, configuration.
    Json,
}

/// Why a body or a parameter can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadBody {
    /// The content type is none that this endpoint reads.
    #[error("content type {found:?} is not supported here, send {accepted}")]
    ContentType {
        /// What was sent.
        found: String,
        /// What the endpoint reads.
        accepted: &'static str,
    },
    /// The body isn't what its content type says.
    #[error("the body is not valid {kind}: {why}")]
    Syntax {
        /// "JSON" or "form".
        kind: &'static str,
        /// The parser's complaint, with the position where it knows one.
        why: String,
    },
    /// A parameter was given twice.
    #[error("parameter {0:?} was given more than once")]
    Duplicate(String),
    /// More parameters than any request needs.
    #[error("more than {PARAMETERS_MAX} parameters were given")]
    TooMany,
    /// A parameter has a value of the wrong kind.
    #[error("Invalid {name} value: {found} ({expected} expected)")]
    Kind {
        /// The parameter.
        name: String,
        /// What was sent.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// An endpoint of our own was sent a parameter that it doesn't know.
    #[error("unknown parameter {name:?}, {}", one_of(known))]
    Unknown {
        /// The parameter.
        name: String,
        /// The names that it could have been.
        known: String,
    },
}

fn one_of(known: &str) -> String {
    if known.is_empty() { "and none is taken here".to_owned() } else { format!("expected one of: {known}") }
}

/// The named values of one request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Parameters(BTreeMap<String, Value>);

impl Parameters {
    /// Reads `body` as its `content_type` says. An empty body has no parameters, whatever its type.
    pub(crate) fn read(content_type: Option<&str>, body: &[u8], reads: Reads) -> Result<Self, BadBody> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let essence =
            content_type.map(|text| text.split(';').next().unwrap_or(text).trim().to_ascii_lowercase());
        let looks_like_json = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let is_json = match essence.as_deref() {
            Some("application/json") => true,
            Some("application/x-www-form-urlencoded") => false,
            None | Some("") => looks_like_json,
            Some(other) if other.starts_with("application/") && other.ends_with("+json") => true,
            Some(other) => return Err(unsupported(other, reads)),
        };
        match (is_json, reads) {
            (true, Reads::Form) => Err(unsupported(essence.as_deref().unwrap_or("application/json"), reads)),
            (false, Reads::Json) => {
                Err(unsupported(essence.as_deref().unwrap_or("application/x-www-form-urlencoded"), reads))
            }
            (true, _) => Self::read_json(body),
            (false, _) => Self::read_form(body),
        }
    }

    /// Reads a JSON object.
    pub(crate) fn read_json(body: &[u8]) -> Result<Self, BadBody> {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let fields = reader.deserialize_map(ObjectVisitor).map_err(|error| json_error(&error))?;
        reader.end().map_err(|error| json_error(&error))?;
        if fields.len() > PARAMETERS_MAX {
            return Err(BadBody::TooMany);
        }
        Ok(Self(fields))
    }

    /// Reads `a=b&c=d`, from a body or a query string.
    pub(crate) fn read_form(body: &[u8]) -> Result<Self, BadBody> {
        let malformed = |why: String| BadBody::Syntax { kind: "form", why };
        let text = str::from_utf8(body).map_err(|error| malformed(error.to_string()))?.trim();
        let mut fields = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent::decode(name, Plus::Space).map_err(|why| malformed(why.to_string()))?;
            let value = percent::decode(value, Plus::Space)
                .map_err(|why| malformed(format!("in the value of {name:?}, {why}")))?;
            if fields.len() >= PARAMETERS_MAX {
                return Err(BadBody::TooMany);
            }
            if fields.insert(name.clone(), Value::String(value)).is_some() {
                return Err(BadBody::Duplicate(name));
            }
        }
        Ok(Self(fields))
    }

    /// The parameters of a query string; none if there is no query.
    pub(crate) fn read_query(query: Option<&str>) -> Result<Self, BadBody> {
        Self::read_form(query.unwrap_or_default().as_bytes())
    }

    /// The names given, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The names of those that ask for something: some clients send every field, empty or false.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &str> {
        let asks = |value: &Value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            _ => true,
        };
        self.0.iter().filter(move |(_, value)| asks(value)).map(|(name, _)| name.as_str())
    }

    /// Refuses names outside `known`: for the endpoints of our own, where a typing mistake should not pass unseen.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), BadBody> {
        match self.names().find(|name| !known.contains(name)) {
            Some(name) => Err(BadBody::Unknown { name: name.to_owned(), known: known.join(", ") }),
            None => Ok(()),
        }
    }

    /// A text; absent, null and empty are the same (some clients send every field).
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, BadBody> {
        Ok(self.text_or_empty(name)?.filter(|text| !text.is_empty()))
    }

    /// A text that may be set to nothing: `Some("")` when it was given empty.
    pub(crate) fn text_or_empty(&self, name: &str) -> Result<Option<&str>, BadBody> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, other, "a text")),
        }
    }

    /// A boolean, or one of its spellings as text in any case.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, BadBody> {
        let value = match self.0.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value,
        };
        match value {
            Value::Bool(flag) => Ok(Some(*flag)),
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(Some(true)),
            Value::String(text) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(Some(false)),
            other => Err(wrong(name, other, "true or false")),
        }
    }

    /// A whole number, possibly as text; its sign is the caller's business.
    pub(crate) fn whole(&self, name: &str) -> Result<Option<i64>, BadBody> {
        let expected = "a whole number";
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
            Some(value @ Value::String(text)) => {
                text.trim().parse().map(Some).map_err(|_| wrong(name, value, expected))
            }
            Some(value @ Value::Number(number)) => {
                number.as_i64().map(Some).ok_or_else(|| wrong(name, value, expected))
            }
            Some(other) => Err(wrong(name, other, expected)),
        }
    }

    /// A list of texts; `None` when absent. A single text is a list separated by commas.
    pub(crate) fn list(&self, name: &str) -> Result<Option<Vec<String>>, BadBody> {
        let expected = "a list of texts";
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect(),
            )),
            Some(value @ Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| wrong(name, value, expected)))
                .collect::<Result<Vec<_>, _>>()
                .map(Some),
            Some(other) => Err(wrong(name, other, expected)),
        }
    }

    /// The value as it came, for settings whose kind the configuration knows.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

fn unsupported(found: &str, reads: Reads) -> BadBody {
    let accepted = match reads {
        Reads::Form => "application/x-www-form-urlencoded",
        Reads::FormOrJson => "application/json or application/x-www-form-urlencoded",
        Reads::Json => "application/json",
    };
    BadBody::ContentType { found: shortened(found), accepted }
}

fn wrong(name: &str, found: &Value, expected: &'static str) -> BadBody {
    let found = match found {
        Value::String(text) => shortened(text),
        other => shortened(&other.to_string()),
    };
    BadBody::Kind { name: name.to_owned(), found, expected }
}

/// At most 64 characters of what a client sent, to be quoted in an error.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

const DUPLICATE_MARK: &str = "duplicate parameter: ";

fn json_error(error: &serde_json::Error) -> BadBody {
    let text = error.to_string();
    match text.strip_prefix(DUPLICATE_MARK).and_then(|rest| rest.rsplit_once(" at line ")) {
        Some((name, _)) => BadBody::Duplicate(name.to_owned()),
        None => BadBody::Syntax { kind: "JSON", why: text },
    }
}

/// An object whose names must differ: serde's own map would keep the last of two.
struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = BTreeMap<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = access.next_key::<String>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format_args!("{DUPLICATE_MARK}{name}")));
            }
            let value = access.next_value()?;
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Option<&str> = Some("application/json");
    const FORM: Option<&str> = Some("application/x-www-form-urlencoded; charset=utf-8");

    #[test]
    fn an_empty_body_has_no_parameters_whatever_its_type() {
        for content_type in [None, JSON, FORM, Some("text/html")] {
            for reads in [Reads::Form, Reads::FormOrJson, Reads::Json] {
                assert_eq!(Parameters::read(content_type, b" \n", reads), Ok(Parameters::default()));
            }
        }
    }

    #[test]
    fn form_and_json_mean_the_same() {
        let form = b"username=dev%2Fops+1&expires_in=60&refreshable=True&audience=";
        let json = br#"{"username":"dev/ops 1","expires_in":60,"refreshable":"true","audience":null}"#;
        for (content_type, body) in [(FORM, form.as_slice()), (JSON, json.as_slice())] {
            let read = Parameters::read(content_type, body, Reads::FormOrJson).unwrap();
            assert_eq!(read.text("username"), Ok(Some("dev/ops 1")));
            assert_eq!(read.whole("expires_in"), Ok(Some(60)));
            assert_eq!(read.flag("refreshable"), Ok(Some(true)));
            assert_eq!(read.text("audience"), Ok(None));
            assert_eq!(read.flag("absent"), Ok(None));
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let cases: [(Option<&str>, &[u8], Reads, &str); 9] = [
            (
                JSON,
                b"{\"a\":1",
                Reads::Json,
                "the body is not valid JSON: EOF while parsing an object at line 1 column 6",
            ),
            (
                JSON,
                b"{} x",
                Reads::Json,
                "the body is not valid JSON: trailing characters at line 1 column 4",
            ),
            (
                JSON,
                b"[1]",
                Reads::Json,
                "the body is not valid JSON: invalid type: sequence, expected an object",
            ),
            (JSON, b"{\"a\":1,\"a\":2}", Reads::Json, "parameter \"a\" was given more than once"),
            (FORM, b"a=1&a=2", Reads::Form, "parameter \"a\" was given more than once"),
            (
                FORM,
                b"a=%zz",
                Reads::Form,
                "the body is not valid form: in the value of \"a\", a % must be followed by two hexadecimal digits",
            ),
            (
                JSON,
                b"{}",
                Reads::Form,
                "content type \"application/json\" is not supported here, send application/x-www-form-urlencoded",
            ),
            (
                FORM,
                b"a=1",
                Reads::Json,
                "content type \"application/x-www-form-urlencoded\" is not supported here, send application/json",
            ),
            (
                Some("text/xml"),
                b"<a/>",
                Reads::FormOrJson,
                "content type \"text/xml\" is not supported here, send application/json or application/x-www-form-urlencoded",
            ),
        ];
        for (content_type, body, reads, expected) in cases {
            let error = Parameters::read(content_type, body, reads).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn values_of_the_wrong_kind_are_named() {
        let read = Parameters::read_json(br#"{"a":"maybe","b":1.5,"c":{"d":1},"e":[1]}"#).unwrap();
        assert_eq!(
            read.flag("a").unwrap_err().to_string(),
            "Invalid a value: maybe (true or false expected)"
        );
        assert_eq!(
            read.whole("b").unwrap_err().to_string(),
            "Invalid b value: 1.5 (a whole number expected)"
        );
        assert_eq!(read.text("c").unwrap_err().to_string(), "Invalid c value: {\"d\":1} (a text expected)");
        assert_eq!(
            read.list("e").unwrap_err().to_string(),
            "Invalid e value: [1] (a list of texts expected)"
        );
        assert!(read.only(&["a", "b", "c"]).is_err());
    }
}
