//! The `circlet` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    circlet::cli::main()
}
