//! The frozen bytes. A line that is there must never change: logs and snapshots of running clusters hold such bytes.
//! `UPDATE_GOLDENFILES=1` adds lines for what is new, and leaves the others alone.

mod circle;
mod floor;
mod refusals;
mod secrets;

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use circlet_authority::{
    Action, Actor, AdmitByKey, AdmitNode, Command, DeleteGroup, DeleteUser, Descendants, DistrustIssuer,
    FeatureLevel, Generation, Group, ImportTokens, Imported, ImportedToken, IssueToken, IssuerLimits,
    KeyOrigin, MintJoinToken, NoteUse, Origin, Outcome, PasswordChange, Picture, PresentedToken, Purge,
    PutGroup, PutMode, PutUser, RefreshOverrides, RefreshToken, Refusal, ReplaceCa, RevokeBefore, RevokeNote,
    RevokeTarget, RevokeToken, Revoked, RotateKey, SetConfig, Stamp, State, TokenActor, TokenRecord,
    TrustIssuer, UserStatus, Whom,
};
use circlet_token::{Algorithm, Audience, Lifetime, Scope, Subject};

use crate::house::{
    House, OURS, START_MS, THEIRS, bootstrap, family_id, hash, kid, name, new_key, node, service, token_id,
};
use crate::next_generation::next;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A snapshot that an earlier version wrote, read and written again.
fn written_before(label: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/snapshot.hex");
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(' ')).unwrap();
    let byte = |at: usize| u8::from_str_radix(line.get(at..at + 2).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = (0..line.len()).step_by(2).map(byte).collect();
    snapshot_of(&State::decode_snapshot(&mut bytes.as_slice()).unwrap())
}

/// Compare with the lines of a file, or add those that it lacks.
fn frozen(file: &str, rows: &[(String, Vec<u8>)]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file);
    let mut text = fs::read_to_string(&path).unwrap_or_default();
    let known: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(label, bytes)| (label.to_owned(), bytes.to_owned()))
        .collect();
    for (label, bytes) in rows {
        match known.iter().find(|(known, _)| known == label) {
            Some((_, frozen)) => assert_eq!(&hex(bytes), frozen, "{file}: {label} changed its bytes"),
            None => writeln!(text, "{label} {}", hex(bytes)).unwrap(),
        }
    }
    let labels: BTreeSet<&String> = rows.iter().map(|(label, _)| label).collect();
    assert!(
        known.iter().all(|(label, _)| labels.contains(label)),
        "{file} has lines that nothing makes any more"
    );
    if std::env::var_os("UPDATE_GOLDENFILES").is_some() {
        fs::write(&path, text).unwrap();
    } else {
        assert_eq!(known.len(), rows.len(), "{file} lacks lines");
    }
}

fn issue_token() -> IssueToken {
    IssueToken {
        id: token_id("t"),
        generation: Generation::Access,
        subject: Subject::user(&service(OURS), &name("alice")),
        scope: Scope::parse("applied-permissions/groups:\"g 1\",g2").unwrap(),
        audience: Audience::parse("jfrt@* jfac@*").unwrap(),
        lifetime: Lifetime::from_secs(3_600),
        force_revocable: true,
        description: Some("né".to_owned()),
        reference: Some(hash("reference")),
        family: Some(family_id("f")),
        owner: Some(name("admin")),
        idempotency: Some(hash("key")),
        request_digest: hash("request"),
    }
}

fn record() -> TokenRecord {
    let issue = issue_token();
    TokenRecord {
        id: issue.id,
        subject: issue.subject,
        scope: issue.scope,
        audience: issue.audience,
        lifetime: issue.lifetime,
        revocable: true,
        issued_at: 1_800_000_000,
        expires_at: Some(1_800_003_600),
        index: 70_000,
        kid: kid("k1"),
        owner: issue.owner,
        owner_external: false,
        parent: Some(token_id("parent")),
        origin: Some(Origin::Family(family_id("parent"))),
        description: issue.description,
        family: Some((family_id("f"), 300)),
        reference: issue.reference,
        generation: Generation::Legacy,
        request_digest: issue.request_digest,
    }
}

