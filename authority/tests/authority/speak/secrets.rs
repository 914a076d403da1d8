//! The words about the master key, and about what a lost node knew.

use circlet_authority::{
    Action, Actor, ClusterCa, DeclareLost, KeyOrigin, NewKey, ReplaceCa, ReplaceSecrets, Resealed,
    SealedKind, TurnMasterKey,
};
use goldenscript::ArgumentConsumer;

use super::{Said, name, next, number};
use crate::{
    house::{House, hash, new_key, sealed_under},
    tell::tell,
};

/// The cluster begins under m1.
fn fingerprint(label: &str) -> [u8; 32] {
    if label == "m1" { [9; 32] } else { hash(label) }
}

impl House {
    /// `announce m2 node=1 patience=60`, `hold m2 node=5`, `reseal m2`, `switch m2`.
    pub(super) fn turn_master_key(&mut self, word: &str, args: &mut ArgumentConsumer<'_>) -> Said {
        let label = next(args)?;
        let fingerprint_ = fingerprint(label);
        self.master_keys.push(label.to_owned());
        let turn = match word {
            "announce" => TurnMasterKey::Announce {
                fingerprint: fingerprint_,
                replaces: args
                    .take_key("replaces")
                    .map(fingerprint)
                    .or(self.state.master_key_fingerprint())
                    .ok_or("no master key")?,
                node: number(args, "node")?.unwrap_or(1),
                patience_secs: number(args, "patience")?.unwrap_or(60),
            },
            "hold" => {
                TurnMasterKey::Hold { fingerprint: fingerprint_, node: number(args, "node")?.unwrap_or(1) }
            }
            "reseal" => {
                let under = args.take_key("under").map_or(fingerprint_, fingerprint);
                let some = number(args, "some")?.and_then(|some| usize::try_from(some).ok());
                let left = self.state.not_resealed();
                let secrets = left.into_iter().take(some.unwrap_or(usize::MAX));
                let secrets =
                    secrets.filter_map(|which| Some((which.clone(), self.resealed(&which, label, under)?)));
                TurnMasterKey::Reseal { fingerprint: fingerprint_, secrets: secrets.collect() }
            }
            _ => TurnMasterKey::Switch { fingerprint: fingerprint_ },
        };
        let actor = match word {
            "announce" => self.actor(args)?,
            _ => args.take_key("by").map_or(Actor::System, |user| Actor::User { name: name(user) }),
        };
        Ok(tell(&self.apply(actor, Action::TurnMasterKey(Box::new(turn)))))
    }

    fn resealed(&self, which: &SealedKind, label: &str, under: [u8; 32]) -> Option<Resealed> {
        let replaces = self.state.sealed(which)?.nonce;
        Some(Resealed { replaces, sealed: sealed_under(&format!("{which:?} under {label}"), under) })
    }

    pub(super) fn declare_lost(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let node = next(args)?.parse()?;
        self.act(args, Action::DeclareLost(DeclareLost { node }))
    }

    /// `replace-secrets k2 ca=ca-2`, sealed under the present master key unless another is named.
    pub(super) fn replace_secrets(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let label = next(args)?;
        self.labels.push((crate::house::kid(label).to_string(), format!("<{label}>")));
        let under = args.take_key("under").map(fingerprint).or(self.state.master_key_fingerprint());
        let under = under.ok_or("no master key")?;
        let present = self.state.cluster_ca_certificate().unwrap_or_default().to_vec();
        let ca = args.take_key("ca").unwrap_or("ca-2");
        let key = new_key(label, args.take_key("public-key").unwrap_or(label), KeyOrigin::Made);
        let replace = ReplaceSecrets {
            ca_replaces: args.take_key("replaces-ca").map_or(present, |ca| ca.as_bytes().to_vec()),
            ca: ClusterCa { certificate_der: ca.as_bytes().to_vec(), private_key: sealed_under(ca, under) },
            refresh_secret: sealed_under("another refresh secret", under),
            key: NewKey { private_key: sealed_under(label, under), ..key },
        };
        let actor = args.take_key("by").map_or(Actor::System, |user| Actor::User { name: name(user) });
        Ok(tell(&self.apply(actor, Action::ReplaceSecrets(Box::new(replace)))))
    }

    /// `replace-ca ca-2`, sealed under the present master key unless another is named.
    pub(super) fn replace_ca(&mut self, args: &mut ArgumentConsumer<'_>) -> Said {
        let ca = next(args)?;
        let under = args.take_key("under").map(fingerprint).or(self.state.master_key_fingerprint());
        let sealed = sealed_under(ca, under.ok_or("no master key")?);
        let replaces = self.state.cluster_ca_certificate().unwrap_or_default().to_vec();
        let ca = ClusterCa { certificate_der: ca.as_bytes().to_vec(), private_key: sealed };
        self.act(args, Action::ReplaceCa(Box::new(ReplaceCa { replaces, ca })))
    }

    /// The master key, what is on its way, the CA, and who is lost.
    pub(super) fn secrets(&self) -> String {
        let named = |wanted: [u8; 32]| {
            let known = self.master_keys.iter().find(|label| fingerprint(label) == wanted);
            known.map_or("m1", String::as_str).to_owned()
        };
        let state = &self.state;
        let master = state.master_key_fingerprint().map(named).unwrap_or_default();
        let mut said = vec![format!("master key {master}")];
        if let Some(coming) = state.next_master_key() {
            let (next, left) = (named(coming.fingerprint), state.not_resealed().len());
            let why = state.master_key_waits(coming, self.now_ms).map(|why| format!(" ({why})"));
            let why = why.unwrap_or_default();
            said.push(format!("next {next} on {:?}, {left} not resealed{why}", coming.holders));
        }
        said.push(String::from_utf8_lossy(state.cluster_ca_certificate().unwrap_or_default()).into_owned());
        for lost in state.lost_nodes() {
            let replaced =
                lost.replaced.map_or("not replaced".to_owned(), |index| format!("replaced at {index}"));
            said.push(format!("{} lost at {}, {replaced}", lost.name, lost.index));
        }
        said.join(", ")
    }
}
