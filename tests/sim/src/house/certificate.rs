//! Root certificates that the product can read. Nothing in one is drawn: it follows from the key and the issuer.

use circlet_token::{ServiceId, SigningKey};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};

/// The certificate of a token key, signed by itself, as a cluster makes one for itself.
pub(super) fn of(issuer: &ServiceId, key: &SigningKey) -> Vec<u8> {
    let key = KeyPair::try_from(key.to_pkcs8_der().as_slice()).expect("a key from a seed is one");
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("circlet Token Issuer {issuer}"));
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(6999, 1, 1));
    let certificate = params.self_signed(&key).expect("a certificate of these parts can be made");
    certificate.der().to_vec()
}

#[cfg(test)]
mod tests {
    use circlet_token::feed::check_token_key;

    use crate::house::{NEIGHBOURS, Pair, SERVICE};

    #[test]
    fn a_certificate_is_one_that_a_feed_may_tell_and_always_the_same() {
        let pair = Pair::named(&SERVICE, "a key");
        let facts = check_token_key(&SERVICE, pair.certificate()).expect("it can be read");
        assert_eq!((facts.key_id, facts.spki_der), (pair.kid.clone(), pair.signer().spki_der()));
        assert!(facts.self_signed);
        assert!(
            check_token_key(&NEIGHBOURS[0], pair.certificate()).is_err(),
            "it speaks for its issuer only"
        );
        assert_eq!(Pair::named(&SERVICE, "a key").kid, pair.kid);
    }
}
