//! Counts wrong passwords per user and per address, and says how long to hold back.
//!
//! The two counts act differently on purpose. A user's count only delays *wrong* answers, so whoever knows the
//! password gets in at once. An address's count refuses to check at all, except for a user who was right from
//! that very address not long ago: an owner who shares an address with a guesser. What it would refuse waits for its turn
//! instead where it revokes (see `turns`). A token is never held back.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Wrong answers are held back no longer than this.
pub(super) const DELAY_MAX: Duration = Duration::from_secs(3);
/// One wrong answer is forgotten in this time.
const FORGET_ONE: Duration = Duration::from_secs(30);
/// So many wrong answers for one user come without delay.
const USER_FREE: u32 = 3;
const USER_FIRST_DELAY: Duration = Duration::from_millis(100);
/// So many wrong answers from one address come before it must pause.
const ADDRESS_FREE: u32 = 20;
const ADDRESS_PAUSE_MAX: Duration = Duration::from_mins(1);
/// A success makes a user known for so long.
const KNOWN: Duration = Duration::from_hours(1);
/// Each table holds so many entries; the oldest goes first.
const ENTRIES_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Slowdown {
    users: Table<String, Count>,
    addresses: Table<IpAddr, Count>,
    known: Table<String, Instant>,
    known_from: Table<(String, IpAddr), Instant>,
}

#[derive(Clone, Copy)]
struct Count {
    failures: u32,
    last: Instant,
}

impl Count {
    /// The failures that are not forgotten yet.
    fn left(self, now: Instant) -> u32 {
        let forgotten = now.saturating_duration_since(self.last).as_secs() / FORGET_ONE.as_secs();
        self.failures.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

impl Slowdown {
    /// How long `address` has yet to wait before another check for `user`.
    pub(super) fn must_pause(&self, user: &str, address: IpAddr, now: Instant) -> Option<Duration> {
        let (count, over) = self.over(user, address, now)?;
        let pause = doubled(Duration::from_secs(1), over, ADDRESS_PAUSE_MAX);
        pause.checked_sub(now.saturating_duration_since(count.last)).filter(|left| !left.is_zero())
    }

    /// Whether so much was guessed from `address` that its checks for `user` are paced, however long it has paused.
    pub(super) fn has_guessed(&self, user: &str, address: IpAddr, now: Instant) -> bool {
        self.over(user, address, now).is_some()
    }

    /// The wrong answers from an address, and how many of them were too many; none if its checks for `user` are free.
    fn over(&self, user: &str, address: IpAddr, now: Instant) -> Option<(Count, u32)> {
        let address = network(address);
        let count = self.addresses.get(&address)?;
        let over = count.left(now).checked_sub(ADDRESS_FREE)?;
        let known = self.known_from.get(&(user.to_owned(), address)).is_some_and(|at| is_recent(at, now));
        (!known).then_some((count, over))
    }

    /// Whether `user` was right not long ago.
    pub(super) fn is_known(&self, user: &str, now: Instant) -> bool {
        self.known.get(&user.to_owned()).is_some_and(|at| is_recent(at, now))
    }

    pub(super) fn succeeded(&mut self, user: &str, address: IpAddr, now: Instant) {
        self.users.remove(&user.to_owned());
        self.known.put(user.to_owned(), now, now);
        self.known_from.put((user.to_owned(), network(address)), now, now);
    }

    /// Counts a wrong password and says how long to hold the answer back.
    pub(super) fn failed(&mut self, user: &str, address: IpAddr, now: Instant) -> Duration {
        let failures = self.users.count(user.to_owned(), now);
        self.addresses.count(network(address), now);
        match failures.checked_sub(USER_FREE + 1) {
            Some(over) => doubled(USER_FIRST_DELAY, over, DELAY_MAX),
            None => Duration::ZERO,
        }
    }
}

/// A bounded map that drops what was touched longest ago.
struct Table<K, V> {
    entries: BTreeMap<K, (Instant, V)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, V: Copy> Table<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.entries.get(key).map(|(_, value)| *value)
    }

    fn put(&mut self, key: K, value: V, now: Instant) {
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&key) {
            self.shrink();
        }
        self.entries.insert(key, (now, value));
    }

    fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// Drops the older half, so that the cost of finding it is spread over many calls.
    fn shrink(&mut self) {
        let mut touched: Vec<Instant> = self.entries.values().map(|(at, _)| *at).collect();
        let (_, middle, _) = touched.select_nth_unstable(ENTRIES_MAX / 2);
        let middle = *middle;
        self.entries.retain(|_, (at, _)| *at > middle);
    }
}

impl<K: Ord + Clone> Table<K, Count> {
    fn count(&mut self, key: K, now: Instant) -> u32 {
        let failures = self.get(&key).map_or(0, |count| count.left(now)).saturating_add(1);
        self.put(key, Count { failures, last: now }, now);
        failures
    }
}

/// Whoever has one IPv6 address has its /64, so that counts as one.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn is_recent(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < KNOWN
}

fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    2_u32.checked_pow(times).and_then(|factor| first.checked_mul(factor)).map_or(max, |delay| delay.min(max))
}

#[cfg(test)]
mod tests {
    use super::{ADDRESS_FREE, DELAY_MAX, Slowdown};
    use std::net::IpAddr;
    use std::time::{Duration, Instant};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn wrong_answers_for_one_user_come_later_and_later() {
        let mut slowdown = Slowdown::default();
        let now = Instant::now();
        let delays: Vec<u128> = (0..12)
            .map(|guess| slowdown.failed("alice", address(&format!("10.0.0.{guess}")), now).as_millis())
            .collect();
        assert_eq!(delays, [0, 0, 0, 100, 200, 400, 800, 1600, 3000, 3000, 3000, 3000]);
        assert_eq!(DELAY_MAX, Duration::from_secs(3));
        assert_eq!(slowdown.failed("bob", address("10.0.0.1"), now), Duration::ZERO);
    }

    #[test]
    fn an_address_that_keeps_guessing_must_pause_and_is_forgiven_later() {
        let mut slowdown = Slowdown::default();
        let now = Instant::now();
        let from = address("2001:db8::1");
        for guess in 0..ADDRESS_FREE {
            assert_eq!(slowdown.must_pause("x", from, now), None);
            slowdown.failed(&format!("user{guess}"), from, now);
        }
        let neighbour = address("2001:db8::ffff");
        assert_eq!(slowdown.must_pause("x", neighbour, now), Some(Duration::from_secs(1)));
        assert_eq!(slowdown.must_pause("x", address("2001:db8:1::1"), now), None);
        assert_eq!(slowdown.must_pause("x", from, now + Duration::from_secs(1)), None);
    }

    #[test]
    fn a_user_who_was_right_from_an_address_is_still_checked_there() {
        let mut slowdown = Slowdown::default();
        let now = Instant::now();
        let from = address("192.0.2.7");
        slowdown.succeeded("owner", from, now);
        for _ in 0..ADDRESS_FREE + 5 {
            slowdown.failed("owner", from, now);
        }
        assert_eq!(slowdown.must_pause("owner", from, now), None);
        assert!(slowdown.must_pause("other", from, now).is_some());
    }

    #[test]
    fn the_tables_stay_bounded() {
        let mut slowdown = Slowdown::default();
        let now = Instant::now();
        for guess in 0..25_000_u32 {
            slowdown.failed(
                &format!("user{guess}"),
                address("192.0.2.7"),
                now + Duration::from_millis(guess.into()),
            );
        }
        assert!(slowdown.users.entries.len() <= super::ENTRIES_MAX);
    }
}
