//! What is wrong with a node's files, until it is right again: said once in the log, and shown in the node's status.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Problems by the file, or the pair of files, that has them.
#[derive(Default)]
pub(crate) struct Problems(Mutex<BTreeMap<&'static str, String>>);

impl Problems {
    /// Notes what is wrong with `file`; said in the log when it is another thing than before.
    pub(crate) fn set(&self, file: &'static str, problem: String) {
        let mut problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.get(file) != Some(&problem) {
            tracing::error!(%file, %problem, "a file of this node needs its operator");
            problems.insert(file, problem);
        }
    }

    /// Nothing is wrong with `file` any more.
    pub(crate) fn clear(&self, file: &str) {
        let mut problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.remove(file).is_some() {
            tracing::info!(%file, "the file is in order again");
        }
    }

    /// File and problem, in the order of the files.
    pub(crate) fn all(&self) -> Vec<(&'static str, String)> {
        let problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        problems.iter().map(|(file, problem)| (*file, problem.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Problems;

    #[test]
    fn a_problem_lasts_until_it_is_cleared() {
        let problems = Problems::default();
        problems.set("b", "one".to_owned());
        problems.set("a", "two".to_owned());
        problems.set("b", "three".to_owned());
        assert_eq!(problems.all(), [("a", "two".to_owned()), ("b", "three".to_owned())]);
        problems.clear("b");
        assert_eq!(problems.all(), [("a", "two".to_owned())]);
    }
}
