//! The yardsticks: what one bare signature and one bare verification cost on this machine, in this run.
//!
//! A figure in microseconds says more about the machine than about the server; a multiple of these says how much the
//! server adds to the work that nobody can avoid.

use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use rustix::time::{ClockId, clock_gettime};

/// The length of a typical token's signing input: what is signed.
const SIGNING_INPUT_BYTES: usize = 480;
/// Long enough that the clock's resolution and the first cold rounds don't matter.
const ROUNDS: u32 = 8_000;

/// CPU time of one operation on one thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Yardstick {
    /// One Ed25519 signature over a token's signing input.
    pub(crate) signature: Duration,
    /// One strict Ed25519 verification of it.
    pub(crate) verification: Duration,
}

impl Yardstick {
    /// Measures both on the calling thread; takes about a second.
    pub(crate) fn measure() -> Self {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = key.verifying_key();
        let mut message = [b'a'; SIGNING_INPUT_BYTES];
        let signature = per_round(|round| {
            message[..4].copy_from_slice(&round.to_le_bytes());
            std::hint::black_box(key.sign(std::hint::black_box(&message)));
        });
        let signed = key.sign(&message);
        let verification = per_round(|_| {
            let verdict = public.verify_strict(std::hint::black_box(&message), &signed);
            std::hint::black_box(verdict).expect("the signature was made by this key over this message");
        });
        Self { signature, verification }
    }
}

fn per_round(mut work: impl FnMut(u32)) -> Duration {
    for round in 0..ROUNDS / 8 {
        work(round);
    }
    let start = thread_cpu_time();
    for round in 0..ROUNDS {
        work(round);
    }
    thread_cpu_time().saturating_sub(start) / ROUNDS
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
