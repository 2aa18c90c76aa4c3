//! The program: passes its arguments to the library and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    portolan::cli::main(std::env::args_os())
}