fn refresh() -> RefreshToken {
    RefreshToken {
        family: family_id("f"),
        sequence: 300,
        access: Some(token_id("t")),
        request_digest: hash("request"),
        successor_id: token_id("u"),
        reference: Some(hash("reference")),
        overrides: RefreshOverrides {
            lifetime: Some(Lifetime::FOREVER),
            scope: Some(Scope::parse("applied-permissions/admin").unwrap()),
            audience: Some(Audience::any()),
        },
    }
}

fn import() -> ImportTokens {
    let token = ImportedToken {
        id: token_id("old"),
        subject: Subject::user(&service(OURS), &name("alice")),
        scope: Scope::parse("api:*").unwrap(),
        issued_at: 1_700_000_000,
        expires_at: None,
        description: Some("CI".to_owned()),
    };
    ImportTokens { kid: kid("k1"), tokens: vec![token] }
}

fn presented() -> PresentedToken {
    PresentedToken {
        id: token_id("t"),
        subject: Subject::parse(&format!("{THEIRS}/anything/else")).unwrap(),
        key: kid("k1"),
        issued_at: 1,
        expires_at: None,
        revocable: Some(false),
        index: Some(u64::MAX),
    }
}

fn put_user() -> PutUser {
    PutUser {
        email: Some("alice@example.org".to_owned()),
        password: PasswordChange::Set("$argon2id$x".to_owned()),
        admin: Some(true),
        groups: Some(["g1".to_owned(), "g2".to_owned()].into()),
        status: Some(UserStatus::Invited),
        realm: Some("ldap".to_owned()),
        profile_updatable: Some(false),
        internal_password_disabled: Some(true),
        disable_ui_access: None,
        ..PutUser::new(name("alice"), PutMode::Update)
    }
}

fn trust() -> TrustIssuer {
    TrustIssuer {
        kid: kid("t"),
        algorithm: Algorithm::Es256,
        spki_der: vec![1, 2, 3],
        certificate_der: vec![4; 300],
        issuer: service(THEIRS),
        common_name: "them".to_owned(),
        not_after: "7000-01-01T00:00:00Z".to_owned(),
        limits: IssuerLimits {
            admin: true,
            groups: Some([("g".to_owned(), "h".to_owned())].into()),
            max_lifetime: Some(Lifetime::from_secs(600)),
            audiences: Some(["jfrt@*".to_owned()].into()),
            revoke: true,
        },
        file_name: "them.crt".to_owned(),
    }
}

fn publish() -> RotateKey {
    let key = Box::new(new_key("k2", "k2", KeyOrigin::Adopted));
    RotateKey::Publish { key, replaces: kid("k1"), overlap_secs: Some(60) }
}

fn admit() -> AdmitNode {
    let record = node("n2", 0);
    AdmitNode {
        join_token: hash("secret"),
        name: record.name,
        peer_address: record.peer_address,
        client_url: record.client_url,
        public_key: record.public_key,
        votes: true,
        supports: 2,
    }
}

fn admit_by_key() -> AdmitByKey {
    let AdmitNode { name, peer_address, client_url, public_key, .. } = admit();
    AdmitByKey { name, peer_address, client_url, public_key, votes: true, supports: 2 }
}

fn replace_ca() -> ReplaceCa {
    ReplaceCa { replaces: b"ca".to_vec(), ca: bootstrap().cluster_ca }
}

