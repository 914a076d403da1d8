//! What revoked ids cost: memory, judging a token that isn't among them, and reading a snapshot of them. Prints a table;
//! needs Linux's `/proc`.
//!
//! `cargo run --release -p circlet-authority --example revoked-memory -- 10000000`
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::{collections::BTreeSet, error::Error, fs};

use circlet_authority::{
    Action, Actor, Bootstrap, ClusterCa, Command, Config, FirstAdministrator, Judgement, KeyOrigin,
    NodeRecord, Outcome, PresentedToken, RevokeTarget, RevokeToken, Sealed, Stamp, State,
};
use circlet_token::{
    Algorithm, Audience, Claims, KeyId, Scope, ServiceId, Subject, TokenId, UserName, Verified,
};

const NOW_SECS: u64 = 1_800_000_000;
const YEAR_SECS: u64 = 31_536_000;
/// Tokens that are judged to see what it costs.
const JUDGED: u64 = 1_000_000;
/// What the kernel counts processor time in (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> Result<(), Box<dyn Error>> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let service = ServiceId::parse("jfrt@01hq0000000000000000000001")?;
    let key = KeyId::of_certificate(b"certificate");
    let mut state = State::new();
    apply(&mut state, Actor::System, Action::Bootstrap(Box::new(bootstrap(&service, &key)?)))?;
    let subject = Subject::user(&service, &UserName::parse("ci")?);
    let nothing = state.clone();
    // The first fill the index of recently revoked ids, whose size does not grow afterwards.
    let marks: BTreeSet<u64> = [count / 4, count / 2, count].into();
    let (mut random, mut before) = (1_u64, (0_u64, resident_bytes()?));
    println!("{:>12} {:>14} {:>22}", "revoked", "resident MiB", "bytes per id since");
    for number in 1..=count {
        let id = [next(&mut random).to_le_bytes(), next(&mut random).to_le_bytes()].concat();
        let token = PresentedToken {
            id: TokenId(id.try_into().map_err(|_| "an id has 16 bytes")?),
            subject: subject.clone(),
            key: key.clone(),
            issued_at: NOW_SECS,
            // Issued over a month, each for a year: mostly in the order of expiry, as revoking in practice is.
            expires_at: Some(NOW_SECS + YEAR_SECS + number * 2_592_000 / count + next(&mut random) % 3_600),
            revocable: Some(true),
            index: Some(1),
        };
        let target = RevokeTarget::Value(Box::new(token));
        apply(
            &mut state,
            Actor::Operator,
            Action::RevokeToken(Box::new(RevokeToken { target, cascade: false })),
        )?;
        if marks.contains(&number) {
            let now = resident_bytes()?;
            let each = (now.saturating_sub(before.1)) / (number - before.0);
            println!("{number:>12} {:>14} {each:>22}", now / 1_048_576);
            before = (number, now);
        }
    }
    let (none, all) = (judging(&nothing, &subject, &key)?, judging(&state, &subject, &key)?);
    println!("judging a token: {none:.2} us beside an empty list, {all:.2} us beside these");
    drop(nothing);
    let (start, mut snapshot) = (processor_seconds()?, Vec::new());
    state.encode_snapshot(&mut snapshot)?;
    let written = processor_seconds()?;
    let digest = state.digest();
    drop(state);
    let reading = processor_seconds()?;
    let restored = State::decode_snapshot(&mut snapshot.as_slice())?;
    println!(
        "a snapshot of {} MiB: written in {:.1} s of a processor, read in {:.1} s",
        snapshot.len() / 1_048_576,
        written - start,
        processor_seconds()? - reading
    );
    if restored.digest() == digest { Ok(()) } else { Err("the state that was read is another one".into()) }
}

/// Judges tokens that are not revoked; microseconds of a processor for each.
fn judging(state: &State, subject: &Subject, key: &KeyId) -> Result<f64, Box<dyn Error>> {
    let mut random = 7;
    let mut verified = Verified {
        claims: Claims {
            revocable: Some(true),
            subject: subject.clone(),
            scope: Scope::parse("applied-permissions/groups:readers")?,
            audience: Audience::any(),
            issuer: subject.service().clone(),
            expires_at: None,
            issued_at: NOW_SECS,
            not_before: None,
            id: None,
            index: Some(1),
        },
        key: key.clone(),
        algorithm: Algorithm::EdDsa,
    };
    let began = processor_seconds()?;
    for _ in 0..JUDGED {
        let id = [next(&mut random).to_le_bytes(), next(&mut random).to_le_bytes()].concat();
        verified.claims.id = Some(TokenId(id.try_into().map_err(|_| "an id has 16 bytes")?));
        verified.claims.expires_at = Some(NOW_SECS + YEAR_SECS + next(&mut random) % 2_592_000);
        if !matches!(state.judge(&verified, NOW_SECS), Judgement::Good { .. }) {
            return Err("a token that nobody revoked is refused".into());
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a million")]
    Ok((processor_seconds()? - began) * 1e6 / JUDGED as f64)
}

/// Processor time that this process has used, fields 14 and 15 of its `stat`.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
    let ticks: Result<Vec<u32>, _> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect();
    Ok(f64::from(ticks?.iter().sum::<u32>()) / TICKS_PER_SECOND)
}

fn apply(state: &mut State, actor: Actor, action: Action) -> Result<(), String> {
    let stamp = Stamp { now_ms: NOW_SECS * 1_000 };
    match state.apply(state.index() + 1, stamp, &Command { actor, action }) {
        Outcome::Refused(refusal) => Err(refusal.to_string()),
        _ => Ok(()),
    }
}

fn bootstrap(service: &ServiceId, key: &KeyId) -> Result<Bootstrap, Box<dyn Error>> {
    let sealed = || Sealed { under: [0; 32], nonce: [0; 24], ciphertext: vec![0; 48] };
    Ok(Bootstrap {
        service_id: service.clone(),
        generation: 1,
        kid: key.clone(),
        algorithm: Algorithm::EdDsa,
        certificate_der: Vec::new(),
        spki_der: Vec::new(),
        private_key: sealed(),
        origin: KeyOrigin::Made,
        cluster_ca: ClusterCa { certificate_der: Vec::new(), private_key: sealed() },
        refresh_secret: sealed(),
        master_key_fingerprint: [0; 32],
        administrator: FirstAdministrator {
            name: UserName::parse("admin")?,
            email: String::new(),
            password_hash: String::new(),
        },
        founder: NodeRecord {
            id: 1,
            name: String::new(),
            peer_address: String::new(),
            client_url: String::new(),
            public_key: [0; 32],
        },
        config: Config::default(),
        feature_level: 1,
    })
}

/// Steele, Lea and Flood's `SplitMix64`: ids must look random, and be the same in every run.
fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*random ^ (*random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1_024)
}
