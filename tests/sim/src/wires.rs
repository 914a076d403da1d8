//! A simulated network: frames take their time, connections break or hang, and any direction between two nodes can
//! be cut. What was under way when it was cut is lost with its connection or comes late.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use circlet_raft::network::{Channel, Dial, Lane};
use circlet_raft::{DialError, NodeId, NotWelcome, Peer};
use futures::future::BoxFuture;
use futures::{Sink, Stream};
use openraft_rt::AsyncRuntime;
use tokio::sync::{Notify, mpsc};
use tokio_util::bytes::{Bytes, BytesMut};

use crate::dice::Dice;
use crate::fault::{Fault, Faults};
use crate::machine::Member;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::{self, Scope, lock};

/// How the network behaves.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// A frame takes at least this long, in microseconds.
    pub delay_us_min: u64,
    /// And usually at most this long.
    pub delay_us_max: u64,
    /// So many frames of a thousand take much longer.
    pub slow_per_mille: u64,
    /// How long such a frame takes at most, in microseconds.
    pub slow_us_max: u64,
    /// So many frames of ten thousand break their connection.
    pub breaks_per_myriad: u64,
    /// So many questions and answers of a thousand never arrive, though their connection lives on. Entries aren't lost so:
    /// of what TCP carries nothing is missing before what comes next.
    pub losses_per_mille: u64,
    /// So many questions and answers of a thousand arrive twice. Entries don't: they are told apart by their order on a
    /// connection, which TCP and TLS keep, so that doubling one would be a bug of theirs.
    pub doubles_per_mille: u64,
    /// So many questions and answers of a thousand don't wait for those before them.
    pub overtakes_per_mille: u64,
}

impl Weather {
    /// A quiet local network.
    pub const CALM: Self = Self {
        delay_us_min: 50,
        delay_us_max: 400,
        slow_per_mille: 0,
        slow_us_max: 0,
        breaks_per_myriad: 0,
        losses_per_mille: 0,
        doubles_per_mille: 0,
        overtakes_per_mille: 0,
    };
}

struct Station {
    scope: Arc<Scope>,
    member: Arc<Member>,
    key: [u8; 32],
    address: String,
}

/// The network between all nodes.
pub struct Wires {
    stations: Mutex<BTreeMap<NodeId, Station>>,
    keys: Mutex<BTreeMap<NodeId, [u8; 32]>>,
    cut: Mutex<BTreeSet<(NodeId, NodeId)>>,
    /// Directions in which frames take this much longer, in microseconds.
    lag: Mutex<BTreeMap<(NodeId, NodeId), u64>>,
    mended: Notify,
    weather: Mutex<Weather>,
    faults: Arc<Faults>,
    dice: Dice,
}

impl Wires {
    /// A network without nodes.
    #[must_use]
    pub fn new(dice: Dice, faults: Arc<Faults>) -> Arc<Self> {
        Arc::new(Self {
            stations: Mutex::default(),
            keys: Mutex::default(),
            cut: Mutex::default(),
            lag: Mutex::default(),
            mended: Notify::new(),
            weather: Mutex::new(Weather::CALM),
            faults,
            dice,
        })
    }

    /// A node can be reached from now on where it is.
    pub fn plug(&self, id: NodeId, scope: Arc<Scope>, member: Arc<Member>, place: &Peer) {
        let (key, address) = (place.public_key, place.peer_address.clone());
        lock(&self.keys).insert(id, key);
        lock(&self.stations).insert(id, Station { scope, member, key, address });
    }

    /// A node can't be reached any more.
    pub fn unplug(&self, id: NodeId) {
        let station = lock(&self.stations).remove(&id);
        drop(station);
    }

    /// A node has this key, whether it runs or not.
    pub fn learn_key(&self, id: NodeId, key: [u8; 32]) {
        lock(&self.keys).insert(id, key);
    }

