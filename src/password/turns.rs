//! Turns for passwords that are shown with a revoke. No revoke is refused for what was guessed before it; so that guessing by
//! revoking is no way around that, each address has one such password looked at at a time, and once it has guessed too
//! much, one a second.
//!
//! In the line of an address the names take turns, so that many guesses under one name are one turn behind another's.
//! Those who were right not long ago, anywhere, have a line of their own, and every other turn.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// An address that has guessed too much has a password looked at once in this time.
pub(super) const PACE: Duration = Duration::from_secs(1);
/// So many addresses are remembered that nobody waits at any more, before those are forgotten whose pace is over.
const IDLE_MAX: usize = 1_024;

/// The lines of all addresses. Clones are handles to the same.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<BTreeMap<IpAddr, Line>>>);

/// Who waits at one address.
#[derive(Default)]
struct Line {
    taken: bool,
    /// When a password from here was last looked at.
    last: Option<Instant>,
    known: Names,
    strangers: Names,
    stranger_is_next: bool,
}

/// Names that take turns, each with those who wait under it, in the order in which they came.
#[derive(Default)]
struct Names {
    /// The names by when their turn is.
    order: BTreeMap<u64, String>,
    waiting: BTreeMap<String, Waiting>,
    next: u64,
}

struct Waiting {
    place: u64,
    ones: BTreeMap<u64, oneshot::Sender<Turn>>,
}

impl Names {
    fn join(&mut self, name: &str) -> (u64, oneshot::Receiver<Turn>) {
        let (turn, comes) = oneshot::channel();
        let number = self.next;
        self.next += 1;
        let order = &mut self.order;
        let waiting = self.waiting.entry(name.to_owned()).or_insert_with(|| {
            order.insert(number, name.to_owned());
            Waiting { place: number, ones: BTreeMap::new() }
        });
        waiting.ones.insert(number, turn);
        (number, comes)
    }

    fn leave(&mut self, name: &str, number: u64) {
        let Some(waiting) = self.waiting.get_mut(name) else { return };
        waiting.ones.remove(&number);
        if waiting.ones.is_empty() {
            self.order.remove(&waiting.place);
            self.waiting.remove(name);
        }
    }

    /// The first of the name whose turn it is, which goes to the end.
    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        let (_, name) = self.order.pop_first()?;
        let waiting = self.waiting.get_mut(&name)?;
        let (_, one) = waiting.ones.pop_first()?;
        if waiting.ones.is_empty() {
            self.waiting.remove(&name);
        } else {
            waiting.place = self.next;
            self.next += 1;
            self.order.insert(waiting.place, name);
        }
        Some(one)
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

impl Line {
    fn names(&mut self, known: bool) -> &mut Names {
        if known { &mut self.known } else { &mut self.strangers }
    }

    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        let strangers_first = self.stranger_is_next && !self.strangers.is_empty();
        self.stranger_is_next = !strangers_first;
        let known = if strangers_first { None } else { self.known.pop() };
        known.or_else(|| self.strangers.pop())
    }

