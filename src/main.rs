//! The program: hands its arguments to the library and gives back its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    portolan::cli::main(std::env::args_os())
}
