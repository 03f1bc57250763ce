//! The rules of the repository that no compiler checks, run as tests.
//!
//! Each module is one rule: a pure function over texts that returns [`problem::Problem`]s, with unit
//! tests that show it can fail. `tests/repository.rs` runs them all over the files of the repository.
//! Nothing here depends on another package, so that it answers in seconds. Modules stand bottom-up.

pub mod problem;
pub mod source;
pub mod functions;
pub mod repository;
pub mod manifest;
pub mod layers;
pub mod named_crates;
pub mod module_order;
pub mod headers;
pub mod lengths;
pub mod names;
pub mod unsafe_code;
pub mod cases;
pub mod error_codes;
pub mod contract;
pub mod forbidden;
pub mod clocks;
pub mod limits;
pub mod links;
