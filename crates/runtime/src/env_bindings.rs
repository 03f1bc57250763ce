//! What a deployment hands to its guests: named texts, JSON, secrets, namespaces.
//!
//! Fixed while a deployment runs, and the same for every object of it.

use durabo_model::name::{AppName, ClassName};

/// One named thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvBinding {
    /// Text; also an environment variable of WASI.
    Text(String),
    /// JSON text, as written in the configuration.
    Json(String),
    /// A secret, or its placeholder.
    Secret(String),
    /// A class whose objects can be reached.
    Namespace {
        /// Its name.
        class: ClassName,
        /// App that owns it; `None` for this one.
        app: Option<AppName>,
    },
}

/// All of a deployment, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvBindings(Vec<(String, EnvBinding)>);

impl EnvBindings {
    /// Sorts by name; of one name the last counts.
    pub fn new(bindings: impl IntoIterator<Item = (String, EnvBinding)>) -> Self {
        let sorted: std::collections::BTreeMap<_, _> = bindings.into_iter().collect();
        Self(sorted.into_iter().collect())
    }

    /// The binding of that name. Case matters (CF-10).
    pub fn get(&self, name: &str) -> Option<&EnvBinding> {
        let at = self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &EnvBinding)> {
        self.0.iter().map(|(name, binding)| (name.as_str(), binding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_is_found_by_its_exact_name() {
        let text = |value: &str| EnvBinding::Text(value.to_owned());
        let bindings = EnvBindings::new([("b".to_owned(), text("2")), ("B".to_owned(), text("1"))]);
        assert_eq!(bindings.get("b"), Some(&text("2")));
        assert_eq!(bindings.get("B"), Some(&text("1")));
        assert_eq!(bindings.get("c"), None);
        assert_eq!(bindings.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["B", "b"]);
    }
}
