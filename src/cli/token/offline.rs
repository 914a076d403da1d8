//! Verifying with nothing but a folder: no server. Of certificates alone nothing can be known of revocations.

use std::path::Path;

use circlet_token::{
    AudienceRule, Check, Parsed, Reject, Revocation, ServiceId, Verified, verify as verify_token,
};
use serde_json::{Value, json};

use crate::cli::circle::folder::Folder;
use crate::cli::failure::Failure;
use crate::clock;

/// Judges a token by the certificates in a folder, and by what was revoked if the folder `follows`. Without an audience that
/// rule is left out. Says besides what is wrong with the folder's heads.
pub(super) fn verify(
    token: &str,
    folder: &Path,
    follows: bool,
    audience: Option<&str>,
) -> Result<(Value, Vec<String>), Failure> {
    let (folder, now_ms) = (Folder(folder), clock::wall_ms());
    let parsed = Parsed::parse(token).map_err(|reject| rejected(&reject))?;
    let audience = audience
        .map(ServiceId::parse)
        .transpose()
        .map_err(|error| Failure::input("the audience is not a service id").because(error))?;
    let me = audience.as_ref().unwrap_or(&parsed.claims().issuer);
    let mut check = Check::new(now_ms / 1_000, me);
    if audience.is_none() {
        check.audience_rule = AudienceRule::Ignore;
    }
    if !follows {
        let verified = verify_token(token, &folder.keys()?, &check).map_err(|reject| rejected(&reject))?;
        return Ok((verdict(&verified, "not checked"), Vec::new()));
    }
    let (circle, said) = folder.circle(now_ms)?;
    let verified = circle.verify(token, &check).map_err(|reject| {
        let failure = rejected(&reject);
        if said.is_empty() { failure } else { failure.because(said.join("; ")) }
    })?;
    let followed = circle.follower(&verified.claims.issuer).is_some_and(|known| known.known().is_some());
    Ok((verdict(&verified, if followed { "checked" } else { "not checked" }), said))
}

fn rejected(reject: &Reject) -> Failure {
    let failure = Failure::input(format!("rejected ({}): {reject}", reject.code()));
    match reject {
        Reject::UnknownKey { .. } => {
            failure.hint("is the root certificate of the issuing cluster in the folder?")
        }
        Reject::Revoked { why: Revocation::ForeignStale { .. } | Revocation::ForeignUnknown { .. } } => {
            failure
                .hint("`circlet circle pull DIR` fetches what was revoked since; --every 15 goes on doing so")
        }
        _ => failure,
    }
}

fn verdict(verified: &Verified, revocation: &str) -> Value {
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
        "revocation": revocation,
    });
    if let Some(expires_at) = claims.expires_at {
        verdict["expiry"] = json!(expires_at);
    }
    if let Some(id) = &claims.id {
        verdict["token_id"] = json!(id.to_string());
    }
    verdict
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
        let verdict = verify(&token, folder.path(), false, Some(SERVICE)).expect("a good token").0;
        assert_eq!(verdict["subject"], format!("{SERVICE}/users/alice"));
        assert_eq!(verdict["revocation"], "not checked");
        let elsewhere = verify(&token, folder.path(), false, Some("jfrt@01jd5y0000000000000000000b"));
        assert!(elsewhere.expect_err("another audience").message.contains("audience"));
    }

    #[test]
    fn a_stranger_is_refused_and_so_is_an_empty_folder() {
        let (token, _folder) = issued(60);
        let (_, strangers) = issued(60);
        let failure = verify(&token, strangers.path(), false, None).expect_err("another cluster's token");
        assert_eq!(failure.fault, Fault::Input);
        let empty = tempfile::tempdir().expect("a folder");
        assert!(verify(&token, empty.path(), false, None).expect_err("no certificate").hint.is_some());
    }
}
