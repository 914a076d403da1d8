//! Verifying with nothing but root certificates: no server, and therefore no knowledge of revocations.

use std::path::{Path, PathBuf};

use circlet_token::{
    AudienceRule, Check, KeySet, Parsed, PublicKey, Reject, ServiceId, Verified, verify as verify_token,
};
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::clock::Now;

/// A certificate file is never larger.
const CERTIFICATE_BYTES_MAX: u64 = 64 * 1024;

/// Judges a token by the certificates in a folder. Without an audience that rule is left out.
pub(super) fn verify(token: &str, folder: &Path, audience: Option<&str>) -> Result<Value, Failure> {
    let keys = keys_in(folder)?;
    let parsed = Parsed::parse(token).map_err(|reject| rejected(&reject))?;
    let audience = audience
        .map(ServiceId::parse)
        .transpose()
        .map_err(|error| Failure::input("the audience is not a service id").because(error))?;
    let me = audience.as_ref().unwrap_or(&parsed.claims().issuer);
    let mut check = Check::new(Now::at_least(0).secs(), me);
    if audience.is_none() {
        check.audience_rule = AudienceRule::Ignore;
    }
    let verified = verify_token(token, &keys, &check).map_err(|reject| rejected(&reject))?;
    Ok(verdict(&verified))
}

fn rejected(reject: &Reject) -> Failure {
    let failure = Failure::input(format!("rejected ({}): {reject}", reject.code()));
    match reject {
        Reject::UnknownKey { .. } => {
            failure.hint("is the root certificate of the issuing cluster in the folder?")
        }
        _ => failure,
    }
}

fn verdict(verified: &Verified) -> Value {
    let claims = &verified.claims;
    let mut verdict = json!({
        "valid": true,
        "subject": claims.subject.as_str(),
        "scope": claims.scope.as_str(),
        "audience": claims.audience.as_str(),
        "issuer": claims.issuer.as_str(),
        "issued_at": claims.issued_at,
        "kid": verified.key.as_str(),
        "algorithm": verified.algorithm.as_str(),
        "revocation": "not checked",
    });
    if let Some(expires_at) = claims.expires_at {
        verdict["expiry"] = json!(expires_at);
    }
    if let Some(id) = &claims.id {
        verdict["token_id"] = json!(id.to_string());
    }
    verdict
}

/// The keys of all `*.crt` and `*.pem` files in a folder.
fn keys_in(folder: &Path) -> Result<KeySet, Failure> {
    let unreadable = |error| {
        Failure::input(format!("cannot read the certificates in {}", folder.display())).because(error)
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|ending| ending == "crt" || ending == "pem") {
            files.push(path);
        }
    }
    // The same folder always gives the same first complaint.
    files.sort();
    let mut keys = KeySet::new();
    for file in &files {
        keys.insert(key_of(file)?)
            .map_err(|conflict| Failure::input(format!("cannot use {}", file.display())).because(conflict))?;
    }
    if keys.is_empty() {
        return Err(Failure::input(format!("no certificate (*.crt, *.pem) in {}", folder.display()))
            .hint("put the root certificates there: etc/keys/root.crt of any node of each cluster"));
    }
    Ok(keys)
}

fn key_of(file: &PathBuf) -> Result<PublicKey, Failure> {
    let unusable = || Failure::input(format!("cannot use {}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| unusable().because(error))?.len();
    if size > CERTIFICATE_BYTES_MAX {
        return Err(unusable()
            .hint(format!("it has {size} bytes; a certificate has at most {CERTIFICATE_BYTES_MAX}")));
    }
    let bytes = std::fs::read(file).map_err(|error| unusable().because(error))?;
    PublicKey::from_certificate(&bytes, None).map_err(|error| unusable().because(error))
}

#[cfg(test)]
mod tests {
    use circlet_token::{
        Algorithm, Audience, Claims, Scope, ServiceId, SigningKey, Subject, TokenId, mint, read_certificate,
    };

    use super::verify;
    use crate::certificates::{TokenKeyKind, certificate_pem, token_issuer};
    use crate::cli::failure::Fault;
    use crate::clock::Now;

    const SERVICE: &str = "jfrt@01jd5y0000000000000000000a";

    /// A token of a new cluster, and the folder with its certificate.
    fn issued(lifetime_secs: u64) -> (String, tempfile::TempDir) {
        let now = Now::at_least(0);
        let issuer = token_issuer(TokenKeyKind::EdDsa, SERVICE, now.millis()).expect("an issuer");
        let facts = read_certificate(&issuer.certificate).expect("our own certificate");
        let service = ServiceId::parse(SERVICE).expect("a service id");
        let claims = Claims {
            revocable: None,
            subject: Subject::parse(&format!("{SERVICE}/users/alice")).expect("a subject"),
            scope: Scope::parse("applied-permissions/user").expect("a scope"),
            audience: Audience::service(&service),
            issuer: service,
            expires_at: Some(now.secs() + lifetime_secs),
            issued_at: now.secs(),
            not_before: None,
            id: Some(TokenId([7; 16])),
            index: Some(1),
        };
        let key = SigningKey::from_pkcs8_der(issuer.private_key.expose()).expect("our own key");
        assert_eq!(key.algorithm(), Algorithm::EdDsa);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("root.crt"), certificate_pem(&issuer.certificate)).expect("a file");
        (mint(&claims, &facts.key_id, &key), folder)
    }

    #[test]
    fn a_root_certificate_is_all_it_takes() {
        let (token, folder) = issued(60);
        let verdict = verify(&token, folder.path(), Some(SERVICE)).expect("a good token");
        assert_eq!(verdict["subject"], format!("{SERVICE}/users/alice"));
        assert_eq!(verdict["revocation"], "not checked");
        let elsewhere = verify(&token, folder.path(), Some("jfrt@01jd5y0000000000000000000b"));
        assert!(elsewhere.expect_err("another audience").message.contains("audience"));
    }

    #[test]
    fn a_stranger_is_refused_and_so_is_an_empty_folder() {
        let (token, _folder) = issued(60);
        let (_, strangers) = issued(60);
        let failure = verify(&token, strangers.path(), None).expect_err("another cluster's token");
        assert_eq!(failure.fault, Fault::Input);
        let empty = tempfile::tempdir().expect("a folder");
        assert!(verify(&token, empty.path(), None).expect_err("no certificate").hint.is_some());
    }
}