    /// Whether nothing would be lost with it.
    fn is_idle(&self, now: Instant) -> bool {
        let is_paced = self.last.is_some_and(|last| now < last + PACE);
        !self.taken && !is_paced && self.known.is_empty() && self.strangers.is_empty()
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn, if nobody has it; otherwise a place in the line of this address.
    pub(super) fn join(&self, address: IpAddr, name: &str, known: bool) -> Result<Turn, InLine> {
        let mut lines = self.lock();
        if lines.len() > IDLE_MAX {
            let now = Instant::now();
            lines.retain(|_, line| !line.is_idle(now));
        }
        let line = lines.entry(address).or_default();
        if !line.taken {
            line.taken = true;
            return Ok(Turn { of: Some(self.clone()), address });
        }
        let (number, comes) = line.names(known).join(name);
        Err(InLine { of: self.clone(), address, name: name.to_owned(), known, number, comes })
    }

    /// How many wait for theirs.
    pub(super) fn waiting(&self) -> usize {
        let of = |names: &Names| names.waiting.values().map(|waiting| waiting.ones.len()).sum::<usize>();
        self.lock().values().map(|line| of(&line.known) + of(&line.strangers)).sum()
    }

    /// Gives the turn to whoever is next.
    fn pass_on(&self, address: IpAddr) {
        loop {
            let next = {
                let mut lines = self.lock();
                let Some(line) = lines.get_mut(&address) else { return };
                let next = line.pop();
                line.taken = next.is_some();
                if line.is_idle(Instant::now()) {
                    lines.remove(&address);
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn { of: Some(self.clone()), address }) {
                Ok(()) => return,
                // It went away in this moment.
                Err(mut turn) => turn.of = None,
            }
        }
    }
}

/// A place in the line. Who drops it gives it up.
pub(super) struct InLine {
    of: Turns,
    address: IpAddr,
    name: String,
    known: bool,
    number: u64,
    comes: oneshot::Receiver<Turn>,
}

impl InLine {
    /// Until the turn has come.
    pub(super) async fn comes(mut self) -> Turn {
        (&mut self.comes).await.expect("a line drops nobody who still waits")
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        if let Some(line) = self.of.lock().get_mut(&self.address) {
            line.names(self.known).leave(&self.name, self.number);
        }
    }
}

/// The turn of an address, until it is dropped.
pub(super) struct Turn {
    of: Option<Turns>,
    address: IpAddr,
}

impl Turn {
    /// Waits until the last password from this address was looked at long enough ago, where it is `paced`. This one is then.
    pub(super) async fn begin(&self, paced: bool) {
        let Some(of) = &self.of else { return };
        let last = of.lock().get(&self.address).and_then(|line| line.last);
        if let Some(last) = last.filter(|_| paced) {
            sleep_until(last + PACE).await;
        }
        if let Some(line) = of.lock().get_mut(&self.address) {
            line.last = Some(Instant::now());
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(of) = self.of.take() {
            of.pass_on(self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Everybody's turns in the order in which they come, while one has it already.
    async fn order(waiting: Vec<(&'static str, InLine)>, first: Turn) -> Vec<&'static str> {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for (name, in_line) in waiting {
            let tell = tell.clone();
            tokio::spawn(async move {
                let turn = in_line.comes().await;
                tell.send(name).unwrap();
                drop(turn);
            });
        }
        drop((tell, first));
        let mut order = Vec::new();
        while let Some(name) = told.recv().await {
            order.push(name);
        }
        order
    }

    fn in_line(turns: &Turns, name: &'static str, known: bool) -> (&'static str, InLine) {
        (name, turns.join(HERE, name, known).err().expect("somebody has the turn"))
    }

    #[tokio::test]
    async fn names_take_turns_and_those_who_were_right_have_every_other() {
        let turns = Turns::default();
        let first = turns.join(HERE, "first", false).ok().unwrap();
        let mut waiting: Vec<_> =
            ["a", "a", "a", "a", "b", "b", "c"].map(|name| in_line(&turns, name, false)).into();
        assert!(turns.join(Ipv4Addr::new(192, 0, 2, 1).into(), "a", false).is_ok(), "elsewhere nobody waits");
        waiting.push(in_line(&turns, "owner", true));
        waiting.push(in_line(&turns, "owner", true));
        let expected = ["owner", "a", "owner", "b", "c", "a", "b", "a", "a"];
        assert_eq!(order(waiting, first).await, expected);
        assert!(turns.lock().is_empty(), "nothing is left of it");
    }

    #[tokio::test]
    async fn who_goes_away_gives_up_the_place_and_the_turn() {
        let turns = Turns::default();
        let first = turns.join(HERE, "first", false).ok().unwrap();
        let gone: Vec<_> = (0..100).map(|_| in_line(&turns, "gone", false)).collect();
        let (_, coming) = in_line(&turns, "coming", false);
        let staying = in_line(&turns, "staying", false);
        drop(gone);
        assert_eq!(turns.lock()[&HERE].strangers.waiting.len(), 2, "their name waits no more");
        drop(first);
        // The turn has come to it, and it goes away before it looks.
        drop(coming);
        assert_eq!(staying.1.comes().await.address, HERE);
        assert!(turns.join(HERE, "late", false).is_ok(), "and then it is free");
    }

    #[tokio::test]
    async fn an_address_that_is_paced_has_one_turn_a_second_also_when_nobody_waited_in_between() {
        let turns = Turns::default();
        let begun = Instant::now();
        for _ in 0..3 {
            turns.join(HERE, "a", false).ok().unwrap().begin(true).await;
        }
        assert!(begun.elapsed() >= PACE * 2, "{:?}", begun.elapsed());
        let unpaced = Instant::now();
        let turn = turns.join(HERE, "b", false).ok().unwrap();
        turn.begin(false).await;
        drop(turn);
        let next = turns.join(HERE, "c", false).ok().unwrap();
        next.begin(true).await;
        assert!(unpaced.elapsed() >= PACE, "whoever was looked at counts");
    }

    #[test]
    fn addresses_that_are_quiet_are_forgotten() {
        let turns = Turns::default();
        for number in 0..10 * IDLE_MAX {
            let address = Ipv4Addr::from_bits(u32::try_from(number).unwrap()).into();
            drop(turns.join(address, "a", false));
        }
        assert!(turns.lock().len() <= IDLE_MAX + 1);
    }
}
