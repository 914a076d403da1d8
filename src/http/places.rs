//! Places for connections: so many in all, and no more than a part of them for one address. When all are taken, the address
//! that has most gives one to who has fewer: nobody keeps others out by connecting, neither their revokes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::home::Network;
use crate::home::settings::ConnectionsMax;
use crate::metrics::Full;
use crate::usecase::failure::Failure;

/// The places of one door. Clones are handles to the same.
#[derive(Clone)]
pub(super) struct Places(Arc<Shared>);

struct Shared {
    max: ConnectionsMax,
    /// Whoever connects from here may take all places.
    proxies: Vec<Network>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Those of each address by the order in which they came.
    by_address: BTreeMap<IpAddr, BTreeMap<u64, Arc<Seat>>>,
    next: u64,
}

impl Places {
    pub(super) fn new(max: ConnectionsMax, proxies: Vec<Network>) -> Self {
        Self(Arc::new(Shared { max, proxies, taken: Mutex::default() }))
    }

    /// A place for a connection from this address, until it is dropped or its seat is asked back.
    pub(super) fn take(&self, from: IpAddr) -> Result<Place, Full> {
        let address = from.to_canonical();
        let is_proxy = self.0.proxies.iter().any(|network| network.contains(address));
        let address = one(address);
        let mut taken = self.0.taken();
        let of_address = taken.by_address.get(&address).map_or(0, BTreeMap::len);
        if of_address >= self.0.max.per_address && !is_proxy {
            return Err(Full::OfAddress);
        }
        if taken.all >= self.0.max.all && !taken.make_room(of_address) {
            return Err(Full::All);
        }
        let (number, seat) = (taken.next, Arc::default());
        taken.next += 1;
        taken.all += 1;
        taken.by_address.entry(address).or_default().insert(number, Arc::clone(&seat));
        Ok(Place { of: Arc::clone(&self.0), address, number, seat })
    }

    /// Until all places are free.
    pub(super) async fn all_free(&self) {
        while self.0.taken().all > 0 {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// How often is looked whether the last connection has ended.
const LOOK: Duration = Duration::from_millis(10);

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Frees a place for an address that has so many, at the cost of the one that has most and would still not have fewer: its
    /// oldest connection on which nothing is being answered.
    fn make_room(&mut self, of_newcomer: usize) -> bool {
        let most = self.by_address.iter().max_by_key(|(_, seats)| seats.len());
        let Some((&address, seats)) = most.filter(|(_, seats)| seats.len() > of_newcomer + 1) else {
            return false;
        };
        let freed = seats.iter().find(|(_, seat)| seat.ask_back()).map(|(&number, _)| number);
        freed.is_some_and(|number| self.free(address, number))
    }

    /// Whether that place was still taken.
    fn free(&mut self, address: IpAddr, number: u64) -> bool {
        let Some(seats) = self.by_address.get_mut(&address) else { return false };
        let was_taken = seats.remove(&number).is_some();
        if seats.is_empty() {
            self.by_address.remove(&address);
        }
        self.all -= usize::from(was_taken);
        was_taken
    }
}

/// A place that is taken.
pub(super) struct Place {
    of: Arc<Shared>,
    address: IpAddr,
    number: u64,
    /// What its connection sits on.
    pub(super) seat: Arc<Seat>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.taken().free(self.address, self.number);
    }
}

/// What a connection sits on, until somebody needs it more.
#[derive(Default)]
pub(super) struct Seat {
    /// Requests that were read and are being answered, or [`ASKED_BACK`].
    answering: AtomicUsize,
    asked_back: CancellationToken,
}

/// Nothing is answered any more on this seat.
const ASKED_BACK: usize = usize::MAX;

impl Seat {
    /// Ends the connection unless something is being answered on it.
    fn ask_back(&self) -> bool {
        let is_free =
            self.answering.compare_exchange(0, ASKED_BACK, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if is_free {
            self.asked_back.cancel();
        }
        is_free
    }

    /// Until the connection must end.
    pub(super) async fn is_asked_back(&self) {
        self.asked_back.cancelled().await;
    }

    /// A request has been read whole: its connection keeps its place until what is returned is dropped.
    pub(super) fn answer(self: &Arc<Self>) -> Result<Answering, Failure> {
        let one_more = |answering| (answering != ASKED_BACK).then(|| answering + 1);
        self.answering.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).map_err(|_| {
            Failure::unavailable("busy", "others need the place of this connection; nothing was changed")
        })?;
        Ok(Answering(Arc::clone(self)))
    }
}

/// A request that is being answered, and keeps the place of its connection.
pub(super) struct Answering(Arc<Seat>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whoever has one IPv6 address has its /64.
fn one(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_its_part_and_leaves_the_rest_to_others() {
        let places =
            Places::new(ConnectionsMax { all: 5, per_address: 2 }, vec!["10.0.0.9".parse().unwrap()]);
        let take = |from: &str| places.take(from.parse().unwrap());
        let (one, _other) = (take("192.0.2.1").unwrap(), take("192.0.2.1").unwrap());
        assert_eq!(take("::ffff:192.0.2.1").err(), Some(Full::OfAddress));
        let _six = take("2001:db8::1").unwrap();
        let _same = take("2001:db8::2").unwrap();
        assert_eq!(take("2001:db8::3").err(), Some(Full::OfAddress), "one /64 is one");
        drop(one);
        let _again = take("192.0.2.1").unwrap();
        let _proxied = take("10.0.0.9").unwrap();
        assert_eq!(take("10.0.0.9").err(), Some(Full::All));
    }

    #[test]
    fn who_has_most_gives_a_place_to_who_has_fewer_unless_it_is_being_answered() {
        let places = Places::new(ConnectionsMax { all: 6, per_address: 4 }, Vec::new());
        let take = |from: &str| places.take(from.parse().unwrap());
        let crowd: Vec<Place> = (0..4).map(|_| take("192.0.2.1").unwrap()).collect();
        let (one, _two) = (take("192.0.2.2").unwrap(), take("192.0.2.2").unwrap());
        let asked_back = || -> Vec<usize> {
            let asked = |place: &Place| place.seat.asked_back.is_cancelled();
            crowd.iter().enumerate().filter(|(_, place)| asked(place)).map(|(number, _)| number).collect()
        };
        let answering = crowd[0].seat.answer().ok();
        let _first = take("192.0.2.3").unwrap();
        assert_eq!(asked_back(), [1], "the oldest on which nothing is answered");
        assert!(crowd[1].seat.answer().is_err(), "and nothing will be");
        drop(answering);
        let second = take("192.0.2.3").unwrap();
        assert_eq!(asked_back(), [0, 1]);
        assert_eq!(take("192.0.2.3").err(), Some(Full::All), "now all have as many");
        assert_eq!(take("192.0.2.1").err(), Some(Full::All), "and who had most doesn't get it back");
        drop((one, second));
        drop(crowd);
        for _ in 0..4 {
            std::mem::forget(take("192.0.2.1").unwrap());
        }
        assert_eq!(places.0.taken().all, 6, "a place that was asked back is not freed twice");
    }
}
