//! Places for connections: so many in all, and no more than a part of them for one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::home::Network;
use crate::home::settings::ConnectionsMax;
use crate::metrics::Full;

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
    by_address: HashMap<IpAddr, usize>,
}

impl Places {
    pub(super) fn new(max: ConnectionsMax, proxies: Vec<Network>) -> Self {
        Self(Arc::new(Shared { max, proxies, taken: Mutex::default() }))
    }

    /// A place for a connection from this address, until it is dropped.
    pub(super) fn take(&self, from: IpAddr) -> Result<Place, Full> {
        let address = from.to_canonical();
        let is_proxy = self.0.proxies.iter().any(|network| network.contains(address));
        let address = one(address);
        let mut taken = self.0.taken();
        if taken.all >= self.0.max.all {
            return Err(Full::All);
        }
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.0.max.per_address && !is_proxy {
            return Err(Full::OfAddress);
        }
        taken.all += 1;
        taken.by_address.insert(address, of_address + 1);
        Ok(Place { of: Arc::clone(&self.0), address })
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

/// A place that is taken.
pub(super) struct Place {
    of: Arc<Shared>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(of_address) = taken.by_address.get_mut(&self.address) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                taken.by_address.remove(&self.address);
            }
        }
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
}
