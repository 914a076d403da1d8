//! Which record has which tag. Never renumbered.

use std::{io, sync::Arc};

use circlet_token::{KeyId, TokenId, feed::FeedEntry};

use super::frames::Writer;
use crate::{
    codec::{DecodeError, Wire, decode_bare, wire_struct},
    command::Whom,
    config::{Config, ConfigChange},
    floor::FloorMarks,
    next_generation::BegunOnFloor,
    record::{
        Family, FamilyId, FormerSecrets, Group, Invite, JoinToken, Key, LostNode, Member, Node, Origin,
        RemovedNode, TokenRecord, TrustedIssuer, User, Watermark,
    },
    state::{Cluster, Idempotent, InOrder, Lately, PurgeMark, State},
};

const HEAD: u8 = 1;
const KEY: u8 = 2;
const TRUSTED: u8 = 3;
const DISTRUSTED: u8 = 4;
const USER: u8 = 5;
const GROUP: u8 = 6;
const TOKEN: u8 = 7;
const FAMILY: u8 = 8;
const LISTED: u8 = 9;
const UNSEEN: u8 = 10;
const LATELY: u8 = 11;
const IDEMPOTENT: u8 = 14;
const NODE: u8 = 15;
const JOIN_TOKEN: u8 = 16;
const CASCADE: u8 = 20;
const LAST_USED: u8 = 21;
const CONFIG_CHANGE: u8 = 17;
const WATERMARK: u8 = 60;
const BEGUN: u8 = 61;
const BEGUN_ON_FLOOR: u8 = 62;
const FLOOR_MARKS: u8 = 63;
const REMOVED_NODE: u8 = 50;
const FEED_END: u8 = 70;
const FEED_LINK: u8 = 71;
const CIRCLE_KEY: u8 = 72;
const MEMBER: u8 = 73;
const FOLLOWED: u8 = 74;
const INVITE: u8 = 75;
const NEXT_MASTER_KEY: u8 = 120;
const FORMER_SECRETS: u8 = 121;
const LOST_NODE: u8 = 122;

/// Everything there is one of.
struct Head {
    index: u64,
    now_ms: u64,
    feature_level: u32,
    cluster: Option<Arc<Cluster>>,
    config: Arc<Config>,
    config_version: u64,
    purge_mark: Option<PurgeMark>,
    unseen_until: u64,
}
wire_struct!(Head {
    index,
    now_ms,
    feature_level,
    cluster,
    config,
    config_version,
    purge_mark,
    unseen_until
});

pub(super) fn write(state: &State, to: &mut Writer<'_>) -> io::Result<()> {
    to.record(HEAD, &head_of(state))?;
    each(to, KEY, state.keyring.values())?;
    each(to, TRUSTED, state.circle.values())?;
    pairs(to, DISTRUSTED, state.distrusted.iter())?;
    each(to, USER, state.users.values())?;
    each(to, GROUP, state.groups.values())?;
    each(to, TOKEN, state.tokens.iter())?;
    pairs(to, FAMILY, state.families.iter())?;
    each(to, LISTED, state.revocations.listed())?;
    pairs(to, UNSEEN, state.revocations.unseen())?;
    pairs(to, LATELY, state.revocations.latest())?;
    for mark in state.watermarks.iter() {
        to.record(WATERMARK, &mark)?;
    }
    pairs(to, IDEMPOTENT, state.idempotency.iter())?;
    each(to, NODE, state.nodes.values())?;
    each(to, JOIN_TOKEN, state.join_tokens.values())?;
    pairs(to, CASCADE, state.cascades.iter())?;
    pairs(to, LAST_USED, state.tokens.uses())?;
    each(to, CONFIG_CHANGE, state.config_changes.values())?;
    write_begun(state, to)?;
    each(to, REMOVED_NODE, state.removed_nodes.values())?;
    each(to, NEXT_MASTER_KEY, state.next_master_key.iter())?;
    let some = *state.former_secrets != FormerSecrets::default();
    each(to, FORMER_SECRETS, Some(&state.former_secrets).into_iter().filter(|_| some))?;
    each(to, LOST_NODE, state.lost_nodes.values())?;
    write_circle(state, to)
}