fn actions() -> Vec<(&'static str, Action)> {
    let revoke = |target| Action::RevokeToken(Box::new(RevokeToken { target, cascade: false }));
    let rotate = |rotate| Action::RotateKey(Box::new(rotate));
    let before = |whom| Action::RevokeBefore(RevokeBefore::all_of(whom));
    let config = SetConfig { config: circlet_authority::Config::default(), if_version: Some(3) };
    let group =
        PutGroup { group: Group::new("g"), mode: PutMode::Create, members: Some([name("alice")].into()) };
    let mut all = vec![
        ("bootstrap", Action::Bootstrap(Box::new(bootstrap()))),
        ("issue-token", Action::IssueToken(Box::new(issue_token()))),
        ("refresh-token", Action::RefreshToken(Box::new(refresh()))),
        ("revoke-token-id", revoke(RevokeTarget::Id(token_id("t")))),
        ("revoke-token-value", revoke(RevokeTarget::Value(Box::new(presented())))),
        (
            "revoke-token-cascade",
            Action::RevokeToken(Box::new(RevokeToken {
                target: RevokeTarget::Id(token_id("t")),
                cascade: true,
            })),
        ),
        ("revoke-token-family", revoke(RevokeTarget::Family { family: family_id("f"), sequence: 1 })),
        ("revoke-before-subject", before(Whom::Subject(Subject::user(&service(OURS), &name("a/b"))))),
        ("revoke-before-key", before(Whom::Key(kid("k1")))),
        (
            "revoke-before-subjects",
            before(Whom::Subjects { service: service(OURS), start: "users/ci-".to_owned() }),
        ),
        ("revoke-before-group", before(Whom::Group("g1".to_owned()))),
        (
            "revoke-before-everyone",
            Action::RevokeBefore(RevokeBefore {
                whom: Whom::Everyone,
                since: Some(1_800_000_000),
                until: Some(1_800_003_600),
            }),
        ),
        ("put-user", Action::PutUser(Box::new(put_user()))),
        ("delete-user", Action::DeleteUser(DeleteUser { name: name("alice") })),
        ("put-group", Action::PutGroup(Box::new(group))),
        ("delete-group", Action::DeleteGroup(DeleteGroup { name: "g".to_owned() })),
        ("set-config", Action::SetConfig(Box::new(config))),
        ("trust-issuer", Action::TrustIssuer(Box::new(trust()))),
        ("distrust-issuer", Action::DistrustIssuer(DistrustIssuer { kid: kid("t") })),
        ("mint-join-token", Action::MintJoinToken(MintJoinToken { hash: hash("secret") })),
        ("admit-node", Action::AdmitNode(Box::new(admit()))),
        ("replace-ca", Action::ReplaceCa(Box::new(replace_ca()))),
        ("admit-by-key", Action::AdmitByKey(Box::new(admit_by_key()))),
        ("purge-mark", Action::Purge(Purge::Mark)),
        ("purge-remove", Action::Purge(Purge::Remove { mark: 9, elapsed_ms: 3_600_000 })),
        ("import-tokens", Action::ImportTokens(Box::new(import()))),
        ("note-use", Action::NoteUse(NoteUse { uses: vec![(token_id("t"), 1_800_000_000)] })),
        ("rotate-key-publish", rotate(publish())),
        ("rotate-key-activate", rotate(RotateKey::Activate { kid: kid("k2"), replaces: kid("k1") })),
        ("rotate-key-taint", rotate(RotateKey::Taint { kid: kid("k1"), next: None })),
        ("rotate-key-confirm", rotate(RotateKey::Confirm { kid: kid("k2"), node: 7 })),
        ("rotate-key-cancel", rotate(RotateKey::Cancel { kid: kid("k2") })),
        ("rotate-key-retire", rotate(RotateKey::Retire { kid: kid("k1"), vouched: true })),
    ];
    all.extend(circle::actions());
    all.extend(secrets::actions());
    let level = |change| Action::FeatureLevel(change);
    all.extend([
        ("feature-level-support", level(FeatureLevel::Support { node: 7, level: 2 })),
        ("feature-level-raise", level(FeatureLevel::Raise { to: 2 })),
    ]);
    all
}

fn actors() -> Vec<(&'static str, Actor)> {
    let token = TokenActor {
        subject: Subject::user(&service(THEIRS), &name("bob")),
        id: None,
        key: kid("k1"),
        issued_at: 1_800_000_000,
        index: Some(5),
        scope: Scope::read("something:else api:*").unwrap(),
        expires_at: Some(1_800_000_060),
        revocable: None,
    };
    vec![
        ("by-system", Actor::System),
        ("by-user", Actor::User { name: name("alice") }),
        ("by-token", Actor::Token(Box::new(token))),
        ("by-refresh-pair", Actor::RefreshPair),
        ("by-operator", Actor::Operator),
    ]
}

