//! An upload on its way to a deployment: checked, compiled, stored, deployed, and only then seen.
//!
//! Blocks for as long as compiling takes; one upload at a time. What fails changes nothing that runs.

use std::sync::{Arc, Mutex, PoisonError};

use durabo_catalog::{Catalog, CatalogError, DeployRequest, Deployed};
use durabo_gateway::control::api::Upload;
use durabo_model::description::{ClassDescription, ComponentDescription};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::object::NamespaceNumber;
use durabo_model::time::Clock;
use durabo_runtime::compiled_component::CompiledComponent;
use durabo_runtime::component_cache::ComponentCache;
use tracing::warn;

/// Takes uploads.
pub struct Uploads {
    /// Where components and deployments are kept.
    pub catalog: Arc<Catalog>,
    /// Compiles.
    pub cache: Arc<ComponentCache>,
    /// Time of deployments.
    pub clock: Arc<dyn Clock>,
    /// Held while one upload is worked on.
    pub turn: Mutex<()>,
}

impl Uploads {
    /// Makes `upload` the current deployment of its app. Returns what came of it, and notes for its
    /// author.
    pub fn deploy(
        &self,
        upload: &Upload,
        has_objects: &dyn Fn(NamespaceNumber) -> bool,
    ) -> Result<(Deployed, Vec<String>), Failure> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let component = self.cache.add(&upload.component).map_err(|error| error.to_failure())?;
        let (description, notes) = describe(upload, &component)?;
        if let Err(error) = self.catalog.put_component(upload.digest, &upload.component) {
            // No deployment has it, or it would be stored.
            if let Err(error) = self.cache.remove(upload.digest) {
                warn!(component = %upload.digest, %error, "its code stays until the next start");
            }
            return Err(refused(error));
        }
        let request = DeployRequest {
            app: upload.app.clone(),
            digest: upload.digest,
            description,
            egress: upload.egress.clone(),
            now: self.clock.now(),
        };
        let deployed = self.catalog.deploy(request, has_objects).map_err(refused)?;
        Ok((deployed, notes))
    }
}

/// The classes of an upload: as the component describes them, else as the client named them.
fn describe(
    upload: &Upload,
    component: &CompiledComponent,
) -> Result<(ComponentDescription, Vec<String>), Failure> {
    let own = &component.facts().description;
    if !own.classes.is_empty() {
        let unknown = upload.classes.iter().find(|name| own.classes.iter().all(|class| class.name != **name));
        if let Some(name) = unknown {
            let described: Vec<_> = own.classes.iter().map(|class| format!("`{}`", class.name)).collect();
            let text =
                format!("the component describes no class `{name}`; it describes {}", described.join(", "));
            return Err(Failure::new(ErrorCode::InvalidComponent, text));
        }
        return Ok((own.clone(), Vec::new()));
    }
    if upload.classes.is_empty() {
        let text =
            "the component does not describe its classes; name them with `--class NAME` (`?class=NAME`)";
        return Err(Failure::new(ErrorCode::InvalidComponent, text));
    }
    let handlers = component.handlers().to_vec();
    let class = |name: &_| ClassDescription {
        name: Clone::clone(name),
        handlers: handlers.clone(),
        doc: String::new(),
        methods: Vec::new(),
    };
    let classes = upload.classes.iter().map(class).collect();
    let notes =
        vec!["the component has no description: methods and their parameters are not known".to_owned()];
    Ok((ComponentDescription { classes, entry: own.entry }, notes))
}

fn refused(error: CatalogError) -> Failure {
    Failure::new(error.code(), error.to_string())
}
