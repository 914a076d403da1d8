//! The words about the cluster's signing keys.

use circlet_authority::{Action, Actor, KeyOrigin, NewKey, RotateKey};
use goldenscript::ArgumentConsumer;

use super::{Said, flag, next, number};
use crate::{
    house::{House, kid, name, new_key},
    tell::tell,
};

impl House {
    /// `publish k2 public-key=k2 replaces=k1 overlap=60`, `confirm k2 node=1`, `activate k2 replaces=k1`, `taint k1 next=k3`.
    pub(super) fn rotate(&mut self, word: &str, args: &mut ArgumentConsumer<'_>) -> Said {
        let label = next(args)?;
        let kid_ = kid(label);
        let rotate = match word {
            "publish" => {
                self.labels.push((kid_.to_string(), format!("<{label}>")));
                let active = self.state.active_key().map(|key| key.kid.clone());
                RotateKey::Publish {
                    key: Box::new(key_of(label, args)),
                    replaces: args.take_key("replaces").map(kid).or(active).ok_or("nothing is active")?,
                    overlap_secs: number(args, "overlap")?,
                }
            }
            "activate" => {
                RotateKey::Activate { kid: kid_, replaces: kid(args.take_key("replaces").unwrap_or("k1")) }
            }
            "confirm" => RotateKey::Confirm { kid: kid_, node: number(args, "node")?.unwrap_or(1) },
            "cancel" => RotateKey::Cancel { kid: kid_ },
            "retire" => RotateKey::Retire { kid: kid_, vouched: flag(args, "vouched")?.unwrap_or(false) },
            _ => {
                let next = args.take_key("next");
                if let Some(next) = next {
                    self.labels.push((kid(next).to_string(), format!("<{next}>")));
                }
                RotateKey::Taint { kid: kid_, next: next.map(|next| Box::new(key_of(next, args))) }
            }
        };
        let actor = match word {
            "confirm" => args.take_key("by").map_or(Actor::System, |user| Actor::User { name: name(user) }),
            _ => self.actor(args)?,
        };
        let outcome = self.apply(actor, Action::RotateKey(Box::new(rotate)));
        Ok(tell(&outcome))
    }

    pub(super) fn keys(&self) -> String {
        let active = self.state.active_key().map(|key| key.kid.clone());
        let key = |key: &std::sync::Arc<circlet_authority::Key>| {
            let mark = if active.as_ref() == Some(&key.kid) { "*" } else { "" };
            format!("{}{mark} {} signed {}", key.kid, key.state.as_str(), self.state.signed_by(&key.kid))
        };
        let mut keys: Vec<String> = self.state.keyring().map(|one| self.label(&key(one))).collect();
        keys.sort();
        keys.join(", ")
    }
}

fn key_of(label: &str, args: &mut ArgumentConsumer<'_>) -> NewKey {
    let origin = match args.take_key("origin") {
        Some("adopted") => KeyOrigin::Adopted,
        _ => KeyOrigin::Made,
    };
    new_key(label, args.take_key("public-key").unwrap_or(label), origin)
}