    /// Cuts one direction.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        lock(&self.cut).insert((from, to));
    }

    /// Mends everything.
    pub fn mend(&self) {
        lock(&self.cut).clear();
        self.mended.notify_waiters();
    }

    /// Changes how it behaves.
    pub fn set_weather(&self, weather: Weather) {
        *lock(&self.weather) = weather;
    }

    /// Frames in one direction take so much longer from now on.
    pub fn set_lag(&self, from: NodeId, to: NodeId, lag_us: u64) {
        lock(&self.lag).insert((from, to), lag_us);
    }

    /// Who hears everything late, if somebody does.
    #[must_use]
    pub fn laggard(&self) -> Option<NodeId> {
        lock(&self.lag).keys().next().map(|(_, to)| *to)
    }

    /// Frames take no longer than the weather says.
    pub fn end_lag(&self) {
        lock(&self.lag).clear();
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        lock(&self.cut).contains(&(from, to))
    }

    fn delay_nanos(&self, from: NodeId, to: NodeId) -> u64 {
        let lag = lock(&self.lag).get(&(from, to)).copied().unwrap_or(0);
        let weather = *lock(&self.weather);
        let slow = self.dice.between(0, 999) < weather.slow_per_mille;
        let most = if slow { weather.slow_us_max } else { weather.delay_us_max };
        (lag + self.dice.between(weather.delay_us_min, most.max(weather.delay_us_min))) * 1_000
    }

    fn breaks(&self) -> bool {
        let weather = *lock(&self.weather);
        self.dice.between(0, 9_999) < weather.breaks_per_myriad
    }

    /// One way of a packet that isn't part of a connection yet.
    async fn travel(&self, from: NodeId, to: NodeId) {
        NodeRuntime::sleep(Duration::from_nanos(self.delay_nanos(from, to))).await;
        if self.is_cut(from, to) {
            std::future::pending::<()>().await;
        }
    }

    fn pipe(
        self: &Arc<Self>,
        from: NodeId,
        to: NodeId,
        lane: Lane,
    ) -> (PipeEnd, mpsc::UnboundedReceiver<Bytes>) {
        let (tx, frames) = mpsc::unbounded_channel();
        let (out, rx) = mpsc::unbounded_channel();
        // Only what is numbered can do without the order of its connection.
        let aside = (lane == Lane::Calls).then(|| out.downgrade());
        let carrying = Arc::clone(self).carry(from, to, frames, out);
        scope::outside(|| drop(NodeRuntime::spawn(carrying)));
        (PipeEnd { wires: Arc::clone(self), ends: (from, to), tx: Some(tx), aside, due: 0 }, rx)
    }

    /// Connects somebody with a node, which serves that.
    fn connect(
        self: &Arc<Self>,
        (scope, member): (&Arc<Scope>, Arc<Member>),
        (from, to): (NodeId, NodeId),
        lane: Lane,
    ) -> Channel {
        let (there, their_rx) = self.pipe(from, to, lane);
        let (back, our_rx) = self.pipe(to, from, lane);
        let serving = member.serve(from, lane, channel(back, their_rx));
        scope.enter(|| drop(NodeRuntime::spawn(serving)));
        channel(there, our_rx)
    }

    /// Whether something happens that happens to so many frames of a thousand.
    fn happens(&self, per_mille: u64, fault: Fault) -> bool {
        let happens = per_mille > 0 && self.dice.between(0, 999) < per_mille;
        if happens {
            self.faults.count(fault);
        }
        happens
    }

    /// Carries one frame beside the others of its connection; it is lost if the way is cut or the connection closed.
    fn carry_aside(
        self: &Arc<Self>,
        (from, to): (NodeId, NodeId),
        out: &mpsc::WeakUnboundedSender<Bytes>,
        frame: Bytes,
    ) {
        let (this, out) = (Arc::clone(self), out.clone());
        let delay = Duration::from_nanos(self.delay_nanos(from, to) * self.dice.between(1, 20));
        let carrying = async move {
            NodeRuntime::sleep(delay).await;
            if let Some(out) = out.upgrade().filter(|_| !this.is_cut(from, to)) {
                // Nobody may wait for it any more.
                let _ = out.send(frame);
            }
        };
        scope::outside(|| drop(NodeRuntime::spawn(carrying)));
    }

    /// Carries frames in order, each when it is due.
    async fn carry(
        self: Arc<Self>,
        from: NodeId,
        to: NodeId,
        mut frames: mpsc::UnboundedReceiver<(u64, Bytes)>,
        out: mpsc::UnboundedSender<Bytes>,
    ) {
        loop {
            let next = match NodeRuntime::select2(frames.recv(), out.closed()).await {
                openraft_rt::Select2::First(next) => next,
                openraft_rt::Select2::Second(()) => return,
            };
            let Some((due, frame)) = next else { break };
            NodeRuntime::sleep(Duration::from_nanos(due.saturating_sub(global_nanos()))).await;
            if self.is_cut(from, to) && !self.outlasts_cut(from, to).await {
                // Nobody tells either side: the connection hangs until it is given up.
                self.faults.count(Fault::ConnectionHung);
                drop(frame);
                out.closed().await;
                return;
            }
            if self.breaks() {
                self.faults.count(Fault::ConnectionBroken);
                return;
            }
            if out.send(frame).is_err() {
                return;
            }
        }
        // The sender is gone. A closed connection says so; a crashed machine says nothing.
        if self.is_cut(from, to) || self.dice.percent(30) {
            out.closed().await;
        }
    }

    /// Waits for the end of a cut, if the connection is one that survives it: what was under way arrives late.
    async fn outlasts_cut(&self, from: NodeId, to: NodeId) -> bool {
        if self.dice.percent(50) {
            return false;
        }
        loop {
            let mended = self.mended.notified();
            if !self.is_cut(from, to) {
                return true;
            }
            mended.await;
        }
    }
}

