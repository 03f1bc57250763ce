//! Which compiled code serves a namespace: the catalog's answer and the runtime's, put together.
//!
//! Asked on the thread of an object each time it starts, so it answers from memory: every deployed
//! component is loaded when the node starts or when it is uploaded, and unloaded only when the snapshot
//! does not name it any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use durabo_catalog::{Catalog, ComponentDigest, DeployedApp, Snapshot};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::name::AppName;
use durabo_model::object::NamespaceNumber;
use durabo_runtime::component_cache::ComponentCache;
use durabo_runtime::deployed::{DeployedClass, DeployedClasses};
use durabo_runtime::env_bindings::{EnvBinding, EnvBindings, NamespaceBinding};
use tracing::error;

/// Code by namespace.
pub struct DeployedCode {
    catalog: Arc<Catalog>,
    cache: Arc<ComponentCache>,
    /// Of each app, for the deployment with this number.
    bindings: Mutex<HashMap<AppName, (u32, Arc<EnvBindings>)>>,
}

impl DeployedCode {
    /// Loads what is deployed. A component that cannot be loaded is logged, and its objects fail until
    /// it is uploaded again: the others are served.
    pub fn load(catalog: Arc<Catalog>, cache: Arc<ComponentCache>) -> Self {
        for app in catalog.snapshot().apps() {
            let bytes = || catalog.component(app.digest).map_err(std::io::Error::other);
            if let Err(failure) = cache.get(app.digest, bytes) {
                error!(app = %app.name, component = %app.digest, %failure, "component cannot be loaded");
            }
        }
        Self { catalog, cache, bindings: Mutex::default() }
    }

    /// What serves `namespace` by `snapshot`, or by a newer one if its code was replaced since that was taken.
    pub fn deployed_since(
        &self,
        mut snapshot: Arc<Snapshot>,
        namespace: NamespaceNumber,
    ) -> Result<DeployedClass, Failure> {
        loop {
            let Some(target) = snapshot.target_of(namespace) else {
                let text =
                    "the class of this object is not deployed any more; deploy a component that exports it";
                return Err(Failure::new(ErrorCode::ClassNotFound, text));
            };
            let app = snapshot
                .app(target.app.as_str())
                .map_err(|error| Failure::new(ErrorCode::AppNotFound, error.to_string()))?;
            if let Some(component) = self.cache.loaded(target.digest) {
                return Ok(DeployedClass {
                    class: target.class.clone(),
                    deployment: u64::from(target.deployment),
                    component,
                    bindings: self.bindings(app),
                    egress: target.egress.clone(),
                });
            }
            // Code is unloaded when a newer snapshot can be seen.
            let newer = self.catalog.snapshot();
            if Arc::ptr_eq(&snapshot, &newer) {
                return Err(not_loaded(target.digest));
            }
            snapshot = newer;
        }
    }

    fn bindings(&self, app: &DeployedApp) -> Arc<EnvBindings> {
        let mut known = self.bindings.lock().expect("BUG: the lock is never held over a panic");
        match known.get(&app.name) {
            Some((deployment, bindings)) if *deployment == app.deployment => bindings.clone(),
            _ => {
                let bindings = Arc::new(default_bindings(app));
                known.insert(app.name.clone(), (app.deployment, bindings.clone()));
                bindings
            }
        }
    }
}

impl DeployedClasses for DeployedCode {
    fn deployed(&self, namespace: NamespaceNumber) -> Result<DeployedClass, Failure> {
        self.deployed_since(self.catalog.snapshot(), namespace)
    }
}

fn not_loaded(digest: ComponentDigest) -> Failure {
    let text = format!("component {digest} is not loaded; see the node's log, upload it again");
    Failure::new(ErrorCode::Internal, text)
}

/// What an app's guests get without a manifest: every class of the app as a namespace under its own name.
fn default_bindings(app: &DeployedApp) -> EnvBindings {
    EnvBindings::new(app.classes().map(|target| {
        let namespace = NamespaceBinding {
            class: target.class.clone(),
            app: None,
            number: target.namespace,
            key: target.key.clone(),
        };
        (target.class.as_str().to_owned(), EnvBinding::Namespace(namespace))
    }))
}
