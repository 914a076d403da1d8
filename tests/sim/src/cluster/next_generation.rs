//! How a cluster begins anew from what is left of another one: the product's own lines on a simulated disk.

use std::sync::Arc;

use circlet_authority::{NextGeneration, NodeRecord, Picture, State};
use circlet_raft::engine::Engine;
use circlet_raft::log_store::PurgeBound;
use circlet_raft::snapshot::SnapshotStore;
use circlet_raft::{Clocks, Machine, offline};
use openraft_rt::AsyncRuntime;
use tokio::sync::oneshot;

use super::membership::peer;
use super::{Cluster, Computer, Newcomer};
use crate::authority::Authority;
use crate::disk::{Disk, DiskEngine, DiskFolder};
use crate::history::Event;
use crate::house::{self, Pair};
use crate::plant::{self, Plant};
use crate::runtime::NodeRuntime;
use crate::scope::Scope;
use crate::sealing::MasterKey;
use crate::turnover::{self, custodian::Master};

impl Cluster {
    /// The state that a computer would bring up, its node being down.
    pub async fn left_on(&self, computer: &Computer) -> Result<State, String> {
        let disk = Arc::clone(&computer.disk);
        let dice = self.dice.split();
        let held = self.on_disk(computer, async move {
            let snapshots = snapshots(&disk)?;
            let engine: Arc<dyn Engine> = Arc::new(DiskEngine::open(disk, dice));
            offline::read_from::<Authority>(engine, &snapshots).map_err(|error| error.to_string())
        });
        Ok(held.await?.machine.into_state())
    }

    /// Begins the next generation of a cluster that had this state, on one computer, on a floor if there is one, and has
    /// others join it. `as_it_was` is the whole of that state as bytes; a planted bug takes from there what must not live on.
    /// The second at which it began comes back.
    pub async fn begin_anew(
        self: &Arc<Self>,
        before: &State,
        floor: Option<&Picture>,
        as_it_was: &[u8],
        count: u64,
    ) -> Result<u64, String> {
        let attempt = before.index() + 1;
        let peer = peer("n1", attempt);
        let clock = self.new_clock();
        let wall_ms = Scope::new(0, Arc::clone(&clock), Arc::clone(&self.history)).wall_ms();
        let founder = NodeRecord {
            id: 0,
            name: peer.name.clone(),
            peer_address: peer.peer_address.clone(),
            client_url: peer.client_url.clone(),
            public_key: peer.public_key,
        };
        let master = plant::master_key_of_before(&self.history, as_it_was)
            .unwrap_or_else(|| MasterKey::named(&format!("the first after {attempt}")));
        self.history.note_master_key(&master);
        let (cluster_ca, refresh_secret) = house::secrets(&format!("after {attempt}"), &master);
        let next = NextGeneration {
            service_id: self.service.clone(),
            now_ms: wall_ms,
            key: Pair::named(&self.service, &format!("the first key after {attempt}")).as_ours(&master),
            cluster_ca,
            refresh_secret,
            master_key_fingerprint: master.fingerprint(),
            founder,
        };
        let plant = self.history.plant();
        let state = match floor.filter(|_| plant != Plant::FloorInVain) {
            Some(floor) => before.next_generation_on(&next, floor),
            None => before.next_generation(&next),
        };
        let state = state.map_err(|error| error.to_string())?;
        let (index, second) = (state.index(), state.now_ms() / 1_000);
        let on_floor = floor.is_some();
        self.history.tell(&Event::Begun { index, second, on_floor });
        self.history.note_begun(index);
        let required = state.floor_is_required();
        self.history.tell(&Event::FloorRequired { node: index, index, required });
        self.history.forget_descendants();
        self.history.tell(&Event::LevelLeft { level: before.feature_level() });
        let (issuer, generation) = (self.service.clone(), state.generation());
        self.history.tell_abroad(&Event::BegunAbroad { issuer, index, generation, on_floor });
        let planted = match (plant, on_floor) {
            (Plant::RefreshOnFloor, false) | (Plant::RestoreUntold, true) => Plant::None,
            _ => plant,
        };
        let state = plant::in_next_generation(planted, state, as_it_was)?;
        let founder = self.add(index, Newcomer::first(peer.clone()), clock);
        let disk = Arc::clone(&founder.disk);
        turnover::place(&disk, &master)?;
        let dice = self.dice.split();
        self.on_disk(&founder, async move {
            let capture = Authority::of(state).capture();
            let batch = offline::begin_in(&snapshots(&disk)?, index, (index, peer), capture);
            let batch = batch.map_err(|error| error.to_string())?;
            let engine = DiskEngine::open(disk, dice);
            let (done, durable) = oneshot::channel();
            engine.submit(batch, Box::new(move |result| drop(done.send(result))));
            durable.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        })
        .await?;
        self.start(&founder).await;
        self.gather(count, attempt).await?;
        Ok(second)
    }

    /// Does something with the disk of a computer on which no node runs.
    async fn on_disk<T: Send + 'static>(
        &self,
        computer: &Computer,
        work: impl Future<Output = Result<T, String>> + Send + 'static,
    ) -> Result<T, String> {
        let scope = Scope::new(computer.id, Arc::clone(&computer.clock), Arc::clone(&self.history));
        let done = scope.enter(|| NodeRuntime::spawn(work)).await;
        scope.kill();
        done.map_err(|error| error.to_string())?
    }
}

fn snapshots(disk: &Arc<Disk>) -> Result<SnapshotStore, String> {
    let folder = Arc::new(DiskFolder::of_snapshots(Arc::clone(disk)));
    SnapshotStore::open_in(folder, PurgeBound::none()).map_err(|error| error.to_string())
}
