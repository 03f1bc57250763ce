//! Who an object is: namespace, id, class and name.
//!
//! A key finds an object on this node; its identity is what the object is told about itself.

use std::fmt;

use crate::name::ClassName;
use crate::object_id::ObjectId;

/// Number of a namespace on this node; given once, never derived again, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceNumber(pub u32);

impl fmt::Display for NamespaceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One object among all of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace it belongs to.
    pub namespace: NamespaceNumber,
    /// Its id there.
    pub id: ObjectId,
}

/// What an object is told about itself; the same for the life of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectIdentity {
    /// Which object.
    pub key: ObjectKey,
    /// Class of the deployment under which it runs.
    pub class: ClassName,
    /// Name from which the id was made, if the object was ever reached by name and the name is at
    /// most [`crate::limits::NAME_CARRIED_BYTES_MAX`] long (ID-9).
    pub name: Option<String>,
}
