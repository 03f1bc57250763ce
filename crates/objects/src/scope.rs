//! Which objects an operator means: those of some namespaces, or one.
//!
//! Names only; whether there are such objects is not known here.

use durabo_model::object::{NamespaceNumber, ObjectKey};

/// Some objects of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of these namespaces, whose numbers rise.
    Namespaces(Vec<NamespaceNumber>),
    /// One.
    Object(ObjectKey),
}

impl Scope {
    /// Whether it is one of them.
    pub fn holds(&self, object: &ObjectKey) -> bool {
        match self {
            Scope::Namespaces(namespaces) => namespaces.contains(&object.namespace),
            Scope::Object(key) => key == object,
        }
    }
}