/// A form that came later is written only where there is something to say that the first can't, which takes its level.
fn write_begun(state: &State, to: &mut Writer<'_>) -> io::Result<()> {
    match state.begun {
        Some(begun) if begun.own_since.is_some() => to.record(BEGUN_ON_FLOOR, &BegunOnFloor(begun))?,
        begun => each(to, BEGUN, begun.iter())?,
    }
    let marks = state.floor_marks;
    each(to, FLOOR_MARKS, Some(&marks).into_iter().filter(|marks| **marks != FloorMarks::default()))
}

fn write_circle(state: &State, to: &mut Writer<'_>) -> io::Result<()> {
    to.record(FEED_END, state.revocations.feed().end())?;
    each(to, FEED_LINK, state.revocations.feed().recent())?;
    each(to, CIRCLE_KEY, state.circle_key.iter())?;
    each(to, MEMBER, state.members.values())?;
    for member in state.members.values() {
        for entry in state.followed_entries(&member.approved.issuer) {
            to.record(FOLLOWED, &(member.since_index, entry))?;
        }
    }
    each(to, INVITE, state.invites.values())
}

fn head_of(state: &State) -> Head {
    Head {
        index: state.index,
        now_ms: state.now_ms,
        feature_level: state.feature_level,
        cluster: state.cluster.clone(),
        config: Arc::clone(&state.config),
        config_version: state.config_version,
        purge_mark: state.purge_mark.clone(),
        unseen_until: state.unseen_until,
    }
}

fn each<'a, T: Wire + 'a>(
    to: &mut Writer<'_>,
    tag: u8,
    records: impl Iterator<Item = &'a T>,
) -> io::Result<()> {
    for record in records {
        to.record(tag, record)?;
    }
    Ok(())
}

fn pairs<'a, K, V>(
    to: &mut Writer<'_>,
    tag: u8,
    records: impl Iterator<Item = (&'a K, &'a V)>,
) -> io::Result<()>
where
    K: Wire + Clone + 'a,
    V: Wire + Clone + 'a,
{
    for (key, value) in records {
        to.record(tag, &(key.clone(), value.clone()))?;
    }
    Ok(())
}

pub(super) fn restore(
    state: &mut State,
    listed: &mut InOrder,
    tag: u8,
    bytes: &[u8],
) -> Result<(), DecodeError> {
    match tag {
        HEAD => restore_head(state, decode_bare(bytes)?),
        KEY | TRUSTED | DISTRUSTED => restore_keys(state, tag, bytes)?,
        USER => {
            let user: Arc<User> = decode_bare(bytes)?;
            state.users.insert(user.name.clone(), user);
        }
        GROUP => {
            let group: Arc<Group> = decode_bare(bytes)?;
            state.groups.insert(group.name.clone(), group);
        }
        TOKEN => state.tokens.insert(decode_bare::<TokenRecord>(bytes)?),
        FAMILY => {
            let (id, family): (FamilyId, Family) = decode_bare(bytes)?;
            state.families.insert(id, family);
        }
        LISTED => listed.restore(&mut state.revocations, decode_bare(bytes)?),
        UNSEEN | LATELY | WATERMARK => restore_revocations(state, tag, bytes)?,
        IDEMPOTENT => {
            let (key, entry): ([u8; 32], Idempotent) = decode_bare(bytes)?;
            state.idempotency.insert(key, entry);
        }
        NODE => {
            let node: Arc<Node> = decode_bare(bytes)?;
            state.nodes.insert(node.record.id, node);
        }
        REMOVED_NODE => {
            let removed: Arc<RemovedNode> = decode_bare(bytes)?;
            state.removed_nodes.insert(removed.record.id, removed);
        }
        JOIN_TOKEN => {
            let token: Arc<JoinToken> = decode_bare(bytes)?;
            state.join_tokens.insert(token.hash, token);
        }
        CASCADE => {
            let (origin, after): (Origin, Option<TokenId>) = decode_bare(bytes)?;
            state.cascades.insert(origin, after);
        }
        LAST_USED => {
            let (id, at): (TokenId, u64) = decode_bare(bytes)?;
            state.tokens.note_use(id, at);
        }
        CONFIG_CHANGE => {
            let change: Arc<ConfigChange> = decode_bare(bytes)?;
            state.config_changes.insert(change.version, change);
        }
        BEGUN => state.begun = Some(decode_bare(bytes)?),
        BEGUN_ON_FLOOR => state.begun = Some(decode_bare::<BegunOnFloor>(bytes)?.0),
        FLOOR_MARKS => state.floor_marks = decode_bare(bytes)?,
        NEXT_MASTER_KEY => state.next_master_key = Some(decode_bare(bytes)?),
        FORMER_SECRETS => state.former_secrets = decode_bare(bytes)?,
        LOST_NODE => {
            let lost: Arc<LostNode> = decode_bare(bytes)?;
            state.lost_nodes.insert(lost.id, lost);
        }
        FEED_END..=INVITE => restore_circle(state, tag, bytes)?,
        tag => return Err(DecodeError::UnknownTag { what: "a snapshot", tag: u64::from(tag) }),
    }
    Ok(())
}

