//! Checks passwords: argon2id on a few threads of its own, off the request threads.
//!
//! - The queue is bounded, and half of it is kept for users who have logged in recently, so a flood of guesses
//!   makes strangers wait and nobody else.
//! - An unknown user costs the same work as a known one.
//! - A success is remembered for a minute as a keyed hash of user, stored hash and password; a changed password
//!   misses it at once.
//! - Wrong answers for one user come later and later, and an address that keeps guessing must pause. A right
//!   password is never held back on account of its user: guessing elsewhere cannot lock the owner out.
//! - A password that is shown with a revoke is neither told to pause nor that the queue is full: it waits for its turn, and
//!   its address has one at a time, and no more than one a second once it has guessed too much.

mod hashing;
mod memory;
mod pool;
mod slowdown;
mod turns;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::secret::Secret;
pub(crate) use hashing::hash_now;
use hashing::matches;
use memory::Memory;
use pool::{Pool, Priority};
use slowdown::Slowdown;
use turns::{Turn, Turns};

/// How many checks may wait in all; strangers fill half of it at most.
const QUEUE_CHECKS_MAX: usize = 64;
/// More threads than this would only take memory from everything else.
const THREADS_MAX: usize = 4;
/// What a check takes while it lasts: the `m` of the parameters, which is in KiB.
const CHECK_BYTES: u64 = 19_456 * 1024;
/// The part of the process's memory that checks may take, unless a single one takes more: one in so many.
const MEMORY_SHARE: u64 = 8;
/// What is checked for users who don't exist: the parameters of a real hash, and no password behind it.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// What a client is told to wait when the queue is full.
const BUSY_RETRY_SECS: u64 = 1;

/// One login: who says so, from where, with what.
pub struct Attempt<'a> {
    /// The user name, already normalised.
    pub user: &'a str,
    /// The client's address, behind trusted proxies the one they report.
    pub address: IpAddr,
    /// The password as presented.
    pub password: &'a Secret,
    /// The user's stored hash (PHC string); `None` if there is no such user or it has no password.
    pub stored: Option<&'a str>,
    /// Who waits for the turn of its address, rather than being told to come again: a request that revokes.
    pub waits: Option<&'a dyn Waits>,
}

/// A request whose password waits for its turn.
pub trait Waits: Send + Sync {
    /// It holds nothing from now on that others need.
    fn step_aside(&self);
    /// The wait is over. False if nobody is there any more to be answered.
    fn step_back(&self) -> bool;
}

/// What came of an [`Attempt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right.
    Right,
    /// It is wrong, or there is no such user.
    Wrong,
    /// This address has guessed too much: nothing was checked, come back in so many seconds.
    SlowDown {
        /// Seconds to wait.
        retry_after_secs: u64,
    },
    /// Too many checks are waiting: nothing was checked, come back in so many seconds.
    Busy {
        /// Seconds to wait.
        retry_after_secs: u64,
    },
}

/// How many passwords wait to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// Of users who were right not long ago.
    pub known: usize,
    /// Of others.
    pub strangers: usize,
    /// With revokes, whoever's.
    pub revokes: usize,
}

/// Too many passwords are waiting to be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are waiting to be hashed; try again in a second")]
pub struct Busy;

/// Checks and hashes passwords. Clones share the threads and the memory.
#[derive(Clone)]
pub struct Passwords {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    memory: Mutex<Memory>,
    slowdown: Mutex<Slowdown>,
    turns: Turns,
}