#[test]
fn every_action_and_actor_keeps_its_bytes() {
    let mut rows = Vec::new();
    let purge = || Action::Purge(Purge::Mark);
    let by_system =
        actions().into_iter().map(|(label, action)| (label, Command { actor: Actor::System, action }));
    let purges = actors().into_iter().map(|(label, actor)| (label, Command { actor, action: purge() }));
    let mut names = BTreeSet::new();
    for (label, command) in by_system.chain(purges) {
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).as_ref(), Ok(&command));
        names.insert(command.action.name());
        rows.push((label.to_owned(), bytes));
    }
    assert_eq!(names.len(), 33, "an action has no vector");
    frozen("commands.hex", &rows);
}

fn outcomes() -> Vec<(&'static str, Outcome)> {
    let descendants = Descendants { ended: 300, living: 1, more: true };
    let revoked = |note| {
        Outcome::Revoked(Box::new(Revoked { ids: vec![token_id("t")], already: true, note, descendants }))
    };
    let lives = RevokeNote::AccessTokenLives { id: token_id("t"), until: Some(5) };
    vec![
        ("done", Outcome::Done),
        ("issued", Outcome::Issued(Box::new(record()))),
        ("refreshed", Outcome::Refreshed { record: Box::new(record()), sequence: 300, replay: true }),
        ("revoked", revoked(RevokeNote::None)),
        ("revoked-family-ended", revoked(RevokeNote::FamilyEnded)),
        ("revoked-access-token-lives", revoked(lives)),
        ("revoked-listed-unseen", revoked(RevokeNote::ListedUnseen { until: 5 })),
        ("not-found", Outcome::NotFound { what: "user x".to_owned() }),
        ("joined", Outcome::Joined { node: 70_000 }),
        ("configured", Outcome::Configured { version: 2 }),
        ("marked", Outcome::Marked { mark: 9, through: 1_800_000_000 }),
        ("purged", Outcome::Purged { removed: 20_000, more: true }),
        (
            "imported",
            Outcome::Imported(Imported { recorded: 1, known: 2, revoked: 3, expired: 4, foreign: 300 }),
        ),
        ("watermark-set", Outcome::WatermarkSet { index: 9 }),
        (
            "refused",
            Outcome::Refused(Box::new(Refusal::Forbidden { asked: "a".to_owned(), allowed: "b".to_owned() })),
        ),
    ]
}

#[test]
fn every_outcome_keeps_its_bytes() {
    let mut rows = Vec::new();
    let mut tags = BTreeSet::new();
    for (label, outcome) in outcomes() {
        let bytes = outcome.encode();
        assert_eq!(Outcome::decode(&bytes).as_ref(), Ok(&outcome));
        tags.insert(bytes[1]);
        rows.push((label.to_owned(), bytes));
    }
    assert_eq!(
        tags.into_iter().collect::<Vec<u8>>(),
        (1..=12).collect::<Vec<u8>>(),
        "an outcome has no vector"
    );
    frozen("outcomes.hex", &rows);
}

/// The tags of a snapshot's frames.
fn sections(bytes: &[u8]) -> BTreeSet<u8> {
    let mut rest = &bytes[b"circlet state".len() + 1..];
    let mut tags = BTreeSet::new();
    while let [a, b, c, d, tag, ..] = *rest {
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length == 0 {
            break;
        }
        tags.insert(tag);
        rest = &rest[4 + length..];
    }
    tags
}

fn snapshot_of(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    bytes
}

