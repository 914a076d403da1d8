//! Where commands print: data on stdout, talk on stderr.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use super::failure::Failure;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON object, for programs
    Json,
}

/// Prints results in the format that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
}

impl Output {
    /// Prints in `format`.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// Whether stdout carries JSON.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Prints the result: `value` as indented JSON, or what `text` makes of it for people.
    pub fn result<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        let printed = if self.is_json() {
            serde_json::to_string_pretty(value)
                .map_err(|error| Failure::ours("the result has no JSON form").because(error))?
        } else {
            text(value)
        };
        Self::print(format!("{}\n", printed.trim_end_matches('\n')).as_bytes())
    }

    /// Prints what has a form of its own, such as a script, whatever the format.
    pub fn raw(self, bytes: &[u8]) -> Result<(), Failure> {
        Self::print(bytes)
    }

    fn print(bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            // The reader has seen enough, as in `circlet token list | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::ours("the result could not be written to stdout").because(error)),
            Ok(()) => Ok(()),
        }
    }

    /// Says something to the person at the terminal, on stderr.
    pub fn say(self, line: &str) {
        // Talk is best effort.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Prints a failure with its causes and its hint, and gives the exit code for it.
    #[must_use]
    pub fn failure(self, failure: &Failure) -> ExitCode {
        self.say(&render(failure));
        ExitCode::from(failure.fault.exit_code())
    }
}

/// `error: ...`, its causes one per line, and the hint after a blank line.
fn render(failure: &Failure) -> String {
    let mut text = format!("error: {failure}");
    let mut cause = std::error::Error::source(failure);
    while let Some(error) = cause {
        text.push_str("\n  caused by: ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if let Some(hint) = &failure.hint {
        text.push_str("\n\nhint: ");
        text.push_str(hint);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::cli::failure::Failure;

    #[test]
    fn a_failure_shows_its_causes_and_then_its_hint() {
        let failure =
            Failure::input("no home at /x").because(std::io::Error::other("gone")).hint("run circlet init");
        assert_eq!(render(&failure), "error: no home at /x\n  caused by: gone\n\nhint: run circlet init");
    }
}
