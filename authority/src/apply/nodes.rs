//! Nodes and join tokens.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::OrdMap;

use super::{Applied, below_limit};
use crate::{
    command::{AdmitByKey, AdmitNode, MintJoinToken},
    config::unsigned,
    limits::FIRST_FEATURE_LEVEL,
    outcome::Outcome,
    policy::fits,
    record::{JoinToken, Node, NodeRecord, NodeRole, Redeemed, RemovedNode},
    refusal::Refusal,
    state::State,
};

/// So many removed nodes are remembered; after that the oldest is forgotten.
const REMOVED_NODES_MAX: usize = 1_000;

impl State {
    pub(super) fn mint_join_token(&mut self, mint: &MintJoinToken) -> Applied {
        if let Some(known) = self.join_tokens.get(&mint.hash) {
            let fresh = known.redeemed.is_none();
            return if fresh { Ok(Outcome::Done) } else { Err(Refusal::JoinTokenUsed) };
        }
        let now = self.now_secs();
        let open = self
            .join_tokens
            .values()
            .filter(|token| token.redeemed.is_none() && token.expires_at > now)
            .count();
        below_limit(open, "limits.join-tokens-max", self.config.join_tokens_max)?;
        let expires_at = now.saturating_add(unsigned(self.config.join_token_expiry));
        let token = JoinToken { hash: mint.hash, expires_at, redeemed: None };
        self.join_tokens.insert(mint.hash, Arc::new(token));
        Ok(Outcome::Done)
    }

    pub(super) fn admit_node(&mut self, admit: &AdmitNode) -> Applied {
        let Some(token) = self.join_tokens.get(&admit.join_token).cloned() else {
            return Err(Refusal::JoinTokenUnknown);
        };
        if let Some(redeemed) = &token.redeemed {
            let same = redeemed.public_key == admit.public_key && self.nodes.contains_key(&redeemed.node);
            return if same {
                Ok(Outcome::Joined { node: redeemed.node })
            } else {
                Err(Refusal::JoinTokenUsed)
            };
        }
        if token.expires_at <= self.now_secs() {
            return Err(Refusal::JoinTokenExpired { at: token.expires_at });
        }
        let id = self.let_in(
            NodeRecord {
                id: self.index,
                name: admit.name.clone(),
                peer_address: admit.peer_address.clone(),
                client_url: admit.client_url.clone(),
                public_key: admit.public_key,
            },
            (admit.votes, admit.supports),
        )?;
        let redeemed = Some(Redeemed { node: id, public_key: admit.public_key });
        self.join_tokens.insert(token.hash, Arc::new(JoinToken { redeemed, ..token.as_ref().clone() }));
        Ok(Outcome::Joined { node: id })
    }

    pub(super) fn admit_by_key(&mut self, admit: &AdmitByKey) -> Applied {
        if !self.config.join_allow_key {
            return Err(Refusal::JoinKeyOff);
        }
        let mut known = self.nodes.values().map(|node| &node.record);
        let same = known.find(|node| node.public_key == admit.public_key && node.name == admit.name);
        // A joiner that lost the answer asks again.
        if let Some(same) = same {
            return Ok(Outcome::Joined { node: same.id });
        }
        let node = self.let_in(
            NodeRecord {
                id: self.index,
                name: admit.name.clone(),
                peer_address: admit.peer_address.clone(),
                client_url: admit.client_url.clone(),
                public_key: admit.public_key,
            },
            (admit.votes, admit.supports),
        )?;
        Ok(Outcome::Joined { node })
    }

    /// Records a node that may come into the membership: whether it is given a vote, and what it supports.
    fn let_in(&mut self, record: NodeRecord, (votes, supports): (bool, u32)) -> Result<u64, Refusal> {
        // Whoever has the disk of a lost node may know what lets nodes in, until all of that is replaced.
        if self.lost_nodes_pending().next().is_some() {
            return Err(Refusal::LostNodePending);
        }
        self.check_support(supports)?;
        below_limit(self.nodes.len(), "limits.nodes-max", self.config.nodes_max)?;
        let texts = [
            ("the name", &record.name),
            ("the address", &record.peer_address),
            ("the url", &record.client_url),
        ];
        for (what, text) in texts {
            fits(what, text.len(), "limits.text-bytes-max", self.config.text_bytes_max)?;
        }
        self.check_node_free(&record)?;
        let (id, role) = (record.id, NodeRole::Admitted);
        self.nodes.insert(id, Arc::new(Node { record, role, admitted_at_ms: self.now_ms, votes, supports }));
        Ok(id)
    }

    /// Ids and keys are never reused, not even after a removal, and nothing else may be shared either.
    fn check_node_free(&self, wanted: &NodeRecord) -> Result<(), Refusal> {
        let removed = self.removed_nodes.values().map(|removed| &removed.record);
        if let Some(former) = removed.into_iter().find(|former| former.public_key == wanted.public_key) {
            return Err(Refusal::KeyOfRemovedNode { node: former.id });
        }
        for node in self.nodes.values().map(|node| &node.record) {
            let what = if node.public_key == wanted.public_key {
                "key"
            } else if node.name == wanted.name {
                "name"
            } else if node.peer_address == wanted.peer_address {
                "peer address"
            } else {
                continue;
            };
            return Err(Refusal::NodeTaken { node: node.id, what: what.to_owned() });
        }
        Ok(())
    }

    /// Take over a membership entry of the log: who is in, and who votes. A node that was in and is not any more is
    /// removed, and remembered as such; one that was admitted and has not been in yet stays.
    pub fn set_members(&mut self, index: u64, nodes: &BTreeMap<u64, NodeRecord>, voters: &BTreeSet<u64>) {
        self.index = index;
        let waiting = |node: &Node| node.role == NodeRole::Admitted && !nodes.contains_key(&node.record.id);
        let kept = self.nodes.iter().filter(|(_, node)| waiting(node));
        let mut members: OrdMap<u64, Arc<Node>> = kept.map(|(id, node)| (*id, Arc::clone(node))).collect();
        for (id, record) in nodes {
            let role = if voters.contains(id) { NodeRole::Voter } else { NodeRole::Learner };
            let known = self.nodes.get(id);
            let admitted_at_ms = known.map_or(0, |node| node.admitted_at_ms);
            let may_vote = known.is_none_or(|node| node.votes);
            let record = NodeRecord { id: *id, ..record.clone() };
            let supports = known.map_or(FIRST_FEATURE_LEVEL, |node| node.supports);
            let node = Node { record, role, admitted_at_ms, votes: may_vote, supports };
            members.insert(*id, Arc::new(node));
        }
        for (id, gone) in self.nodes.iter().filter(|(id, _)| !members.contains_key(*id)) {
            let removed = RemovedNode { record: gone.record.clone(), index };
            self.removed_nodes.insert(*id, Arc::new(removed));
        }
        while self.removed_nodes.len() > REMOVED_NODES_MAX {
            self.removed_nodes = self.removed_nodes.without_min().1;
        }
        self.nodes = members;
    }
}
