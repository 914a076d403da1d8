//! What is done to the network.

use std::sync::Arc;

use circlet_raft::NodeId;

use super::Chaos;
use crate::cluster::Computer;
use crate::fault::Fault;
use crate::wires::Weather;

impl Chaos {
    /// Isolates some from the others, one way or both, perhaps with one in between whom both sides reach.
    pub(super) async fn cut(&self) {
        let ids: Vec<_> = self.cluster.computers().iter().map(|computer| computer.id).collect();
        let leader = self.cluster.leader().map(|leader| leader.id);
        let mut side: Vec<_> = ids.iter().copied().filter(|_| self.dice.percent(40)).collect();
        if self.dice.percent(40) {
            side = leader.into_iter().collect();
        }
        // Nobody, or everybody, is cut off from nobody.
        if side.is_empty() || side.len() == ids.len() {
            side = self.dice.pick(&ids).copied().into_iter().collect();
        }
        let bridge = self.dice.percent(20).then(|| self.dice.pick(&ids).copied()).flatten();
        // A side that is the bridge leaves nothing to bridge.
        let bridge = bridge.filter(|bridge| {
            let stays = |id: &&NodeId| *id != bridge;
            side.iter().any(|id| stays(&id)) && ids.iter().filter(stays).any(|id| !side.contains(id))
        });
        let (there, back) = match self.dice.between(0, 4) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let fault = match (bridge, there && back) {
            (Some(_), _) => Fault::CutWithBridge,
            (None, true) => Fault::Cut,
            (None, false) => Fault::CutOneWay,
        };
        self.note(fault, format!("cut of {side:?}, out {there}, in {back}, bridge {bridge:?}"));
        for one in &side {
            for other in ids.iter().filter(|other| !side.contains(other)) {
                if bridge == Some(*one) || bridge == Some(*other) {
                    continue;
                }
                if there {
                    self.cluster.wires.cut(*one, *other);
                }
                if back {
                    self.cluster.wires.cut(*other, *one);
                }
            }
        }
        self.wait_ms(100, 5_000).await;
        self.mend();
    }

    pub(super) fn mend(&self) {
        self.say("the network is whole".to_owned());
        self.cluster.wires.mend();
    }

    /// What a node hears is almost too late for a while; then it hears nothing more and lives on what it has.
    pub(super) async fn lag_then_cut(&self, victim: Arc<Computer>) {
        let lag_us = self.dice.between(200_000, 450_000);
        let what = format!("what {} hears comes {lag_us} us late, then it is cut off", victim.id);
        self.note(Fault::LagThenCut, what);
        let computers = self.cluster.computers();
        let others = || computers.iter().map(|computer| computer.id).filter(|id| *id != victim.id);
        others().for_each(|other| self.cluster.wires.set_lag(other, victim.id, lag_us));
        self.wait_ms(1_000, 2_000).await;
        for other in others() {
            self.cluster.wires.cut(other, victim.id);
            self.cluster.wires.cut(victim.id, other);
        }
        self.cluster.wires.end_lag();
        self.wait_ms(2_000, 4_000).await;
        self.mend();
    }

    pub(super) async fn storm(&self) {
        let weather = Weather {
            delay_us_min: 50,
            delay_us_max: self.dice.between(200, 40_000),
            slow_per_mille: self.dice.between(0, 100),
            slow_us_max: self.dice.between(50_000, 800_000),
            breaks_per_myriad: self.dice.between(0, 150),
            losses_per_mille: self.dice.between(0, 100),
            doubles_per_mille: self.dice.between(0, 150),
            overtakes_per_mille: self.dice.between(0, 150),
        };
        self.note(Fault::Storm, format!("{weather:?}"));
        self.cluster.wires.set_weather(weather);
        self.wait_ms(200, 4_000).await;
        self.cluster.wires.set_weather(Weather::CALM);
    }
}
