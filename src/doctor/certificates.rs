//! When certificates end, and whether keys fit them.

use std::path::{Path, PathBuf};

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
    if let Some(NodeSettings { tls: TlsChoice::Files { certificate, .. }, .. }) = settings {
        files.push((
            paths.root().join(certificate),
            "have your authority issue the next one; the node reads it while it runs",
        ));
    }
    let renew = "ask that cluster's operators for the next one; without it their tokens are refused";
    files.extend(trusted(paths).into_iter().map(|file| (file, renew)));
    for (file, remedy) in files {
        findings.extend(of(&file, remedy));
    }
    findings.extend(fits(paths));
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

/// Whether the node's key is that of its certificate.
fn fits(paths: &Paths) -> Option<Finding> {
    let pem = home::read(&paths.node_crt(), "it shows this node to its peers").ok()?;
    let certificate = certificates::read_certificates(&pem).ok()?.into_iter().next()?;
    let key = home::read_secret(&paths.node_key(), "it is the key by which peers know this node").ok()?;
    let key = certificates::read_private_key(&key).ok()?;
    let own = certificates::public_key(&crate::secret::Secret::new(key.secret_der().to_vec())).ok()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).ok()?;
    (parsed.public_key().raw != own).then(|| {
        Finding::problem(
            CERTIFICATES,
            "etc/security/node.key is not the key of etc/security/node.crt",
            "put both back from one backup of this node, or remove the node and join it anew",
        )
    })
}
