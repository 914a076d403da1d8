//! A promise about speed, and what was found of it.

use std::fmt::{self, Write};

use serde_json::{Value, json};

/// One promise, and what this run says about it.
#[derive(Debug)]
pub(crate) struct Target {
    text: &'static str,
    limit: f64,
    /// The figure, and whether it must stay at or below the limit or reach it.
    found: Option<f64>,
    at_most: bool,
}

impl Target {
    /// The figure stays at or below the limit.
    pub(crate) fn at_most(text: &'static str, limit: f64, found: Option<f64>) -> Self {
        Self { text, limit, found, at_most: true }
    }

    /// The figure reaches the limit.
    pub(crate) fn at_least(text: &'static str, limit: f64, found: Option<f64>) -> Self {
        Self { text, limit, found, at_most: false }
    }

    fn met(&self) -> Option<bool> {
        self.found.map(|found| if self.at_most { found <= self.limit } else { found >= self.limit })
    }

    fn verdict(&self) -> &'static str {
        match self.met() {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "not measured",
        }
    }

    /// For people.
    pub(crate) fn write(&self, text: &mut String) -> fmt::Result {
        let sign = if self.at_most { "<=" } else { ">=" };
        let found = self.found.map_or_else(|| "-".to_owned(), |found| format!("{found:.2}"));
        writeln!(text, "{:<13} {:<58} {sign} {:<5} found {found}", self.verdict(), self.text, self.limit)
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "target": self.text,
            "at_most": self.at_most,
            "limit": self.limit,
            "found": self.found,
            "met": self.met(),
        })
    }
}
