//! A master key that takes another's place: on one node alone, where nobody else has what it loses, and where one is on its way.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Actor, Config, State};
use circlet_raft::Settings;
use circlet_sim::cluster::{Cluster, Computer, ask};
use circlet_sim::dice::Dice;
use circlet_sim::fault::Faults;
use circlet_sim::history::History;
use circlet_sim::plant::Plant;
use circlet_sim::runtime::NodeRuntime;
use circlet_sim::sealing::MasterKey;
use circlet_sim::turnover::custodian::Master;
use circlet_sim::turnover::{Keeper, keeping};
use circlet_sim::{house, scope};
use openraft_rt::AsyncRuntime;

/// How long the node may take for one turn.
const TURN_MS: u64 = 10_000;

fn view_of(computer: &Computer) -> Arc<State> {
    let (_, member) = computer.node().expect("the node runs");
    Arc::clone(&member.published().view)
}

/// Has a node announce another master key, whatever is on its way.
async fn announce(computer: &Computer, dice: &Dice) -> Result<[u8; 32], String> {
    let replaces = view_of(computer).master_key_fingerprint().ok_or("there is no master key")?;
    let (disk, dice) = (Arc::clone(&computer.disk), dice.clone());
    let announcing = ask(computer, move |member| async move {
        let scope = scope::current().ok_or("there is no node")?;
        let keeper = Keeper { member, scope, disk, dice };
        let announced = keeping::announce(&keeper, Actor::Operator, replaces, 1_000).await;
        announced.map(|(fingerprint, _)| fingerprint).map_err(|error| error.to_string())
    });
    announcing.await.ok_or("the node died")?
}

/// Has the node announce another master key, and waits until the view has it: not until its file does.
async fn turn(computer: &Computer, dice: &Dice) -> Result<(), String> {
    let fingerprint = announce(computer, dice).await?;
    for _ in 0..TURN_MS {
        if view_of(computer).master_key_fingerprint() == Some(fingerprint) {
            return Ok(());
        }
        NodeRuntime::sleep(Duration::from_millis(1)).await;
    }
    Err("the key never took its place".to_owned())
}

#[test]
fn a_node_that_has_promised_a_master_key_announces_no_other_in_its_place() {
    let history = Arc::new(History::new(Plant::None, None, false));
    let told = Arc::clone(&history);
    let ended = NodeRuntime::with_seed(2).block_on(async {
        let dice = Dice::new(2);
        let faults = Faults::of(told.midst());
        let cluster = Cluster::new(&house::SERVICE, told, &dice, Settings::default(), faults);
        cluster.found(3, Config::default()).await?;
        let computers = cluster.computers();
        let [first, second, third] = computers.as_slice() else { return Err("not three".to_owned()) };
        // It waits for one that is down.
        cluster.kill(third);
        let coming = announce(first, &dice).await?;
        let holds = || {
            let view = view_of(second);
            view.next_master_key().is_some_and(|next| next.holders.contains(&second.id))
        };
        for _ in 0..TURN_MS {
            if holds() {
                break;
            }
            NodeRuntime::sleep(Duration::from_millis(1)).await;
        }
        assert!(holds(), "the second says that it has it");
        let another = announce(second, &dice).await;
        assert!(another.as_ref().is_err_and(|why| why.contains("on its way")), "{another:?}");
        let kept = second.disk.durable_keys().into_iter().filter_map(|bytes| MasterKey::read(&bytes));
        assert!(kept.into_iter().any(|key| key.fingerprint() == coming), "it has it still");
        cluster.end();
        Ok::<(), String>(())
    });
    assert_eq!(ended, Ok(()));
    assert!(history.violation().is_none(), "{:?}", history.violation());
}

#[test]
fn a_master_key_is_announced_right_after_another_took_its_place() {
    let history = Arc::new(History::new(Plant::None, None, false));
    let told = Arc::clone(&history);
    let ended = NodeRuntime::with_seed(1).block_on(async {
        let dice = Dice::new(1);
        let faults = Faults::of(told.midst());
        let cluster = Cluster::new(&house::SERVICE, told, &dice, Settings::default(), faults);
        cluster.found(1, Config::default()).await?;
        let alone = cluster.computers().first().cloned().ok_or("there is no computer")?;
        for _ in 0..5 {
            turn(&alone, &dice).await?;
        }
        cluster.end();
        Ok::<(), String>(())
    });
    assert_eq!(ended, Ok(()));
    assert!(history.violation().is_none(), "{:?}", history.violation());
}
