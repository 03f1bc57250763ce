//! Misuse of `#[durabo::object]` has a recorded compile error, one file each in `fail/`.
//!
//! To record anew after a deliberate change: `TRYBUILD=overwrite cargo test -p durabo --test macro_misuse`.

#[test]
fn misuse_is_refused_with_its_reason_and_a_way_out() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/pass/*.rs");
    cases.compile_fail("tests/fail/*.rs");
}
