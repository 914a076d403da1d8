//! Throws bytes at one of the parsers that see bytes from outside, the one that `CIRCLET_PARSER` names. One program for
//! all of them: each takes minutes to link.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static PARSE: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("CIRCLET_PARSER").expect("CIRCLET_PARSER names a parser");
    let found = circlet::outside::parsers().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no parser is called {name}")).1
});

fuzz_target!(|bytes: &[u8]| PARSE(bytes));
