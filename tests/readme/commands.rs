//! Every command of circlet that a document names exists, and so does each of its flags.

use std::path::{Path, PathBuf};

use circlet::cli::arguments::Arguments;
use clap::{Command, CommandFactory};

/// Commands that are named at least: fewer were read wrongly.
const NAMED_MIN: usize = 150;

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).expect("the pages").flatten().map(|entry| entry.path());
    let pages = pages.filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages.chain(["README.md", "SECURITY.md"].map(|name| root.join(name))).collect()
}

/// What follows `circlet` where it is a command: between backticks, or in a line of shell.
fn named(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let (mut named, mut fence) = (Vec::new(), "");
    let mut prose = String::new();
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(kind) if fence.is_empty() => fence = if kind.starts_with("sh") { "shell" } else { "shown" },
            Some(_) => fence = "",
            None if fence == "shell" => {
                let line = line.split(" #").next().unwrap_or_default();
                let commands = line.split(['|', ';', '(', ')', '&', '{']).map(str::trim);
                named.extend(
                    commands.filter_map(|command| {
                        command.split_once("circlet ").map(|(_, rest)| rest.to_owned())
                    }),
                );
            }
            None if fence.is_empty() => prose.extend([line, " "]),
            None => {}
        }
    }
    let quoted = prose.split('`').skip(1).step_by(2);
    named.extend(quoted.filter_map(|quoted| quoted.strip_prefix("circlet ").map(str::to_owned)));
    named
}

/// What is wrong with one of them, if anything is. `list|rotate` stands for two commands.
fn wrong_with(command: &Command, words: &[&str]) -> Option<String> {
    let Some((first, rest)) = words.split_first().filter(|_| command.has_subcommands()) else {
        return words.iter().find_map(|word| unknown_flag(command, word));
    };
    if !first.starts_with(|c: char| c.is_ascii_lowercase()) {
        return words.iter().find_map(|word| unknown_flag(command, word));
    }
    first.split('|').find_map(|name| match command.find_subcommand(name) {
        Some(inner) => wrong_with(inner, rest),
        None => Some(format!("there is no `{} {name}`", command.get_name())),
    })
}

fn unknown_flag(command: &Command, word: &str) -> Option<String> {
    let flag = word.strip_prefix("--")?.split('=').next().unwrap_or_default();
    let flag = flag.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let known = command.get_arguments().any(|argument| argument.get_long() == Some(flag));
    (!known).then(|| format!("`{}` has no --{flag}", command.get_name()))
}

#[test]
fn every_command_that_a_document_names_exists() {
    let mut circlet = Arguments::command();
    circlet.build();
    let (mut count, mut wrong) = (0, Vec::new());
    for document in documents() {
        for line in named(&std::fs::read_to_string(&document).expect("a document")) {
            count += 1;
            let words: Vec<&str> = line.split_whitespace().collect();
            let found = wrong_with(&circlet, &words);
            wrong.extend(found.map(|what| format!("{}: {what}: circlet {line}", document.display())));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= NAMED_MIN, "{count} commands");
}
