//! What the answer to a write says about what was done.

use crate::client::Answer;

/// Statuses that say nothing about whether a write was carried out.
const UNDECIDED: [u16; 2] = [429, 503];

/// What a node whose clock is wrong says of a token that is none too old and none too new.
const ABOUT_THE_TIME: [&str; 2] = ["expired", "not_yet_valid"];

/// What is known after an answer, or after none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It may have been done.
    Nothing(&'static str),
    /// It was done.
    Done,
    /// It was not.
    Refused,
    /// Nothing explains it.
    Odd,
}

/// What is known after an answer to a write that is refused with one of these statuses. `tells_time`: the clock of the node
/// that was asked has been right; `is_out`: the token that was shown may have been ended.
pub(super) fn heard(answer: Option<&Answer>, refusals: &[u16], tells_time: bool, is_out: bool) -> Heard {
    let Some(answer) = answer else { return Heard::Nothing("no answer") };
    let is_about_the_time = || answer.reason().is_some_and(|reason| ABOUT_THE_TIME.contains(&reason));
    match answer.status {
        status if UNDECIDED.contains(&status) => Heard::Nothing("not decided"),
        200..300 => Heard::Done,
        401 if is_out => Heard::Refused,
        status if refusals.contains(&status) => Heard::Refused,
        401 if !tells_time && is_about_the_time() => Heard::Refused,
        // Whatever else such a node says is no proof of anything.
        ..500 if !tells_time => Heard::Nothing("of a wrong clock"),
        _ => Heard::Odd,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Heard, heard};
    use crate::client::Answer;

    fn answer(status: u16, reason: &str) -> Answer {
        Answer { status, index: None, body: json!({ "errors": [{ "reason": reason }] }) }
    }

    #[test]
    fn a_node_whose_clock_is_wrong_refuses_what_it_finds_expired_and_nothing_follows_from_what_is_odd() {
        let heard =
            |status, reason, tells_time| heard(Some(&answer(status, reason)), &[409], tells_time, false);
        for (status, reason, right, wrong) in [
            (200, "", Heard::Done, Heard::Done),
            (409, "taken", Heard::Refused, Heard::Refused),
            (401, "expired", Heard::Odd, Heard::Refused),
            (401, "not_yet_valid", Heard::Odd, Heard::Refused),
            (401, "revoked", Heard::Odd, Heard::Nothing("of a wrong clock")),
            (404, "unknown_token", Heard::Odd, Heard::Nothing("of a wrong clock")),
            (503, "no_leader", Heard::Nothing("not decided"), Heard::Nothing("not decided")),
            (500, "internal", Heard::Odd, Heard::Odd),
        ] {
            assert_eq!(heard(status, reason, true), right, "{status} {reason}");
            assert_eq!(heard(status, reason, false), wrong, "{status} {reason}");
        }
    }

    #[test]
    fn no_answer_says_nothing_and_a_token_that_was_ended_is_refused() {
        assert_eq!(heard(None, &[], true, true), Heard::Nothing("no answer"));
        assert_eq!(heard(Some(&answer(401, "revoked")), &[], true, true), Heard::Refused);
        assert_eq!(heard(Some(&answer(401, "revoked")), &[], false, true), Heard::Refused);
    }
}