impl Passwords {
    /// Starts the threads: one per processor up to four, and fewer where the process may have little memory, in bytes.
    #[must_use]
    pub fn start(memory_limit_bytes: Option<u64>) -> Self {
        let shared = Shared {
            pool: Pool::start(threads(memory_limit_bytes), QUEUE_CHECKS_MAX),
            memory: Mutex::new(Memory::new()),
            slowdown: Mutex::new(Slowdown::default()),
            turns: Turns::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Judges one login. A wrong answer may take up to three seconds, if there were many before it.
    pub async fn check(&self, attempt: Attempt<'_>) -> Verdict {
        let now = Instant::now();
        let remembered =
            attempt.stored.map(|stored| self.memory(|m| m.key(attempt.user, stored, attempt.password)));
        if remembered.is_some_and(|key| self.memory(|memory| memory.holds(&key, now))) {
            return Verdict::Right;
        }
        let known = self.slowdown(|s| s.is_known(attempt.user, now));
        let (turn, priority) = if let Some(waits) = attempt.waits {
            waits.step_aside();
            (Some(self.turn(&attempt, known).await), Priority::Revoke)
        } else if let Some(wait) = self.slowdown(|s| s.must_pause(attempt.user, attempt.address, now)) {
            return Verdict::SlowDown { retry_after_secs: wait.as_secs().max(1) };
        } else {
            (None, if known { Priority::Known } else { Priority::Stranger })
        };
        let (right, turn) = match self.verify(&attempt, priority, turn).await {
            Ok((right, turn)) if attempt.waits.is_none_or(Waits::step_back) => (right, turn),
            Ok(_) | Err(Busy) => return Verdict::Busy { retry_after_secs: BUSY_RETRY_SECS },
        };
        let now = Instant::now();
        if right {
            self.slowdown(|s| s.succeeded(attempt.user, attempt.address, now));
            if let Some(key) = remembered {
                self.memory(|memory| memory.remember(key, now));
            }
            return Verdict::Right;
        }
        let delay = self.slowdown(|s| s.failed(attempt.user, attempt.address, now));
        // The next one is judged by what is counted now.
        drop(turn);
        tokio::time::sleep(delay).await;
        Verdict::Wrong
    }

    /// Waits until a password from this address may be looked at for a revoke.
    async fn turn(&self, attempt: &Attempt<'_>, known: bool) -> Turn {
        let (user, address) = (attempt.user, slowdown::network(attempt.address));
        let turn = match self.shared.turns.join(address, user, known) {
            Ok(turn) => turn,
            Err(in_line) => in_line.comes().await,
        };
        let paced = self.slowdown(|s| s.has_guessed(user, address, Instant::now()));
        turn.begin(paced).await;
        turn
    }

    /// How many checks wait.
    #[must_use]
    pub fn waiting(&self) -> Queued {
        let [known, strangers, revokes] = self.shared.pool.waiting();
        Queued { known, strangers, revokes: revokes + self.shared.turns.waiting() }
    }

    /// The PHC string to store for a new password.
    pub async fn hash(&self, password: &Secret) -> Result<String, Busy> {
        let password = password.clone();
        self.shared.pool.run(Priority::Known, move || hash_now(&password)).await
    }

    /// Checks against the stored hash, or does the same work for nothing. The turn goes with the work: whoever goes away
    /// doesn't begin another one before that is done.
    async fn verify(
        &self,
        attempt: &Attempt<'_>,
        priority: Priority,
        turn: Option<Turn>,
    ) -> Result<(bool, Option<Turn>), Busy> {
        let password = attempt.password.clone();
        let exists = attempt.stored.is_some();
        let stored = attempt.stored.unwrap_or(NOBODY).to_owned();
        self.shared.pool.run(priority, move || (matches(&password, &stored) && exists, turn)).await
    }

    fn memory<T>(&self, with: impl FnOnce(&mut Memory) -> T) -> T {
        with(&mut self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn slowdown<T>(&self, with: impl FnOnce(&mut Slowdown) -> T) -> T {
        with(&mut self.shared.slowdown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn threads(memory_limit_bytes: Option<u64>) -> usize {
    let affordable = memory_limit_bytes.map_or(u64::MAX, |limit| limit / MEMORY_SHARE / CHECK_BYTES).max(1);
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    processors.min(THREADS_MAX).min(usize::try_from(affordable).unwrap_or(usize::MAX))
}

/// What all checks together take at most, in bytes, for a moment and whenever somebody asks for it.
pub(crate) fn checks_bytes_max(memory_limit_bytes: u64) -> u64 {
    threads(Some(memory_limit_bytes)) as u64 * CHECK_BYTES
}

/// The longest that a wrong answer is held back.
pub const WRONG_ANSWER_DELAY_MAX: Duration = slowdown::DELAY_MAX;

#[cfg(test)]
mod tests {
    use super::{Attempt, Passwords, QUEUE_CHECKS_MAX, Verdict, Waits, hash_now};
    use crate::secret::Secret;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    async fn check(passwords: &Passwords, user: &str, password: &str, stored: Option<&str>) -> Verdict {
        let password = secret(password);
        passwords.check(Attempt { user, address: HERE, password: &password, stored, waits: None }).await
    }

    #[tokio::test]
    async fn the_right_password_is_right_and_others_are_wrong() {
        let passwords = Passwords::start(None);
        let stored = passwords.hash(&secret("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(check(&passwords, "alice", "correct horse", Some(&stored)).await, Verdict::Right);
        assert_eq!(check(&passwords, "alice", "battery staple", Some(&stored)).await, Verdict::Wrong);
        assert_eq!(check(&passwords, "nobody", "correct horse", None).await, Verdict::Wrong);
        assert_eq!(check(&passwords, "alice", "correct horse", Some("garbled")).await, Verdict::Wrong);
    }

    /// A revoke that notes how often it stepped aside, and back.
    #[derive(Default)]
    struct Revoke(AtomicUsize, AtomicUsize);

    impl Waits for Revoke {
        fn step_aside(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        fn step_back(&self) -> bool {
            self.1.fetch_add(1, Ordering::SeqCst);
            true
        }
    }

    #[tokio::test]
    async fn a_revoke_is_looked_at_where_others_must_pause_and_counts_like_them() {
        let (passwords, revoke) = (Passwords::start(None), Revoke::default());
        let (stored, right, wrong) = (hash_now(&secret("right")), secret("right"), secret("wrong"));
        for guess in 0..20 {
            assert_eq!(check(&passwords, &format!("guess{guess}"), "wrong", None).await, Verdict::Wrong);
        }
        let paused = check(&passwords, "owner", "right", Some(&stored)).await;
        assert!(matches!(paused, Verdict::SlowDown { .. }), "{paused:?}");
        let attempt = |user, password, stored| {
            passwords.check(Attempt { user, address: HERE, password, stored, waits: Some(&revoke) })
        };
        assert_eq!(attempt("guess", &wrong, None).await, Verdict::Wrong);
        let paused = passwords.slowdown(|s| s.must_pause("guess", HERE, Instant::now()));
        assert!(paused.is_some_and(|left| left > Duration::from_secs(1)), "it was counted: {paused:?}");
        assert_eq!(attempt("owner", &right, Some(&stored)).await, Verdict::Right);
        assert_eq!((revoke.0.load(Ordering::SeqCst), revoke.1.load(Ordering::SeqCst)), (2, 2));
    }

    #[tokio::test]
    async fn a_revoke_finds_a_place_in_a_queue_that_is_full() {
        let (passwords, revoke) = (Passwords::start(None), Revoke::default());
        let (stored, right) = (hash_now(&secret("right")), secret("right"));
        let guesses = (0..2 * QUEUE_CHECKS_MAX).map(|guess| {
            let passwords = &passwords;
            async move {
                let address = Ipv4Addr::from_bits(u32::try_from(guess).unwrap()).into();
                let (user, password) = (format!("guess{guess}"), secret("wrong"));
                let (user, password) = (user.as_str(), &password);
                passwords.check(Attempt { user, address, password, stored: None, waits: None }).await
            }
        });
        let owner = Attempt {
            user: "owner",
            address: HERE,
            password: &right,
            stored: Some(&stored),
            waits: Some(&revoke),
        };
        let (others, verdict) = tokio::join!(futures::future::join_all(guesses), passwords.check(owner));
        assert!(others.iter().any(|other| matches!(other, Verdict::Busy { .. })), "it is full: {others:?}");
        assert_eq!(verdict, Verdict::Right);
    }

    #[test]
    fn checking_for_nobody_costs_what_checking_for_somebody_does() {
        let parameters = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        let real = hash_now(&secret("x"));
        assert_eq!(parameters(super::NOBODY), parameters(&real));
        assert_eq!(super::NOBODY.len(), real.len());
        assert!(argon2::password_hash::phc::PasswordHash::new(super::NOBODY).is_ok());
    }

    #[tokio::test]
    async fn a_remembered_success_ends_with_the_password_it_was_for() {
        let passwords = Passwords::start(None);
        let (old, new) = (hash_now(&secret("old")), hash_now(&secret("new")));
        assert_eq!(check(&passwords, "alice", "old", Some(&old)).await, Verdict::Right);
        assert_eq!(check(&passwords, "alice", "old", Some(&new)).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn guessing_stops_the_address_but_never_the_owner() {
        let passwords = Passwords::start(None);
        let stored = hash_now(&secret("right"));
        assert_eq!(check(&passwords, "owner", "right", Some(&stored)).await, Verdict::Right);
        let mut verdict = Verdict::Wrong;
        for guess in 0..40 {
            // Many names, so that no single one is slow.
            verdict = check(&passwords, &format!("guess{guess}"), "wrong", None).await;
            if verdict != Verdict::Wrong {
                break;
            }
        }
        assert!(matches!(verdict, Verdict::SlowDown { .. }), "{verdict:?}");
        // Not the remembered success: another hash of the same password, checked in full, from the same address.
        let again = hash_now(&secret("right"));
        assert_eq!(check(&passwords, "owner", "right", Some(&again)).await, Verdict::Right);
    }
}
