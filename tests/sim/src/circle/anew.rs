//! A cluster of a circle that began anew: it has no circle key any more until somebody asks for one.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, CircleKey, SealedKind, SetCircleKey};
use circlet_token::SigningKey;
use openraft_rt::AsyncRuntime;

use crate::cluster::{Cluster, decide};
use crate::history::Event;
use crate::house;
use crate::runtime::NodeRuntime;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);
const ATTEMPTS: u32 = 150;

/// Gives a cluster that began anew a circle key of its own, unless it has one.
///
/// # Errors
/// It takes none in half a minute.
pub async fn make_key(cluster: &Cluster) -> Result<(), String> {
    let mut why = "nobody leads".to_owned();
    for _ in 0..ATTEMPTS {
        match make(cluster).await {
            Ok(()) => return Ok(()),
            Err(reason) => why = reason,
        }
        NodeRuntime::sleep(PAUSE).await;
    }
    Err(format!("it gets no circle key: {why}"))
}

async fn make(cluster: &Cluster) -> Result<(), String> {
    let leader = cluster.leader().ok_or("nobody leads")?;
    let (scope, member) = leader.node().ok_or("the leader is down")?;
    let view = Arc::clone(&member.published().view);
    drop(member);
    if view.circle_key().is_none() {
        let master = house::master_key(scope.ring(), &view).ok_or("the master key can't be had")?;
        let seed = house::seed(&format!("the circle key of generation {}", view.generation()));
        let key = CircleKey {
            spki_der: SigningKey::from_ed25519_seed(&seed).spki_der(),
            private_key: master.seal(&SealedKind::CircleKey, &seed),
            successions: Vec::new(),
        };
        let set = Action::SetCircleKey(Box::new(SetCircleKey { key }));
        decide(&leader, Actor::System, set).await?;
    }
    // What it began with, nobody was told so far.
    for key in cluster.view().ok_or("nobody is there")?.keyring() {
        cluster.history.tell_abroad(&Event::KeyAbroad { kid: key.kid.clone() });
    }
    Ok(())
}
