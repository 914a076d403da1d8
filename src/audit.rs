//! The audit log: one line for each thing that was decided, written before its answer leaves.
//!
//! The format is that of `access-security-audit.log` (contract section 1.11), which log shippers parse: nine fields
//! separated by `|`, of which the first eight hold no space. Token values never come near it.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::clock;
use crate::percent;

/// The file's name below the home's `logs/`.
pub const FILE_NAME: &str = "access-security-audit.log";

/// What happened to the entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was made.
    Created,
    /// It was changed.
    Updated,
    /// It was removed or revoked.
    Deleted,
    /// It was refused.
    Refused,
}

/// What kind of entity a line speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// A token.
    Token,
    /// A user.
    User,
    /// A group.
    Group,
    /// A trusted issuer.
    Trust,
    /// A setting.
    Config,
    /// A node of the cluster.
    Node,
    /// An attempt to authenticate.
    Login,
}

/// One line.
#[derive(Debug)]
pub struct Line<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// The client's address, where it is known.
    pub address: Option<IpAddr>,
    /// Who asked: a user's name, or a token's subject.
    pub user: &'a str,
    /// The principal that was authenticated, as a subject.
    pub principal: &'a str,
    /// The name or id of what was changed.
    pub entity_name: &'a str,
    /// What happened.
    pub change: Change,
    /// To what.
    pub entity: Entity,
    /// The change itself, without secrets.
    pub data: Value,
}

/// The open log.
#[derive(Debug)]
pub struct Audit {
    file: Mutex<File>,
}

impl Audit {
    /// Opens `logs/access-security-audit.log` for appending; the folder is made if missing.
    pub fn open(logs: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(logs)?;
        let file = OpenOptions::new().create(true).append(true).open(logs.join(FILE_NAME))?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Writes one line with one system call, so that lines of several writers never mix.
    pub fn record(&self, line: &Line<'_>) {
        let text = line.render(clock::wall_ms());
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(text.as_bytes()) {
            tracing::error!(%error, request_id = line.request_id, "audit line could not be written");
        }
    }
}

impl Line<'_> {
    fn render(&self, now_ms: u64) -> String {
        let change = match self.change {
            Change::Created => "C",
            Change::Updated => "U",
            Change::Deleted => "D",
            Change::Refused => "R",
        };
        let entity = match self.entity {
            Entity::Token => "TKN",
            Entity::User => "USR",
            Entity::Group => "GRP",
            Entity::Trust => "TRS",
            Entity::Config => "CFG",
            Entity::Node => "NOD",
            Entity::Login => "LGN",
        };
        let mut text = String::with_capacity(256);
        write_timestamp(now_ms, &mut text);
        let address = self.address.map_or_else(|| "UNKNOWN".to_owned(), |address| address.to_string());
        for field in [self.request_id, &address, self.user, self.principal, self.entity_name] {
            text.push('|');
            // Names may hold anything; a space or a bar would shift the fields of a parser.
            percent::encode_except(
                if field.is_empty() { "UNKNOWN" } else { field },
                b"@/:*+,;=!$&'()",
                &mut text,
            );
        }
        // A `String` takes whatever is written into it.
        let _ = writeln!(text, "|{change}|{entity}|{}", self.data);
        text
    }
}

/// The day of an instant in seconds since 1970, as `2023-10-20`; of one before that, its beginning.
pub(crate) fn date_of(secs: i64) -> String {
    let (year, month, day) = civil_date(u64::try_from(secs).unwrap_or(0) / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// As `2023-10-20T12:53:37.758Z`.
pub(crate) fn timestamp(now_ms: u64) -> String {
    let mut text = String::new();
    write_timestamp(now_ms, &mut text);
    text
}

/// Appends `2023-10-20T12:53:37.758Z`.
fn write_timestamp(now_ms: u64, into: &mut String) {
    let (days, in_day) = (now_ms / 86_400_000, now_ms % 86_400_000);
    let (year, month, day) = civil_date(days);
    let (hour, minute) = (in_day / 3_600_000, in_day / 60_000 % 60);
    let (second, milli) = (in_day / 1000 % 60, in_day % 1000);
    let _ = write!(into, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z");
}

/// The Gregorian date of a day counted from 1970-01-01: eras of 400 years, years that start in March, so that the
/// leap day is a year's last.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_nine_fields_and_no_space_in_the_first_eight() {
        let line = Line {
            request_id: "269cdf00fb8d37bc",
            address: None,
            user: "two words|bar",
            principal: "jfrt@01/users/two words|bar",
            entity_name: "ünï",
            change: Change::Created,
            entity: Entity::Token,
            data: serde_json::json!({"added": {"scope": "api:* applied-permissions/admin"}}),
        };
        let text = line.render(1_697_806_417_758);
        assert_eq!(
            text,
            "2023-10-20T12:53:37.758Z|269cdf00fb8d37bc|UNKNOWN|two%20words%7Cbar|jfrt@01/users/two%20words%7Cbar|\
             %C3%BCn%C3%AF|C|TKN|{\"added\":{\"scope\":\"api:* applied-permissions/admin\"}}\n"
        );
    }

    #[test]
    fn dates_around_leap_days_are_right() {
        for (secs, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            let mut text = String::new();
            write_timestamp(secs * 1000, &mut text);
            assert_eq!(text, expected);
        }
    }
}
