//! What the state knows of itself: tokens, users, keys, feature levels, and when certificates end.

use std::fmt;

use circlet_authority::State;

use super::Sources;
use super::expiring::Expiring;
use super::page::{Page, Value, number};
use crate::home::Paths;
use crate::{certificates, clock, home};

/// So many certificates of others are named.
const TRUSTED_MAX: usize = 50;

pub(super) fn write(page: &mut Page<'_>, sources: &Sources, expiring: &Expiring) -> fmt::Result {
    let published = sources.cluster.published();
    let view = &published.view;
    page.gauge("circlet_tokens_recorded", "Recorded tokens", Some(number(view.token_count() as u64)))?;
    page.gauge(
        "circlet_tokens_listed_revoked",
        "Entries of the revocation list",
        Some(number(view.revoked_count() as u64)),
    )?;
    page.gauge("circlet_users", "Users", Some(number(view.users().count() as u64)))?;
    write_feature_levels(page, view)?;
    let now = sources.cluster.now_at(&published).secs();
    let owners = expiring.by_owner(view, now, clock::boot_ms());
    page.gauges(
        "circlet_tokens_expiring",
        "Recorded tokens that end within a week, by owner: the largest twenty and the others together",
        "owner",
        owners.into_iter().map(|(owner, tokens)| (owner.into(), number(tokens))),
    )?;
    page.gauges(
        "circlet_certificate_expiry_timestamp_seconds",
        "When a certificate ends, in seconds since 1970",
        "certificate",
        certificates(view, &sources.paths),
    )
}

/// Which formats are written, and who reads how many: an upgrade is over once all are the same.
fn write_feature_levels(page: &mut Page<'_>, view: &State) -> fmt::Result {
    page.gauge(
        "circlet_feature_level",
        "The feature level in force: what the cluster writes",
        Some(number(view.feature_level().into())),
    )?;
    page.gauges(
        "circlet_feature_level_supported",
        "The feature level up to which a node reads and writes, as it told the cluster",
        "node",
        view.nodes().map(|node| (node.record.name.clone().into(), number(node.supports.into()))),
    )
}

/// Every certificate that somebody has to renew, and when it ends.
fn certificates(view: &State, paths: &Paths) -> Vec<(Value, f64)> {
    let ends = |der: &[u8]| certificates::not_after_secs(der).map(number);
    let of_file = |path: std::path::PathBuf| {
        let pem = home::read(&path, "it shows this node to its peers").ok()?;
        ends(certificates::read_certificates(&pem).ok()?.first()?)
    };
    let own: [(&'static str, Option<f64>); 3] = [
        ("node", of_file(paths.node_crt())),
        ("ca", view.cluster_ca_certificate().and_then(ends)),
        ("token_key", view.active_key().and_then(|key| ends(&key.certificate_der))),
    ];
    let own = own.into_iter().filter_map(|(name, at)| Some((Value::from(name), at?)));
    let trusted = view.circle().take(TRUSTED_MAX).filter_map(|issuer| {
        let at = ends(&issuer.certificate_der)?;
        Some((Value::from(format!("trusted/{}", issuer.file_name)), at))
    });
    own.chain(trusted).collect()
}
