//! Outcomes in the words of the scripts.

use circlet_authority::{Descendants, Outcome, RevokeNote, TokenRecord};

use crate::house::kid;

pub(crate) fn tell(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Issued(record) => format!("recorded {}", describe(record)),
        Outcome::Refreshed { record, sequence, replay } => {
            let how = if *replay { "again" } else { "successor" };
            format!("{how} {} sequence {sequence}", describe(record))
        }
        Outcome::Revoked(revoked) => {
            let ids: Vec<String> = revoked.ids.iter().map(ToString::to_string).collect();
            let already = if revoked.already { "already " } else { "" };
            let note =
                if revoked.note == RevokeNote::None { String::new() } else { format!("; {}", revoked.note) };
            let Descendants { ended, living, more } = revoked.descendants;
            let descendants = if revoked.descendants == Descendants::default() {
                String::new()
            } else {
                format!("; descendants: {ended} ended, {living} live on{}", if more { ", more" } else { "" })
            };
            format!("{already}revoked [{}]{note}{descendants}", ids.join(" "))
        }
        Outcome::Refused(refusal) => format!("refused: {refusal}"),
        Outcome::NotFound { what } => format!("not found: {what}"),
        Outcome::Joined { node } => format!("joined as node {node}"),
        Outcome::Configured { version } => format!("configuration {version}"),
        Outcome::Marked { mark, .. } => format!("marked at {mark}"),
        Outcome::Purged { removed, more } => format!("removed {removed}, more: {more}"),
        Outcome::WatermarkSet { index } => format!("watermark at {index}"),
        Outcome::Imported(imported) => format!("{imported:?}"),
        Outcome::Done => "done".to_owned(),
    }
}

pub(crate) fn describe(record: &TokenRecord) -> String {
    let revocable = if record.revocable { " revocable" } else { "" };
    let life = record.lifetime.secs().map_or_else(|| "for ever".to_owned(), |life| format!("{life} s"));
    let key = if record.kid == kid("k1") { String::new() } else { format!(" key {}", record.kid) };
    let parent = record.parent.map_or_else(String::new, |parent| format!(" parent {parent}"));
    let index = record.index;
    format!("{} {}{revocable} {life} index {index}{key}{parent}", record.id, record.subject.name())
}
