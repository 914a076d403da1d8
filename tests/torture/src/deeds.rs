//! What clients and administrators must have done in a run, beside the faults: a run goes on until each was done once.

use crate::judge::Judge;

/// As the report counts them. What comes often anyway isn't here.
const MUST: [&str; 10] = [
    "accepted by the neighbour",
    "backup after a loss, shut to the thief",
    "ended token of the neighbour shown",
    "ended token shown to the neighbour",
    "overreach without the log",
    "plain token for a password",
    "plain token for a token",
    "stolen disk started, and refused",
    "token of the neighbour accepted",
    "watermark of the neighbour",
];

/// What was not done.
pub(crate) fn undone(judge: &Judge) -> Vec<&'static str> {
    MUST.into_iter().filter(|what| !judge.has_counted(what)).collect()
}

#[cfg(test)]
mod tests {
    use super::{MUST, undone};
    use crate::judge::Judge;

    #[test]
    fn what_was_counted_was_done() {
        let judge = Judge::new(None);
        assert_eq!(undone(&judge), MUST);
        for what in MUST {
            judge.count(what);
        }
        assert_eq!(undone(&judge), [""; 0]);
    }
}
