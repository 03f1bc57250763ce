//! Who owns an object: asked before every call, so that a second node can be the answer one day.
//!
//! On a single node the answer is always the same.

use durabo_model::object::ObjectKey;

/// Where an object lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// On this node.
    Here,
}

/// Knows the owner of every object.
pub trait Placement: Send + Sync + 'static {
    /// The owner of `key` now.
    fn owner(&self, key: &ObjectKey) -> Owner;
}

/// The placement of a single node: everything is here.
#[derive(Debug, Default)]
pub struct SingleNode;

impl Placement for SingleNode {
    fn owner(&self, _key: &ObjectKey) -> Owner {
        Owner::Here
    }
}
