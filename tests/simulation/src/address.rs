//! The addresses of simulated objects: each is known by a number.
//!
//! All are of one namespace and one class.

use durabo_model::name::ClassName;
use durabo_model::object::{NamespaceNumber, ObjectKey};
use durabo_model::object_id::NamespaceKey;
use durabo_objects::address::ObjectAddress;

/// The address of the simulated object with this number.
pub fn address(number: u64) -> ObjectAddress {
    let name = format!("object-{number}");
    let key =
        ObjectKey { namespace: NamespaceNumber(1), id: NamespaceKey::new("simulation").id_from_name(&name) };
    ObjectAddress { key, class: ClassName::new("Fake").expect("a good name"), name: Some(name) }
}
