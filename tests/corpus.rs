//! Throws what was found worth keeping at every parser that sees bytes from outside (`fuzz/corpus`). Each returns,
//! whatever the bytes are; the fuzzer (`scripts/fuzz`) looks for more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).expect("a folder of fuzz/corpus for each parser");
    listed.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn every_parser_returns_whatever_was_found_for_it() {
    for (name, parse) in circlet::outside::parsers() {
        let files = entries(&corpus().join(name));
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            let bytes = std::fs::read(&file).expect("a readable file");
            parse(&bytes);
            // Cut anywhere, and with one byte changed, it is nothing else than bytes either.
            for place in 0..bytes.len().min(512) {
                parse(&bytes[..place]);
                let mut changed = bytes.clone();
                changed[place] ^= 0x41;
                parse(&changed);
            }
        }
    }
}

#[test]
fn every_corpus_belongs_to_a_parser() {
    let known: BTreeSet<PathBuf> = circlet::outside::parsers().map(|(name, _)| corpus().join(name)).collect();
    assert_eq!(entries(&corpus()).into_iter().collect::<BTreeSet<_>>(), known);
}
