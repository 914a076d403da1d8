//! Which known name was probably meant.

/// The known name that takes the fewest edits, if they are few enough for a typing mistake.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    // The right last part under the wrong parent is the commonest mistake of all.
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().replace('_', "-");
    let mut misplaced = known.clone().filter(|other| last(other) == last(name));
    if let (Some(only), None) = (misplaced.next(), misplaced.next()) {
        return Some(only);
    }
    let (edits, nearest) = known.map(|other| (edits(name, other), other)).min()?;
    (edits <= name.len().max(nearest.len()) / 3).then_some(nearest)
}

/// How many characters must be inserted, removed or replaced (Levenshtein).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, left) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, right) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::{edits, nearest};

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("same", "same"), 0);
    }

    #[test]
    fn a_typing_mistake_finds_its_name_and_a_stranger_none() {
        let known = ["http.listen", "peer.listen", "raft.heartbeat-ms"].into_iter();
        assert_eq!(nearest("http.lisen", known.clone()), Some("http.listen"));
        assert_eq!(nearest("heartbeat_ms", known.clone()), Some("raft.heartbeat-ms"));
        assert_eq!(nearest("colour", known), None);
    }
}
