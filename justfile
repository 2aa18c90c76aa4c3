# Short names for existing commands: `just` lists them. Nothing is done here that the commands do not do.

# List the recipes
default:
    @just --list

# Everything that must hold before a merge
gate:
    .ci/run

# All tests
test *args:
    cargo test {{args}}

# The tests of one crate, or those whose path contains a filter: just unit portolan-ftp listing::tests
unit crate *filter:
    cargo test -p {{crate}} -- {{filter}}

# Black-box tests whose path contains NAME: just it serve::kills
it *name:
    cargo test --test it -- {{name}}

# Formatting and lints, without changes
lint:
    cargo fmt --all --check
    cargo fmt --check --manifest-path fuzz/Cargo.toml
    cargo clippy --all-targets -- -D warnings

# Format all code
fmt:
    cargo fmt --all
    cargo fmt --manifest-path fuzz/Cargo.toml

# The documentation of the code, private items included
docs:
    RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps --document-private-items

# Each fuzz target for so many seconds, or those that are named: just fuzz 600 list mlsd
fuzz seconds="60" *targets:
    fuzz/run {{seconds}} {{targets}}

# Write docs/functions.md, docs/jobs.md and the pages of `doctor` anew from the program
update-docs:
    PORTOLAN_UPDATE=1 cargo test --test it -- functions::the_committed_manual errors::the_committed_page
    PORTOLAN_UPDATE=1 cargo test --lib -- cli::doctor schedule::jobs::tests::keys