/// A house in which everything that a state can hold has happened.
fn furnished() -> House {
    let mut house = House::new();
    let admin = || Actor::User { name: name("admin") };
    let secret = Action::MintJoinToken(MintJoinToken { hash: hash("secret") });
    house.apply(admin(), secret);
    house.apply(
        admin(),
        Action::PutGroup(Box::new(PutGroup {
            group: Group::new("g2"),
            mode: PutMode::Create,
            members: None,
        })),
    );
    house.apply(
        admin(),
        Action::PutGroup(Box::new(PutGroup {
            group: Group::new("g1"),
            mode: PutMode::Create,
            members: None,
        })),
    );
    house.apply(admin(), Action::PutUser(Box::new(PutUser { mode: PutMode::Create, ..put_user() })));
    for (_, action) in actions() {
        house.now_ms += 1_000;
        house.apply(admin(), action.clone());
        house.apply(Actor::System, action);
    }
    let user = Subject::user(&service(OURS), &name("admin"));
    for label in ["one", "two"] {
        let issue = IssueToken {
            id: token_id(label),
            subject: user.clone(),
            scope: Scope::parse("applied-permissions/user").unwrap(),
            reference: Some(hash(label)),
            family: Some(family_id(label)),
            idempotency: Some(hash(label)),
            request_digest: hash(label),
            ..issue_token()
        };
        house.apply(admin(), Action::IssueToken(Box::new(issue)));
    }
    let other = TrustIssuer { kid: kid("other"), spki_der: vec![9], ..trust() };
    house.apply(admin(), Action::TrustIssuer(Box::new(other)));
    let mut config = circlet_authority::Config::default();
    config.set("token.persistency.persistent-expiry-threshold", "50000").unwrap();
    house.apply(admin(), Action::SetConfig(Box::new(SetConfig { config, if_version: None })));
    let target = RevokeTarget::Id(token_id("never seen"));
    house.apply(admin(), Action::RevokeToken(Box::new(RevokeToken { target, cascade: false })));
    let target = RevokeTarget::Id(token_id("one"));
    house.apply(admin(), Action::RevokeToken(Box::new(RevokeToken { target, cascade: false })));
    secrets::happen(&mut house);
    house
}

#[test]
fn a_snapshot_keeps_its_bytes() {
    let mut house = furnished();
    let bytes = snapshot_of(&house.state);
    assert_eq!(State::decode_snapshot(&mut bytes.as_slice()).unwrap().digest(), house.state.digest());
    let restored = house.state.next_generation(&next("k9", OURS, START_MS)).unwrap();
    let restored = snapshot_of(&restored);
    let required = floor::required().state;
    let on_floor = required.next_generation_on(&next("k9", OURS, START_MS), &Picture::of(&required)).unwrap();
    let on_floor = snapshot_of(&on_floor);
    let mut tags = sections(&bytes);
    for other in [&restored, &snapshot_of(&required), &on_floor] {
        tags.extend(sections(other));
    }
    let snapshots = [
        ("state".to_owned(), bytes.clone()),
        ("empty".to_owned(), snapshot_of(&State::new())),
        ("next-generation".to_owned(), written_before("next-generation")),
        ("required".to_owned(), snapshot_of(&required)),
        ("on-floor".to_owned(), written_before("on-floor")),
        ("next-generation-told".to_owned(), restored),
        ("on-floor-told".to_owned(), on_floor),
    ];
    for (label, bytes) in &snapshots {
        let decoded = State::decode_snapshot(&mut bytes.as_slice());
        let decoded = decoded.unwrap_or_else(|error| panic!("{label}: {error}"));
        assert_eq!(hex(&snapshot_of(&decoded)), hex(bytes), "{label} comes back as it was");
    }
    frozen("snapshot.hex", &snapshots);
    let known = (1..=17)
        .filter(|tag| !(12..=13).contains(tag))
        .chain([50])
        .chain(60..=63)
        .chain(70..=75)
        .chain(120..=122);
    assert_eq!(tags.into_iter().collect::<Vec<u8>>(), known.collect::<Vec<u8>>());
    // A node that starts from it goes on as one that has been there all along.
    let mut restored = State::decode_snapshot(&mut bytes.as_slice()).unwrap();
    let admin = Actor::User { name: name("admin") };
    let again = Command { actor: admin, action: Action::RefreshToken(Box::new(refresh())) };
    let stamp = Stamp { now_ms: START_MS + 999_999 };
    let index = restored.index() + 1;
    assert_eq!(restored.apply(index, stamp, &again), house.state.apply(index, stamp, &again));
    assert_eq!(restored.digest(), house.state.digest());
}
