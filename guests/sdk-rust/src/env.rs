//! What the deployment hands to the object: variables, secrets, namespaces.
//!
//! The same for every object of a deployment, fixed while it runs.

use crate::bindings::durabo::object::env as wit;

/// One named thing of the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// A variable.
    Text(String),
    /// A variable given as JSON: its text, as written.
    Json(String),
    /// A secret. If the deployment keeps its value from the guest, a placeholder.
    Secret(String),
    /// A class whose objects can be reached.
    Namespace {
        /// The class.
        class_name: String,
        /// App that owns the class; `None` for this one.
        app: Option<String>,
    },
}

/// The binding of that name. Case matters (CF-10).
pub fn get(name: &str) -> Option<Binding> {
    wit::get(name).map(binding)
}

/// The text of a variable or secret of that name; `None` if there is none, or it is of another kind.
pub fn text(name: &str) -> Option<String> {
    match get(name)? {
        Binding::Text(text) | Binding::Secret(text) => Some(text),
        Binding::Json(_) | Binding::Namespace { .. } => None,
    }
}

/// All bindings, by name.
pub fn all() -> Vec<(String, Binding)> {
    wit::all().into_iter().map(|(name, value)| (name, binding(value))).collect()
}

fn binding(value: wit::Binding) -> Binding {
    match value {
        wit::Binding::Text(text) => Binding::Text(text),
        wit::Binding::Json(text) => Binding::Json(text),
        wit::Binding::Secret(text) => Binding::Secret(text),
        wit::Binding::Namespace(namespace) => {
            Binding::Namespace { class_name: namespace.class_name, app: namespace.app }
        }
    }
}
