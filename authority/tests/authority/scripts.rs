//! Runs every script under `tests/scripts/`. `UPDATE_GOLDENFILES=1` writes down what they print; read the difference.

use std::{error::Error, path::Path};

use circlet_authority::{State, invariant};
use goldenscript::{Command, Context, Runner};

use crate::house::House;

impl Runner for House {
    type Command = Command;

    fn run(&mut self, command: &Command, _context: &Context) -> Result<String, Box<dyn Error>> {
        let said = self.say(command)?;
        Ok(format!("{command} → {said}\n"))
    }

    /// Whatever a script did: the invariants hold, and the state survives its own bytes.
    fn end_script(&mut self) -> Result<(), Box<dyn Error>> {
        assert_eq!(invariant::check(&self.state), []);
        let mut bytes = Vec::new();
        self.state.encode_snapshot(&mut bytes)?;
        let restored = State::decode_snapshot(&mut bytes.as_slice())?;
        assert_eq!(restored.digest(), self.state.digest());
        assert_eq!(invariant::check(&restored), []);
        Ok(())
    }
}

#[test]
fn every_script_says_what_is_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut scripts: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(scripts.len() >= 20, "only {} scripts", scripts.len());
    for script in scripts {
        goldenscript::run(&mut House::new(), &script)
            .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    }
}
