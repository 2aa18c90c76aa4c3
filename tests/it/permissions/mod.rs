//! Permissions of scripts: by flags, in jobs files, derived from texts, recorded in runs, and held by the kernel.

mod campaign;
mod derived;
mod jobs;
mod paths;
mod places;
mod refusals;
mod shipped;
mod table;
