//! Words about the circle of trust.

use std::{collections::BTreeMap, error::Error};

use circlet_authority::{Action, IssuerLimits, LimitIssuer, TrustIssuer};
use circlet_token::{Algorithm, Lifetime};
use goldenscript::ArgumentConsumer;

use super::{Said, flag, next, number, set};
use crate::house::{House, OURS, THEIRS, kid, service};

impl House {
    pub(super) fn trust(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let label = next(args)?;
        self.labels.push((kid(label).to_string(), format!("<{label}>")));
        let trust = TrustIssuer {
            kid: kid(label),
            algorithm: Algorithm::Rs256,
            spki_der: format!("public key {}", args.take_key("public-key").unwrap_or(label)).into_bytes(),
            certificate_der: format!("certificate {label}").into_bytes(),
            issuer: service(match args.take_key("issuer") {
                Some("us") => OURS,
                Some(other) => other,
                None => THEIRS,
            }),
            common_name: label.to_owned(),
            not_after: "7000-01-01".to_owned(),
            limits: limits(args)?,
            file_name: format!("{label}.crt"),
        };
        self.act(args, Action::TrustIssuer(Box::new(trust)))
    }

    pub(super) fn limit(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let kid = kid(next(args)?);
        let limit = LimitIssuer { kid, limits: limits(args)? };
        self.act(args, Action::LimitIssuer(Box::new(limit)))
    }
}

fn limits(args: &mut ArgumentConsumer<'_>) -> Result<IssuerLimits, Box<dyn Error>> {
    Ok(IssuerLimits {
        admin: flag(args, "admin")?.unwrap_or(false),
        groups: args.take_key("groups").map(stands_for),
        max_lifetime: number(args, "max-lifetime")?.map(Lifetime::from_secs),
        audiences: args.take_key("audiences").map(set),
        revoke: flag(args, "revoke")?.unwrap_or(false),
    })
}

/// `theirs:ours,same`: a group without a counterpart stands for itself.
fn stands_for(text: &str) -> BTreeMap<String, String> {
    set(text)
        .into_iter()
        .map(|group| match group.split_once(':') {
            Some((theirs, ours)) => (theirs.to_owned(), ours.to_owned()),
            None => (group.clone(), group),
        })
        .collect()
}
