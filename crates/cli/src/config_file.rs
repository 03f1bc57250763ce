//! `durabo.toml`: what an app's author sets about it, beside its component.
//!
//! A key that is not known is refused and not ignored: whoever mistypes a rule must learn of it. The keys are
//! listed in `docs/reference/configuration.md`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use durabo_model::egress::EgressRules;
use serde::Deserialize;

use crate::refusal::Refusal;

/// Name of the file beside a component.
const NAME: &str = "durabo.toml";

/// Largest file that is read, in bytes.
const BYTES_MAX: u64 = 1024 * 1024;

/// An app's configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AppConfig {
    /// Where its objects may send requests.
    pub egress: EgressRules,
    /// Whether open sockets go over to a deployment.
    pub keep_sockets: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    keep_sockets: bool,
    egress: Option<Egress>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Egress {
    #[serde(default)]
    allow: Vec<String>,
}

impl AppConfig {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let fault = |reason: String| Refusal::new(format!("configuration `{shown}`: {reason}"));
        let bytes = fs::metadata(path).map_err(|error| fault(error.to_string()))?.len();
        if bytes > BYTES_MAX {
            return Err(fault(format!("it is {bytes} bytes, the limit is {BYTES_MAX}")).into());
        }
        let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        Ok(Self::parse(&text).map_err(fault)?)
    }

    /// Reads the file beside a component, if there is one.
    pub fn beside(component: &Path) -> anyhow::Result<Self> {
        let path = component.with_file_name(NAME);
        match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            _ => Self::read(&path),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        // Editors of some systems begin a file so.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let file: File = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let allow = file.egress.map(|egress| egress.allow).unwrap_or_default();
        let egress = EgressRules::parse(allow).map_err(|error| error.to_string())?;
        Ok(Self { egress, keep_sockets: file.keep_sockets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let config = AppConfig::parse("\u{feff}[egress]\nallow = [\"api.example.com\", \"10.0.0.0/8\",]\n");
        assert_eq!(config.expect("good").egress.texts(), ["api.example.com", "10.0.0.0/8"]);
        for empty in ["", "[egress]", "[egress]\nallow = []"] {
            assert_eq!(AppConfig::parse(empty), Ok(AppConfig::default()), "{empty}");
        }
    }

    #[test]
    fn sockets_are_kept_where_the_file_says_so() {
        let config = AppConfig::parse("keep_sockets = true\n[egress]\nallow = [\"*\"]").expect("good");
        assert!(config.keep_sockets && config.egress.texts() == ["*"]);
        assert!(!AppConfig::parse("keep_sockets = false").expect("good").keep_sockets);
    }

    #[test]
    fn what_is_not_known_is_named_with_its_place() {
        for (text, named) in [
            ("[egress]\nalow = []", "alow"),
            ("[ingress]\nallow = []", "ingress"),
            ("keep_sockets = 1", "keep_sockets = 1"),
            ("egress = 1", "egress = 1"),
            ("[egress]\nallow = [1]", "line 2"),
            ("[egress]\nallow = [\"a b\"]", "egress rule `a b`"),
            ("[egress\n", "line 1"),
        ] {
            let error = AppConfig::parse(text).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn the_file_beside_the_component_is_found_and_none_is_no_fault() {
        let folder = tempfile::tempdir().expect("folder");
        let component = folder.path().join("app.wasm");
        assert_eq!(AppConfig::beside(&component).expect("none"), AppConfig::default());
        fs::write(folder.path().join(NAME), "[egress]\nallow = [\"*\"]").expect("written");
        assert_eq!(AppConfig::beside(&component).expect("found").egress.texts(), ["*"]);
        let error = AppConfig::read(&folder.path().join("other.toml")).expect_err("missing");
        assert!(error.to_string().contains("other.toml"), "{error}");
    }
}
