//! Why a command ended without success: whose fault, what happened, what to do.

use std::error::Error;
use std::fmt;

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What was typed, or what a file given by the caller contains.
    Input,
    /// The program, its surroundings, or the server.
    Ours,
}

impl Fault {
    /// The exit code that says so.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Input => 1,
            Self::Ours => 2,
        }
    }
}

/// The end of a command that didn't do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// Whose fault it is.
    pub fault: Fault,
    /// One line: what was asked, what was found.
    pub message: String,
    /// One line: what to do about it.
    pub hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// The caller's input is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self { fault: Fault::Input, message: message.into(), hint: None, source: None }
    }

    /// Something here went wrong.
    pub fn ours(message: impl Into<String>) -> Self {
        Self { fault: Fault::Ours, message: message.into(), hint: None, source: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the error that caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Fault};

    #[test]
    fn a_failure_knows_its_exit_code() {
        assert_eq!(Failure::input("x").fault.exit_code(), 1);
        assert_eq!(Failure::ours("x").fault, Fault::Ours);
        assert_eq!(Fault::Ours.exit_code(), 2);
    }
}
