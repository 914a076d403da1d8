//! An invitation lets in one guest, once: one that its cluster has made, before it expires by the state's time, and the guest
//! that was named, or nobody who is known there. Who comes is who says so himself and has the invitation, whatever became of
//! that on the way. The same guest may come again, which changes nothing; and whoever was told that it was let in is followed.

use std::collections::{BTreeMap, BTreeSet};

use circlet_token::ServiceId;

use super::Invariant;
use crate::history::Event;

/// An invitation as it was made.
#[derive(Debug)]
struct Invite {
    index: u64,
    guest: Option<ServiceId>,
    until: u64,
    /// From which index on it is none any more. A node that comes late applies what was before.
    void: Option<u64>,
    /// Who came with it, and by which entry.
    used: Option<(u64, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct Paired {
    invites: BTreeMap<u64, Invite>,
    /// By invitation, what was said of themselves by those who have it.
    spoke: BTreeSet<(u64, u64)>,
    /// By invitation, who was let in.
    let_in: BTreeSet<(u64, u64)>,
}

/// Somebody who came.
struct Coming<'a> {
    index: u64,
    invite: u64,
    issuer: &'a ServiceId,
    who: u64,
    known: bool,
    now_secs: u64,
    renewed: bool,
}

impl Paired {
    fn come(&mut self, coming: &Coming<'_>) -> Result<(), String> {
        let Coming { index, invite, issuer, who, known, now_secs, renewed } = *coming;
        if !self.spoke.contains(&(invite, who)) {
            return Err("nobody who has the invitation said so".to_owned());
        }
        let made = self.invites.get_mut(&invite).filter(|made| made.void.is_none_or(|void| index < void));
        let Some(made) = made else {
            return Err("there is no such invitation".to_owned());
        };
        match made.used {
            // Another node has applied the same.
            Some((_, at)) if at == index => return Ok(()),
            Some((used, at)) if used != who => return Err(format!("another guest came with it at {at}")),
            Some((_, at)) if renewed => return Err(format!("it was used at {at}")),
            Some(_) => return Ok(()),
            None => {}
        }
        if now_secs >= made.until {
            return Err(format!("it had expired at {}, and it was {now_secs}", made.until));
        }
        match &made.guest {
            Some(guest) if !guest.same_service(issuer) => return Err(format!("it is for {guest}")),
            None if known => return Err("it is for nobody who is known".to_owned()),
            _ => {}
        }
        made.used = Some((who, index));
        self.let_in.insert((invite, who));
        Ok(())
    }
}

impl Invariant for Paired {
    fn name(&self) -> &'static str {
        "paired"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Invited { index, invite, guest, until } => {
                let made =
                    Invite { index: *index, guest: guest.clone(), until: *until, void: None, used: None };
                self.invites.entry(*invite).or_insert(made);
            }
            // What was invited before is not known any more.
            Event::Begun { .. } => self.invites.clear(),
            Event::InvitesVoid { index } => {
                for made in self.invites.values_mut().filter(|made| made.index <= *index) {
                    made.void.get_or_insert(*index);
                }
            }
            Event::GuestSpoke { invite, who } => drop(self.spoke.insert((*invite, *who))),
            Event::Paired { node, index, invite, issuer, who, known, now_secs, renewed } => {
                let coming = Coming {
                    index: *index,
                    invite: *invite,
                    issuer,
                    who: *who,
                    known: *known,
                    now_secs: *now_secs,
                    renewed: *renewed,
                };
                return self.come(&coming).map_err(|why| {
                    format!("node {node} let {issuer} in with invitation {invite:016x} at {index}: {why}")
                });
            }
            Event::GuestTold { invite, who } if !self.let_in.contains(&(*invite, *who)) => {
                return Err(format!(
                    "a guest was told that it was let in with invitation {invite:016x}, and was not"
                ));
            }
            Event::GuestLooked { issuer, followed: false } => {
                return Err(format!("{issuer} was told that it was let in, and is not followed"));
            }
            _ => {}
        }
        Ok(())
    }
}
