//! What the composition tells about a namespace: which code serves it now.
//!
//! The seam to the catalog: this crate knows code by digest, the composition knows which digest
//! serves which class.

use std::sync::Arc;

use durabo_model::egress::EgressRules;
use durabo_model::failure::Failure;
use durabo_model::name::ClassName;
use durabo_model::object::NamespaceNumber;

use crate::compiled_component::CompiledComponent;
use crate::env_bindings::EnvBindings;

/// The class that a deployment gives to a namespace.
#[derive(Clone)]
pub struct DeployedClass {
    /// Its name in that deployment.
    pub class: ClassName,
    /// Number of the deployment; grows.
    pub deployment: u64,
    /// Its code.
    pub component: Arc<CompiledComponent>,
    /// What the deployment hands to it.
    pub bindings: Arc<EnvBindings>,
    /// Where its objects may send requests.
    pub egress: Arc<EgressRules>,
}

/// Knows what is deployed.
pub trait DeployedClasses: Send + Sync + 'static {
    /// What serves the objects of `namespace` now, or the failure that their callers get. Called on
    /// the thread of an object each time it starts: answers from memory.
    fn deployed(&self, namespace: NamespaceNumber) -> Result<DeployedClass, Failure>;
}
