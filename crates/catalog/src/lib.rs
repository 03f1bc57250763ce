//! What is deployed: components, deployments, the classes they serve and the namespaces of their objects.
//!
//! Synchronous; opens `catalog.sqlite` and the folder `components`, and nobody else does. Changes go
//! to disk before they are seen; what a request needs is answered from a snapshot in memory. Modules
//! stand bottom-up: each uses only those above it.

pub mod digest;
pub mod error;
pub mod lookup;
mod component_store;
mod schema;
mod records;
pub mod catalog;

pub use catalog::{Catalog, DeployRequest, Deployed, DeploymentRecord};
pub use digest::ComponentDigest;
pub use error::{CatalogError, LookupError};
pub use lookup::{ClassTarget, DeployedApp, Namespace, Snapshot};