fn restore_head(state: &mut State, head: Head) {
    state.index = head.index;
    state.now_ms = head.now_ms;
    state.feature_level = head.feature_level;
    state.cluster = head.cluster;
    state.config = head.config;
    state.config_version = head.config_version;
    state.purge_mark = head.purge_mark;
    state.unseen_until = head.unseen_until;
}

fn restore_keys(state: &mut State, tag: u8, bytes: &[u8]) -> Result<(), DecodeError> {
    match tag {
        KEY => {
            let key: Arc<Key> = decode_bare(bytes)?;
            state.keyring.insert(key.kid.clone(), key);
        }
        TRUSTED => {
            let issuer: Arc<TrustedIssuer> = decode_bare(bytes)?;
            state.circle.insert(issuer.kid.clone(), issuer);
        }
        _ => {
            let (kid, index): (KeyId, u64) = decode_bare(bytes)?;
            state.distrusted.insert(kid, index);
        }
    }
    Ok(())
}

fn restore_revocations(state: &mut State, tag: u8, bytes: &[u8]) -> Result<(), DecodeError> {
    let revocations = &mut state.revocations;
    match tag {
        UNSEEN => {
            let (id, until): (TokenId, u64) = decode_bare(bytes)?;
            revocations.restore_unseen(id, until);
        }
        LATELY => {
            let (id, lately): (TokenId, Lately) = decode_bare(bytes)?;
            revocations.remember(id, lately);
        }
        _ => {
            let (whom, mark): (Whom, Watermark) = decode_bare(bytes)?;
            state.watermarks.set(&whom, mark);
        }
    }
    Ok(())
}

fn restore_circle(state: &mut State, tag: u8, bytes: &[u8]) -> Result<(), DecodeError> {
    match tag {
        FEED_END => state.revocations.feed_mut().restore_end(decode_bare(bytes)?),
        FEED_LINK => state.revocations.feed_mut().restore_link(decode_bare(bytes)?),
        CIRCLE_KEY => state.circle_key = Some(decode_bare(bytes)?),
        MEMBER => {
            let member: Arc<Member> = decode_bare(bytes)?;
            state.members.insert(member.approved.issuer.ulid().to_owned(), member);
        }
        FOLLOWED => {
            let (since, entry): (u64, FeedEntry) = decode_bare(bytes)?;
            let whose = state.members.iter().find(|(_, member)| member.since_index == since);
            let stray = DecodeError::Malformed { what: "an entry of a member's feed" };
            let key = whose.map(|(key, _)| key.clone()).ok_or(stray)?;
            state.followed.entry(key).or_default().add(entry);
        }
        _ => {
            let invite: Arc<Invite> = decode_bare(bytes)?;
            state.invites.insert(invite.hash, invite);
        }
    }
    Ok(())
}
