//! An upload on its way to a deployment: checked, compiled, stored, deployed, and only then seen.
//!
//! Blocks for as long as compiling takes; one upload at a time. What fails changes nothing that runs, and
//! after each of them only what is deployed is loaded.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use durabo_catalog::{Catalog, CatalogError, ComponentDigest, DeployRequest, Deployed};
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
        let deployed = self.deploy_in_turn(upload, has_objects);
        self.unload_others();
        deployed
    }

    fn deploy_in_turn(
        &self,
        upload: &Upload,
        has_objects: &dyn Fn(NamespaceNumber) -> bool,
    ) -> Result<(Deployed, Vec<String>), Failure> {
        let added = self.cache.add(&upload.component).map_err(|error| error.to_failure())?;
        let stored = describe(upload, &added.component).and_then(|described| {
            self.catalog.put_component(upload.digest, &upload.component).map_err(refused)?;
            Ok(described)
        });
        let (description, notes) = match stored {
            Ok(described) => described,
            Err(failure) => {
                // What was there before is another deployment's, which may run.
                if added.is_new {
                    self.forget(upload.digest);
                }
                return Err(failure);
            }
        };
        let request = DeployRequest {
            app: upload.app.clone(),
            digest: upload.digest,
            description,
            egress: upload.egress.clone(),
            keep_sockets: upload.keep_sockets,
            now: self.clock.now(),
        };
        let deployed = self.catalog.deploy(request, has_objects).map_err(refused)?;
        Ok((deployed, notes))
    }

    /// Unloads all code but what is deployed: what was replaced, and what was refused. Files stay for an upload of
    /// the same bytes; the next start drops those of which there never was a deployment.
    fn unload_others(&self) {
        let deployed: HashSet<_> = self.catalog.snapshot().apps().map(|app| app.digest).collect();
        self.cache.retain(&deployed);
    }

    fn forget(&self, digest: ComponentDigest) {
        if let Err(error) = self.cache.remove(digest) {
            warn!(component = %digest, %error, "its code stays until the next start");
        }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use durabo_model::name::{AppName, ClassName};
    use durabo_runtime::compiler::InProcess;
    use durabo_runtime::engine::{EngineConfig, GuestEngine};
    use tempfile::TempDir;

    use super::*;
    use crate::deployed::DeployedCode;
    use crate::system::SystemClock;

    /// A component without a description.
    fn component() -> Vec<u8> {
        let text = r#"(component
            (core module $m (func (export "f") (param i32)))
            (core instance $i (instantiate $m))
            (type $kind (enum "application" "invalid-argument" "invalid-state" "not-found" "denied"
                "limit-exceeded" "overloaded" "cancelled" "disconnected" "reset" "storage" "unsupported" "internal"))
            (instance $h (export "x" (type $kind)))
            (export "durabo:object/rpc-handler@0.1.0" (instance $h)))"#;
        wat::parse_str(text).expect("good text")
    }

    fn uploads(folder: &TempDir) -> Uploads {
        let catalog = Arc::new(Catalog::open(folder.path()).expect("a catalog"));
        let engine = GuestEngine::start(&EngineConfig::default()).expect("an engine");
        let cache = ComponentCache::new(&engine, folder.path().join("components"), Arc::new(InProcess));
        let (cache, clock) = (Arc::new(cache.expect("a cache")), Arc::new(SystemClock));
        Uploads { catalog, cache, clock, turn: Mutex::default() }
    }

    fn upload(app: &str, classes: &[&str]) -> Upload {
        let component = component();
        Upload {
            app: AppName::new(app).expect("a name"),
            classes: classes.iter().map(|name| ClassName::new(*name).expect("a name")).collect(),
            egress: Default::default(),
            keep_sockets: false,
            digest: ComponentDigest::of(&component),
            component: component.into(),
        }
    }

    /// The same with other bytes.
    fn version(number: u8, app: &str, classes: &[&str]) -> Upload {
        let mut component = component();
        // A custom section with the number as its name.
        component.extend_from_slice(&[0, 2, 1, number]);
        let digest = ComponentDigest::of(&component);
        Upload { digest, component: component.into(), ..upload(app, classes) }
    }

    fn deploy(uploads: &Uploads, upload: &Upload) -> ComponentDigest {
        uploads.deploy(upload, &|_| false).expect("deployed");
        upload.digest
    }

    /// Makes every attempt to store the component fail.
    fn block_storing(uploads: &Uploads, digest: ComponentDigest) {
        let path = uploads.catalog.component_path(digest);
        if path.exists() {
            fs::remove_file(&path).expect("removed");
        }
        fs::create_dir(path).expect("a folder in its place");
    }

    fn has_code(uploads: &Uploads, digest: ComponentDigest) -> (bool, bool) {
        let file = uploads.catalog.component_path(digest).with_extension("cwasm");
        (uploads.cache.loaded(digest).is_some(), file.exists())
    }

    #[test]
    fn an_upload_that_cannot_be_stored_leaves_no_code_unless_it_was_there_before() {
        let (folder, digest) = (TempDir::new().expect("folder"), upload("one", &[]).digest);
        let first = uploads(&folder);
        block_storing(&first, digest);
        assert!(first.deploy(&upload("one", &["Room"]), &|_| false).is_err());
        assert_eq!(has_code(&first, digest), (false, false));
        fs::remove_dir(first.catalog.component_path(digest)).expect("removed");
        first.deploy(&upload("one", &["Room"]), &|_| false).expect("deployed");
        assert_eq!(has_code(&first, digest), (true, true));
        block_storing(&first, digest);
        assert!(first.deploy(&upload("two", &["Room"]), &|_| false).is_err());
        assert_eq!(has_code(&first, digest), (true, true), "the app `one` runs it");
    }

    #[test]
    fn an_upload_whose_classes_are_not_known_leaves_no_code_unless_it_was_there_before() {
        let (folder, digest) = (TempDir::new().expect("folder"), upload("one", &[]).digest);
        let uploads = uploads(&folder);
        assert!(uploads.deploy(&upload("one", &[]), &|_| false).is_err());
        assert_eq!(has_code(&uploads, digest), (false, false));
        uploads.deploy(&upload("one", &["Room"]), &|_| false).expect("deployed");
        assert!(uploads.deploy(&upload("one", &[]), &|_| false).is_err());
        assert_eq!(has_code(&uploads, digest), (true, true), "the app `one` runs it");
    }

    #[test]
    fn code_is_unloaded_when_no_app_runs_it_any_more() {
        let folder = TempDir::new().expect("folder");
        let uploads = uploads(&folder);
        let first = deploy(&uploads, &version(1, "one", &["Room"]));
        deploy(&uploads, &version(1, "two", &["Room"]));
        let second = deploy(&uploads, &version(2, "one", &["Room"]));
        assert_eq!(has_code(&uploads, first), (true, true), "the app `two` runs it");
        let third = deploy(&uploads, &version(3, "one", &["Room"]));
        assert_eq!(has_code(&uploads, second), (false, true));
        deploy(&uploads, &version(3, "two", &["Room"]));
        assert_eq!(has_code(&uploads, first), (false, true));
        assert_eq!(has_code(&uploads, third), (true, true));
        deploy(&uploads, &version(1, "one", &["Room"]));
        assert_eq!(has_code(&uploads, first), (true, true), "it is deployed again");
    }

    #[test]
    fn an_upload_that_is_refused_leaves_no_code_loaded_that_nothing_runs() {
        let folder = TempDir::new().expect("folder");
        let uploads = uploads(&folder);
        let first = deploy(&uploads, &version(1, "one", &["Room"]));
        let second = deploy(&uploads, &version(2, "one", &["Room"]));
        let without = version(3, "one", &["Other"]);
        let refused = uploads.deploy(&without, &|_| true).expect_err("objects would be lost");
        assert_eq!(refused.code, "deployment-refused");
        assert_eq!(has_code(&uploads, without.digest), (false, true));
        // Its code is kept since it was deployed.
        assert!(uploads.deploy(&version(1, "one", &[]), &|_| false).is_err());
        assert_eq!(has_code(&uploads, first), (false, true));
        assert_eq!(has_code(&uploads, second), (true, true), "the app runs it");
    }

    #[test]
    fn an_object_that_starts_while_its_code_is_replaced_gets_the_new_one() {
        let folder = TempDir::new().expect("folder");
        let uploads = uploads(&folder);
        deploy(&uploads, &version(1, "one", &["Room"]));
        let code = DeployedCode::load(uploads.catalog.clone(), uploads.cache.clone());
        let before = uploads.catalog.snapshot();
        let namespace = before.class_target("one", "Room").expect("a class").namespace;
        deploy(&uploads, &version(2, "one", &["Room"]));
        let third = deploy(&uploads, &version(3, "one", &["Room"]));
        let class = code.deployed_since(before, namespace).expect("its code is loaded");
        assert_eq!((class.deployment, class.component.digest()), (3, third));
    }
}