/// The sending end of one direction: stamps each frame with its arrival.
struct PipeEnd {
    wires: Arc<Wires>,
    ends: (NodeId, NodeId),
    tx: Option<mpsc::UnboundedSender<(u64, Bytes)>>,
    /// Where frames arrive that don't keep the order.
    aside: Option<mpsc::WeakUnboundedSender<Bytes>>,
    due: u64,
}

impl Sink<Bytes> for PipeEnd {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Bytes) -> io::Result<()> {
        let (from, to) = self.ends;
        if let Some(aside) = &self.aside {
            let weather = *lock(&self.wires.weather);
            if self.wires.happens(weather.losses_per_mille, Fault::FrameLost) {
                return Ok(());
            }
            if self.wires.happens(weather.overtakes_per_mille, Fault::FrameOvertaken) {
                self.wires.carry_aside(self.ends, aside, frame);
                return Ok(());
            }
            if self.wires.happens(weather.doubles_per_mille, Fault::FrameDoubled) {
                self.wires.carry_aside(self.ends, aside, frame.clone());
            }
        }
        self.due = self.due.max(global_nanos() + self.wires.delay_nanos(from, to));
        let due = self.due;
        let tx = self.tx.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        tx.send((due, frame)).map_err(|_| io::ErrorKind::ConnectionReset.into())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tx = None;
        Poll::Ready(Ok(()))
    }
}

struct Received(mpsc::UnboundedReceiver<Bytes>);

impl Stream for Received {
    type Item = io::Result<BytesMut>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|frame| frame.map(|frame| Ok(BytesMut::from(&frame[..]))))
    }
}

fn channel(tx: PipeEnd, rx: mpsc::UnboundedReceiver<Bytes>) -> Channel {
    Channel { tx: Box::pin(tx), rx: Box::pin(Received(rx)) }
}

/// Where one node is plugged in.
pub struct Plug {
    /// The network.
    pub wires: Arc<Wires>,
    /// The node.
    pub me: NodeId,
}

impl Dial for Plug {
    fn dial(
        &self,
        target: NodeId,
        peer: &Peer,
        lane: Lane,
    ) -> BoxFuture<'static, Result<Channel, DialError>> {
        let (wires, me, expected) = (Arc::clone(&self.wires), self.me, peer.public_key);
        let address = peer.peer_address.clone();
        Box::pin(async move {
            wires.travel(me, target).await;
            let reached = {
                let stations = lock(&wires.stations);
                let station = stations.get(&target).filter(|station| station.address == address);
                station.map(|s| (Arc::clone(&s.scope), Arc::clone(&s.member), s.key))
            };
            let (scope, member, key) = reached.ok_or("nobody there")?;
            if !scope.is_awake() {
                // Whoever waits for a sleeper holds on to nothing of it: sleepers may have waited for each other.
                drop((scope, member));
                return std::future::pending().await;
            }
            if key != expected {
                return Err("another key than the one recorded".into());
            }
            let ours = lock(&wires.keys).get(&me).copied();
            member.welcomes(me, ours.unwrap_or_default()).map_err(|error| match error {
                NotWelcome::Dismissed(why) => why.into(),
                NotWelcome::Stranger(reason) => DialError::Failed(format!("refused: {reason}")),
            })?;
            let ours = wires.connect((&scope, member), (me, target), lane);
            wires.travel(target, me).await;
            Ok(ours)
        })
    }
}

/// Somebody who comes as a node that was removed: that the others hang up on it first is not relied on.
pub struct Intruder {
    /// The network.
    pub wires: Arc<Wires>,
    /// The node that was removed.
    pub me: NodeId,
}

impl Dial for Intruder {
    fn dial(&self, target: NodeId, _: &Peer, lane: Lane) -> BoxFuture<'static, Result<Channel, DialError>> {
        let (wires, me) = (Arc::clone(&self.wires), self.me);
        Box::pin(async move {
            let reached = {
                let stations = lock(&wires.stations);
                stations.get(&target).map(|station| (Arc::clone(&station.scope), Arc::clone(&station.member)))
            };
            let (scope, member) = reached.ok_or("nobody there")?;
            Ok(wires.connect((&scope, member), (me, target), lane))
        })
    }
}
