//! What a deployment hands to its guests: named texts, JSON, secrets, namespaces.
//!
//! Fixed while a deployment runs, and the same for every object of it.

use durabo_model::name::{AppName, ClassName};
use durabo_model::object::NamespaceNumber;
use durabo_model::object_id::NamespaceKey;

/// A class whose objects can be reached.
#[derive(Debug, Clone)]
pub struct NamespaceBinding {
    /// Its name.
    pub class: ClassName,
    /// App that owns it; `None` for this one.
    pub app: Option<AppName>,
    /// Namespace of its objects.
    pub number: NamespaceNumber,
    /// Makes and checks their ids.
    pub key: NamespaceKey,
}

/// One named thing.
#[derive(Debug, Clone)]
pub enum EnvBinding {
    /// Text; also an environment variable of WASI.
    Text(String),
    /// JSON text, as written in the configuration.
    Json(String),
    /// A secret, or its placeholder.
    Secret(String),
    /// A class whose objects can be reached.
    Namespace(NamespaceBinding),
}

/// All of a deployment, by name.
#[derive(Debug, Clone, Default)]
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

    /// The namespace that is bound to that name.
    pub fn namespace(&self, name: &str) -> Option<&NamespaceBinding> {
        match self.get(name)? {
            EnvBinding::Namespace(namespace) => Some(namespace),
            _ => None,
        }
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
        assert!(matches!(bindings.get("b"), Some(EnvBinding::Text(text)) if text == "2"));
        assert!(matches!(bindings.get("B"), Some(EnvBinding::Text(text)) if text == "1"));
        assert!(bindings.get("c").is_none());
        assert_eq!(bindings.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["B", "b"]);
    }
}
