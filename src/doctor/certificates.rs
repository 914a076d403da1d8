//! When certificates end, and whether keys fit them.

use std::path::{Path, PathBuf};

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;

use super::Finding;
use crate::home::settings::{NodeSettings, TlsChoice};
use crate::home::{self, Paths};
use crate::{certificates, clock};

const CERTIFICATES: &str = "certificates";
/// A certificate that ends within this, in seconds, is to be renewed: two weeks.
const SOON_SECS: u64 = 14 * 24 * 60 * 60;
const DAY_SECS: u64 = 24 * 60 * 60;

pub(super) fn look(paths: &Paths, settings: Option<&NodeSettings>, findings: &mut Vec<Finding>) {
    let before = findings.len();
    let mut files = vec![
        (paths.node_crt(), "copy it from a backup of this node, or join the node anew"),
        (paths.ca_crt(), "copy it from another node"),
        (paths.root_crt(), "it comes back by itself when the node runs"),
    ];
    if let Some(NodeSettings { tls: TlsChoice::Files { certificate, key }, .. }) = settings {
        let (certificate, key) = (paths.root().join(certificate), paths.root().join(key));
        findings.extend(fits(
            &key,
            &certificate,
            "put the certificate beside the key that it was issued for",
        ));
        files.push((certificate, "have your authority issue the next one; the node reads it while it runs"));
    }
    let renew = "ask that cluster's operators for the next one; without it their tokens are refused";
    files.extend(trusted(paths).into_iter().map(|file| (file, renew)));
    for (file, remedy) in files {
        findings.extend(of(&file, remedy));
    }
    let remedy = "put both back from one backup of this node, or remove the node and join it anew";
    findings.extend(fits(&paths.node_key(), &paths.node_crt(), remedy));
    if findings.len() == before {
        findings.push(Finding::fine(CERTIFICATES, "all can be read, and none ends within two weeks"));
    }
}

/// The certificates of the circle of trust.
fn trusted(paths: &Paths) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(paths.trusted()) else { return Vec::new() };
    let files = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|end| end == "crt")).collect();
    files.sort();
    files
}

fn of(file: &Path, remedy: &str) -> Option<Finding> {
    let shown = file.display();
    let der = home::read(file, "it is a certificate")
        .map_err(|error| error.to_string())
        .and_then(|pem| certificates::read_certificates(&pem).map_err(|error| format!("{shown}: {error}")));
    let ends = match der {
        Ok(chain) => chain.first().and_then(|der| certificates::not_after_secs(der)),
        Err(error) => return Some(Finding::problem(CERTIFICATES, error, remedy)),
    };
    let now = clock::wall_ms() / 1_000;
    match ends {
        None => Some(Finding::problem(CERTIFICATES, format!("{shown} holds no certificate"), remedy)),
        Some(at) if at <= now => Some(Finding::problem(CERTIFICATES, format!("{shown} has ended"), remedy)),
        Some(at) if at - now < SOON_SECS => {
            let days = (at - now) / DAY_SECS;
            Some(Finding::warning(CERTIFICATES, format!("{shown} ends in {days} days"), remedy))
        }
        Some(_) => None,
    }
}

/// Whether a key is that of its certificate. What can't be read is found elsewhere.
fn fits(key: &Path, certificate: &Path, remedy: &str) -> Option<Finding> {
    let pem = home::read(certificate, "it is a certificate").ok()?;
    let shown = certificates::read_certificates(&pem).ok()?.into_iter().next()?;
    let pem = home::read_secret(key, "it is the key of a certificate").ok()?;
    let parsed = certificates::read_private_key(&pem).ok()?;
    let fitted = CertifiedKey::from_der(vec![shown.into()], parsed, &aws_lc_rs::default_provider());
    matches!(fitted, Err(rustls::Error::InconsistentKeys(_))).then(|| {
        let found = format!("{} is not the key of {}", key.display(), certificate.display());
        Finding::problem(CERTIFICATES, found, remedy)
    })
}
