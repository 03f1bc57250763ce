//! Runs the conformance suite as tests: `cargo test --package durabo-conformance`, with the usual options.
//!
//! The cases are data of the library (`case`), so the program that runs them is not the compiler's own but one
//! that takes a list and understands the same command line.

use durabo_conformance::case::{Case, Verdict};
use durabo_conformance::rules::{deviations, rules_of};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let trials = durabo_conformance::cases().into_iter().map(|case| {
        Trial::test(case.name(), move || match case.run() {
            Verdict::Passed => Ok(()),
            Verdict::Failed(found) => Err(Failed::from(found)),
            Verdict::NotHere(why) => Err(Failed::from(why)),
        })
    });
    let of_report = [
        of_report("a_case_is_counted_under_the_rules_at_the_head_of_its_name", rules_are_read_from_names),
        of_report("every_case_with_a_number_shows_a_rule", every_number_has_rules),
        of_report("deviations_are_read_from_their_page", deviations_are_read),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.chain(of_report).collect()).exit();
}

fn of_report(sentence: &str, test: fn()) -> Trial {
    Trial::test(format!("report::{sentence}"), move || {
        test();
        Ok(())
    })
}

fn shown(path: &'static str) -> Vec<String> {
    rules_of(&Case::new(path, || ())).iter().map(|rule| rule.text().to_owned()).collect()
}

fn rules_are_read_from_names() {
    assert_eq!(shown("calls::c_003_names"), ["ID-1", "ID-3"]);
    assert_eq!(shown("calls::c_024_and_c_032_pass_and_come_back"), ["ST-4", "ST-13"]);
    assert_eq!(shown("calls::st_12_a_cycle"), ["ST-12"]);
    assert_eq!(shown("calls::c_026_and_b_45_an_error"), shown("calls::c_026_an_error"));
    assert_eq!(shown("calls::b_45_a_report"), Vec::<String>::new());
    assert_eq!(shown("calls::a_sentence_of_its_own"), Vec::<String>::new());
}

fn every_number_has_rules() {
    for case in durabo_conformance::cases() {
        let is_numbered = case.words().next() == Some("c");
        assert!(!is_numbered || !rules_of(&case).is_empty(), "{} shows no rule", case.name());
    }
}

fn deviations_are_read() {
    let found: Vec<_> = deviations().iter().map(|rule| rule.text().to_owned()).collect();
    for rule in ["IG-3", "ST-12", "SQ-2", "OG-12"] {
        assert!(found.iter().any(|found| found == rule), "{rule} is not in {found:?}");
    }
    assert!(!found.iter().any(|rule| rule == "IG-2"));
}
