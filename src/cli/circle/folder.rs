//! The folder of a verifier without a node: whom it believes, and what they revoked.
//!
//! | file | holds |
//! |---|---|
//! | `*.crt`, `*.pem` | a root certificate; of anybody whose tokens shall be accepted |
//! | `ID.member` | a member of the circle, in JSON: its circle key, and where to ask |
//! | `ID.feed` | what it revoked |
//! | `ID.head` | where its feed stands, signed, with a date |

use std::path::{Path, PathBuf};

use circlet_authority::Approved;
use circlet_token::feed::Follower;
use circlet_token::{Circle, KeySet, PublicKey, read_certificate};

use crate::certificates::certificate_pem;
use crate::cli::failure::Failure;
use crate::home::write_public;
use crate::invitation::Introduction;

/// A certificate, a member or a head is never larger.
const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024;
/// So many entries of one feed are kept.
const ENTRIES_MAX: u64 = 20_000_000;
/// The digits of a key's id in the name of its certificate.
const KEY_CHARS: usize = 8;

/// A folder, which may not hold anything yet.
pub(in crate::cli) struct Folder<'a>(pub(in crate::cli) &'a Path);

/// A member of the circle in the folder.
pub(in crate::cli) struct Member {
    /// Whom to believe, and where to ask.
    pub(in crate::cli) approved: Approved,
    /// What is known of its feed.
    pub(in crate::cli) follower: Follower,
}

impl Folder<'_> {
    /// Adds a member, or what is new of one that is there. Its circle key stays what it was.
    pub(in crate::cli) fn add(&self, introduction: &Introduction) -> Result<(), Failure> {
        let refused = |why| Failure::ours("the server introduces a member that can't be used").because(why);
        let approved = introduction.to_approve("").map_err(refused)?;
        std::fs::create_dir_all(self.0)
            .map_err(|error| Failure::input(format!("cannot make {}", self.0.display())).because(error))?;
        let id = approved.issuer.ulid();
        let place = self.place(id, "member");
        if place.exists()
            && let known = read_member(&place)?
            && known.circle_key != approved.circle_key
            && !self.follower(&known)?.knows_circle_key(&approved.circle_key)
        {
            return Err(Failure::input(format!("{} has another circle key now", approved.issuer)).hint(
                format!(
                    "make sure that it is its new one, then remove {} and {id}.feed, {id}.head",
                    place.display()
                ),
            ));
        }
        for der in introduction.certificates_der().map_err(refused)? {
            let facts = read_certificate(&der)
                .map_err(|error| Failure::ours("the server shows a bad certificate").because(error))?;
            let kid: String = facts.key_id.as_str().chars().take(KEY_CHARS).collect();
            write(&self.0.join(format!("{id}-{kid}.crt")), certificate_pem(&der).as_bytes())?;
        }
        let json = serde_json::to_vec_pretty(introduction).expect("texts have a JSON form");
        write(&place, &json)
    }

    /// The members, each with what is known of its feed.
    pub(in crate::cli) fn members(&self) -> Result<Vec<Member>, Failure> {
        let mut members = Vec::new();
        for file in self.files(&["member"])? {
            let approved = read_member(&file)?;
            let follower = self.follower(&approved)?;
            members.push(Member { approved, follower });
        }
        Ok(members)
    }

    fn follower(&self, approved: &Approved) -> Result<Follower, Failure> {
        let place = self.place(approved.issuer.ulid(), "feed");
        let unusable = || {
            Failure::input(format!("cannot use {}", place.display())).hint(
                "it is damaged, or of another circle key; remove it, and `circlet circle pull` fetches it anew",
            )
        };
        let bytes = match std::fs::read(&place) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let none = || Failure::input(format!("{} has no usable circle key", approved.issuer));
                return Follower::new(&approved.issuer, &approved.circle_key, ENTRIES_MAX).ok_or_else(none);
            }
            Err(error) => return Err(unusable().because(error)),
        };
        let follower = Follower::from_bytes(&bytes).ok_or_else(unusable)?;
        let own = follower.issuer() == &approved.issuer && follower.knows_circle_key(&approved.circle_key);
        if own { Ok(follower) } else { Err(unusable()) }
    }

    /// Keeps what is known of a feed: the head, and the rest if that has changed.
    pub(in crate::cli) fn keep(&self, follower: &Follower, feed_changed: bool) -> Result<(), Failure> {
        let id = follower.issuer().ulid();
        if feed_changed {
            write(&self.place(id, "feed"), &follower.to_bytes())?;
        }
        match follower.head() {
            Some(head) => write(&self.place(id, "head"), &head.to_bytes()),
            None => Ok(()),
        }
    }

    /// All of it, to verify with. `now_ms` is the time, by which heads are judged; what is said of them is returned as well.
    pub(in crate::cli) fn circle(&self, now_ms: u64) -> Result<(Circle, Vec<String>), Failure> {
        let (mut circle, mut said) = (Circle::new(self.keys()?), Vec::new());
        for Member { approved, mut follower } in self.members()? {
            let place = self.place(approved.issuer.ulid(), "head");
            if place.exists()
                && let Err(fault) = follower.take_head(&read_small(&place)?, now_ms)
            {
                said.push(format!("{}: {fault}", place.display()));
            }
            circle.follow(follower);
        }
        Ok((circle, said))
    }

    /// The keys of all certificates.
    pub(in crate::cli) fn keys(&self) -> Result<KeySet, Failure> {
        let mut keys = KeySet::new();
        for file in self.files(&["crt", "pem"])? {
            let unusable = || Failure::input(format!("cannot use {}", file.display()));
            let key = PublicKey::from_certificate(&read_small(&file)?, None);
            let key = key.map_err(|error| unusable().because(error))?;
            keys.insert(key).map_err(|conflict| unusable().because(conflict))?;
        }
        if keys.is_empty() {
            return Err(Failure::input(format!("no certificate (*.crt, *.pem) in {}", self.0.display()))
                .hint("put the root certificates there: etc/keys/root.crt of any node of each cluster"));
        }
        Ok(keys)
    }

    /// The files with one of these endings, in the order of their names: the same folder always gives the same complaint.
    fn files(&self, endings: &[&str]) -> Result<Vec<PathBuf>, Failure> {
        let unreadable =
            |error| Failure::input(format!("cannot read the folder {}", self.0.display())).because(error);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.0).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|found| endings.iter().any(|ending| found == *ending)) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    fn place(&self, id: &str, ending: &str) -> PathBuf {
        self.0.join(format!("{id}.{ending}"))
    }
}

fn read_member(file: &Path) -> Result<Approved, Failure> {
    let unusable = || Failure::input(format!("cannot use {}", file.display()));
    let introduction: Introduction =
        serde_json::from_slice(&read_small(file)?).map_err(|error| unusable().because(error))?;
    introduction.to_approve("").map_err(|error| unusable().because(error))
}

fn read_small(file: &Path) -> Result<Vec<u8>, Failure> {
    let unusable = || Failure::input(format!("cannot use {}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| unusable().because(error))?.len();
    if size > SMALL_FILE_BYTES_MAX {
        return Err(
            unusable().hint(format!("it has {size} bytes; there are never more than {SMALL_FILE_BYTES_MAX}"))
        );
    }
    std::fs::read(file).map_err(|error| unusable().because(error))
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_public(file, bytes)
        .map_err(|error| Failure::input(format!("cannot write {}", file.display())).because(error))
}
