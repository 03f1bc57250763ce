//! Who may import whom: the crates of the host stand in layers, and no manifest reaches upward.
//!
//! Dependencies of tests and build scripts count as well; only their features may differ.

use crate::manifest;
use crate::problem::Problem;

/// Each crate of `crates/` with the crates it may depend on.
const LAYERS: [(&str, &[&str]); 9] = [
    ("model", &[]),
    ("changelog", &["model"]),
    ("storage", &["model", "changelog"]),
    ("objects", &["model", "changelog", "storage"]),
    ("catalog", &["model"]),
    ("runtime", &["model", "storage", "objects", "catalog"]),
    ("gateway", &["model", "objects", "catalog"]),
    ("server", &["model", "changelog", "storage", "objects", "catalog", "runtime", "gateway"]),
    ("cli", &["model", "server"]),
];

/// Checks the manifest of the crate `crates/{name}` at `path`.
pub fn check(path: &str, name: &str, text: &str) -> Vec<Problem> {
    let Some((_, allowed)) = LAYERS.iter().find(|(known, _)| *known == name) else {
        let text = format!("crate `{name}` has no layer; add it to the table of `tests/tidy/src/layers.rs`");
        return vec![Problem::new(path, 1, text)];
    };
    let mut problems = Vec::new();
    for dependency in manifest::dependencies(text) {
        let Some(other) = dependency.package.strip_prefix("durabo-") else { continue };
        if other != name && !allowed.contains(&other) {
            let list = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
            let text = format!(
                "`{name}` may not depend on `{other}`, only on {list}; move the code to the layer it needs"
            );
            problems.push(Problem::new(path, dependency.line, text));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_may_depend_on_its_lower_layers() {
        let manifest = "[dependencies]\ndurabo-model.workspace = true\ndurabo-changelog.workspace = true\n";
        assert_eq!(check("crates/storage/Cargo.toml", "storage", manifest), []);
    }

    #[test]
    fn an_arrow_upward_is_refused_in_tests_too() {
        let manifest = "[dependencies]\n[dev-dependencies]\ndurabo-objects.workspace = true\n";
        let problems = check("crates/storage/Cargo.toml", "storage", manifest);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].line, 3);
        assert!(problems[0].text.contains("only on model, changelog"), "{}", problems[0]);
    }

    #[test]
    fn an_unknown_crate_is_refused() {
        assert_eq!(check("crates/extra/Cargo.toml", "extra", "").len(), 1);
    }
}
