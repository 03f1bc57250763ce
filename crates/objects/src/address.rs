//! Where an event goes: an object, its class, and the name that it was addressed by.
//!
//! Made by whoever resolves a path or a binding; nothing is looked up here.

use durabo_model::name::ClassName;
use durabo_model::object::ObjectKey;

/// Where an event goes.
#[derive(Debug, Clone)]
pub struct ObjectAddress {
    /// The object.
    pub key: ObjectKey,
    /// Its class.
    pub class: ClassName,
    /// The name it was addressed by, of any length.
    pub name: Option<String>,
}
