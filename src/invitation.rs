//! The text form of an invitation into the circle, and what two clusters say of themselves when they pair.
//!
//! `circlet-invite-1.<id>.<secret>.<introduction>`, the parts in base64url. The secret is derived from the id under a secret
//! of the cluster, so the state stores only its hash; it is never sent: both sides prove that they know it, over what they
//! say.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use circlet_authority::{Approved, State};
use circlet_token::ServiceId;
use circlet_token::feed::CirclePublicKey;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::derivation::derive;
use crate::secret::Secret;

const PREFIX: &str = "circlet-invite-1";
const ID_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
/// A longer text is not looked at.
pub const TEXT_BYTES_MAX: usize = 32 * 1024;

/// What a cluster says of itself to another that shall trust it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// Its service id.
    pub service_id: String,
    /// Its circle key's public half, DER in base64.
    pub circle_key: String,
    /// Where its nodes are.
    pub hosts: Vec<String>,
    /// The authority behind its nodes' TLS certificates, DER in base64.
    pub ca: String,
    /// Its root certificates, DER in base64.
    pub certificates: Vec<String>,
}

/// An invitation as a person carries it to the other cluster.
pub struct Invitation {
    /// Which one it is.
    pub id: [u8; ID_BYTES],
    /// What both sides prove to each other without sending it.
    pub secret: Secret,
    /// The text of the introduction of whoever invites.
    pub introduction: String,
}

/// The text is no invitation, or no introduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedInvitation {
    /// It doesn't begin like one.
    #[error("an invitation begins with `{PREFIX}.`")]
    Prefix,
    /// A part is missing, too much, or garbled.
    #[error("the part {0} of the invitation is missing or garbled; was it copied in full?")]
    Part(&'static str),
}

impl Invitation {
    /// Reads the text form; white space around it is ignored.
    pub fn parse(text: &str) -> Result<Self, MalformedInvitation> {
        let text = text.trim();
        let rest = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('.'));
        let rest = rest.ok_or(MalformedInvitation::Prefix)?;
        let parts: Vec<&str> = rest.split('.').collect();
        let [id, secret, introduction] = parts.as_slice() else {
            return Err(MalformedInvitation::Part("introduction"));
        };
        if text.len() > TEXT_BYTES_MAX {
            return Err(MalformedInvitation::Part("introduction"));
        }
        let id = URL_SAFE_NO_PAD.decode(id).ok().and_then(|id| id.try_into().ok());
        let secret = URL_SAFE_NO_PAD.decode(secret).ok().filter(|secret| secret.len() == SECRET_BYTES);
        Ok(Self {
            id: id.ok_or(MalformedInvitation::Part("id"))?,
            secret: Secret::new(secret.ok_or(MalformedInvitation::Part("secret"))?),
            introduction: (*introduction).to_owned(),
        })
    }

    /// The text form.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        let (id, secret) = (URL_SAFE_NO_PAD.encode(self.id), URL_SAFE_NO_PAD.encode(self.secret.expose()));
        Secret::from(format!("{PREFIX}.{id}.{secret}.{}", self.introduction))
    }
}

impl Introduction {
    /// What the cluster of this view says of itself; `None` before it has a circle key.
    #[must_use]
    pub fn of(view: &State, hosts: Vec<String>) -> Option<Self> {
        let keys = view.keyring().filter(|key| {
            use circlet_authority::KeyState::{Active, Published, Retiring};
            matches!(key.state, Active | Published | Retiring)
        });
        Some(Self {
            service_id: view.service_id()?.to_string(),
            circle_key: STANDARD.encode(&view.circle_key()?.spki_der),
            hosts,
            ca: STANDARD.encode(view.cluster_ca_certificate().unwrap_or_default()),
            certificates: keys.map(|key| STANDARD.encode(&key.certificate_der)).collect(),
        })
    }

    /// What is known here of a member.
    #[must_use]
    pub fn of_member<'a>(approved: &Approved, certificates_der: impl Iterator<Item = &'a [u8]>) -> Self {
        Self {
            service_id: approved.issuer.to_string(),
            circle_key: STANDARD.encode(&approved.circle_key),
            hosts: approved.hosts.clone(),
            ca: STANDARD.encode(&approved.ca_certificate_der),
            certificates: certificates_der.map(|der| STANDARD.encode(der)).collect(),
        }
    }

    /// The text that is carried, sent and proved.
    #[must_use]
    pub fn to_text(&self) -> String {
        let json = serde_json::to_vec(self).expect("texts have a JSON form");
        URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads the text.
    pub fn parse(text: &str) -> Result<Self, MalformedInvitation> {
        let garbled = || MalformedInvitation::Part("introduction");
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| garbled())?;
        serde_json::from_slice(&json).map_err(|_| garbled())
    }

    /// What it asks a person to approve, under this name.
    pub fn to_approve(&self, name: &str) -> Result<Approved, MalformedInvitation> {
        let part = |name| move || MalformedInvitation::Part(name);
        let issuer = ServiceId::parse(&self.service_id).map_err(|_| part("service id")())?;
        let circle_key = STANDARD.decode(&self.circle_key).map_err(|_| part("circle key")())?;
        CirclePublicKey::of_spki(&circle_key).ok_or_else(part("circle key"))?;
        let ca_certificate_der = STANDARD.decode(&self.ca).map_err(|_| part("CA")())?;
        if !self.hosts.iter().all(|host| is_host(host)) {
            return Err(part("hosts")());
        }
        Ok(Approved {
            issuer,
            name: name.to_owned(),
            circle_key,
            hosts: self.hosts.clone(),
            ca_certificate_der,
        })
    }

    /// The root certificates, DER.
    pub fn certificates_der(&self) -> Result<Vec<Vec<u8>>, MalformedInvitation> {
        let decoded = self.certificates.iter().map(|text| STANDARD.decode(text));
        decoded.collect::<Result<_, _>>().map_err(|_| MalformedInvitation::Part("certificates"))
    }
}

