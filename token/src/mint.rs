//! Writing a token.
use crate::base64url;
use crate::claims::Claims;
use crate::json;
use crate::key_id::KeyId;
use crate::signing_key::SigningKey;

/// Signs claims into a token. The same arguments always give the same bytes, on every node and in every version: this is
/// what makes a refresh repeatable.
///
/// The header has `ver, typ, alg, kid`, the payload `ext, sub, scp, aud, iss, exp, iat, jti, idx`, in these orders, what is
/// absent left out. Of [`Claims::revocable`] only `Some(true)` is written; [`Claims::not_before`] is never written.
#[must_use]
pub fn mint(claims: &Claims, kid: &KeyId, key: &SigningKey) -> String {
    let header = format!(r#"{{"ver":"2","typ":"JWT","alg":"{}","kid":"{kid}"}}"#, key.algorithm());
    let mut token = base64url::encode(header.as_bytes());
    token.push('.');
    token.push_str(&base64url::encode(payload(claims).as_bytes()));
    let signature = key.sign(token.as_bytes());
    token.push('.');
    token.push_str(&base64url::encode(&signature));
    token
}

fn payload(claims: &Claims) -> String {
    let mut payload = Payload(String::with_capacity(512));
    if claims.revocable == Some(true) {
        payload.text("ext", r#"{"revocable":"true"}"#);
    }
    payload.text("sub", claims.subject.as_str());
    payload.text("scp", claims.scope.as_str());
    payload.audience(claims.audience.as_str());
    payload.text("iss", claims.issuer.as_str());
    payload.number("exp", claims.expires_at);
    payload.number("iat", Some(claims.issued_at));
    if let Some(id) = claims.id {
        payload.text("jti", &id.to_string());
    }
    payload.number("idx", claims.index);
    payload.end()
}

/// A JSON object in the making.
struct Payload(String);

impl Payload {
    fn name(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        json::push_string(&mut self.0, name);
        self.0.push(':');
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        json::push_string(&mut self.0, value);
    }

    fn number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.name(name);
            self.0.push_str(&value.to_string());
        }
    }

    /// A string for one service, an array for several (contract 1.8).
    fn audience(&mut self, entries: &str) {
        if !entries.contains(' ') {
            return self.text("aud", entries);
        }
        self.name("aud");
        for (at, entry) in entries.split(' ').enumerate() {
            self.0.push(if at == 0 { '[' } else { ',' });
            json::push_string(&mut self.0, entry);
        }
        self.0.push(']');
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