/// What a person compares: SHA-256 of a circle key's public half, in groups of four digits.
#[must_use]
pub fn fingerprint(spki_der: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(spki_der).into();
    let digits: Vec<String> =
        digest.as_chunks::<2>().0.iter().map(|[high, low]| format!("{high:02x}{low:02x}")).collect();
    digits.join(" ")
}

/// Whether a text is the address of a node, and nothing more: `scheme://host:port`.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && plain
        && !text.ends_with('/')
        && url.path() == "/"
}

/// The secret of the invitation `id`, which any node of the cluster can derive.
#[must_use]
pub fn secret_of(refresh_secret: &Secret, id: &[u8; ID_BYTES]) -> Secret {
    Secret::new(mac(&derive(refresh_secret, "circlet invitation"), id).to_vec())
}

/// What the state stores of an invitation.
#[must_use]
pub fn hash_of(secret: &Secret) -> [u8; 32] {
    Sha256::new().chain_update(b"circlet invitation:").chain_update(secret.expose()).finalize().into()
}

/// Which side proves that it knows the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Whoever accepts an invitation.
    Guest,
    /// Whoever made it.
    Host,
}

/// Proves that one knows the secret, over the introduction of the guest.
#[must_use]
pub fn prove(secret: &Secret, side: Side, introduction: &str) -> String {
    let purpose: &[u8] = match side {
        Side::Guest => b"circlet guest\0",
        Side::Host => b"circlet host\0",
    };
    URL_SAFE_NO_PAD.encode(mac(secret.expose(), &[purpose, introduction.as_bytes()].concat()))
}

/// Whether a proof is the one that only who knows the secret can make.
#[must_use]
pub fn is_proof(proof: &str, secret: &Secret, side: Side, introduction: &str) -> bool {
    prove(secret, side, introduction).as_bytes().ct_eq(proof.as_bytes()).into()
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn introduction() -> Introduction {
        let key = circlet_token::SigningKey::from_ed25519_seed(&[1; 32]);
        Introduction {
            service_id: "jfrt@01them".to_owned(),
            circle_key: STANDARD.encode(key.spki_der()),
            hosts: vec!["https://one.example.org:8443".to_owned()],
            ca: STANDARD.encode(b"ca"),
            certificates: vec![STANDARD.encode(b"certificate")],
        }
    }

    #[test]
    fn an_invitation_reads_back_and_a_damaged_one_does_not() {
        let secret = secret_of(&Secret::new(vec![7; 32]), &[1; 16]);
        let text = introduction().to_text();
        let invitation = Invitation { id: [1; 16], secret, introduction: text };
        let carried = invitation.to_text();
        let carried = carried.expose_text().unwrap();
        let back = Invitation::parse(&format!(" {carried}\n")).unwrap();
        assert_eq!((back.id, back.secret.expose()), ([1; 16], invitation.secret.expose()));
        let said = Introduction::parse(&back.introduction).unwrap();
        assert_eq!(said, introduction());
        assert_eq!(said.to_approve("them").unwrap().issuer.as_str(), "jfrt@01them");
        for text in ["", "circlet-invite-1", "circlet-invite-1.a.b", &carried[1..], &carried[..60]] {
            assert!(Invitation::parse(text).is_err(), "{text}");
        }
        let cut = &back.introduction[..back.introduction.len() - 9];
        assert!(Introduction::parse(cut).is_err());
    }

    #[test]
    fn an_introduction_names_hosts_and_nothing_behind_them() {
        let with = |host: &str| Introduction { hosts: vec![host.to_owned()], ..introduction() };
        for host in ["ftp://x", "http://x/", "http://x/path", "http://u:p@x", "http://x?y=z", "x:8443", ""] {
            assert!(with(host).to_approve("them").is_err(), "{host}");
        }
        assert!(with("http://127.0.0.1:8081").to_approve("them").is_ok());
        let wrong = Introduction { circle_key: STANDARD.encode(b"no key"), ..introduction() };
        assert_eq!(wrong.to_approve("them"), Err(MalformedInvitation::Part("circle key")));
    }

    #[test]
    fn a_proof_is_of_one_side_one_secret_and_one_introduction() {
        let (secret, other) = (Secret::new(vec![1; 32]), Secret::new(vec![2; 32]));
        let proof = prove(&secret, Side::Guest, "said");
        assert!(is_proof(&proof, &secret, Side::Guest, "said"));
        assert!(!is_proof(&proof, &secret, Side::Host, "said"));
        assert!(!is_proof(&proof, &secret, Side::Guest, "another"));
        assert!(!is_proof(&proof, &other, Side::Guest, "said"));
        assert!(!is_proof("", &secret, Side::Guest, "said"));
    }
}
