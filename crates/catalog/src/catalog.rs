//! The catalog itself: opens the files, takes deployments, hands out the snapshot.
//!
//! A deployment is one transaction: it is on disk whole before the snapshot shows it, and a refused one
//! leaves everything as it was. Numbers and keys of namespaces are stored at the first deployment of a
//! class and never derived again; a class that comes back finds its namespace.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use durabo_model::description::{ClassDescription, ComponentDescription};
use durabo_model::egress::EgressRules;
use durabo_model::name::AppName;
use durabo_model::object::NamespaceNumber;
use durabo_model::object_id::NamespaceKey;
use durabo_model::time::Timestamp;
use rusqlite::Connection;

use crate::component_store::{ComponentStore, sync_folder};
use crate::digest::ComponentDigest;
use crate::error::{CatalogError, Names};
use crate::lookup::{ClassTarget, DeployedApp, Namespace, Snapshot};
pub use crate::records::DeploymentRecord;
use crate::{records, schema};

/// What is deployed on this node. Calls other than [`Catalog::snapshot`] read or write files: not for
/// a thread that serves requests.
#[derive(Debug)]
pub struct Catalog {
    connection: Mutex<Connection>,
    components: ComponentStore,
    snapshot: RwLock<Arc<Snapshot>>,
}

/// A component that is to become the current deployment of an app.
#[derive(Debug, Clone)]
pub struct DeployRequest {
    /// Which app; made if there is none.
    pub app: AppName,
    /// The component, stored before by [`Catalog::put_component`].
    pub digest: ComponentDigest,
    /// Its classes: from its own description, or as the author named them.
    pub description: ComponentDescription,
    /// Where its objects may send requests.
    pub egress: EgressRules,
    /// Whether open sockets go over to it; else they are cut (WS-31).
    pub keep_sockets: bool,
    /// Time of the deployment.
    pub now: Timestamp,
}

/// What a deployment came to.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// The app's current deployment.
    pub deployment: DeploymentRecord,
    /// False if the app ran these very bytes with these very classes and rules already: nothing was done.
    pub changed: bool,
    /// Namespaces whose objects must restart with the new code and lose their sockets (LC-13, WS-31).
    pub restarted: Vec<NamespaceNumber>,
    /// Namespaces whose objects must restart with the new code and keep their sockets.
    pub restarted_with_sockets: Vec<NamespaceNumber>,
}

impl Catalog {
    /// Opens `catalog.sqlite` and `components` in the data folder, making them if need be, and drops
    /// what earlier uploads left. The caller holds the data folder's lock.
    pub fn open(data_folder: &Path) -> Result<Self, CatalogError> {
        let connection = schema::open(&data_folder.join("catalog.sqlite"))?;
        let components = ComponentStore::open(data_folder.join("components"))?;
        sync_folder(data_folder)?;
        components.drop_leftovers(&records::digests(&connection)?)?;
        let snapshot = RwLock::new(Arc::new(read_snapshot(&connection)?));
        Ok(Self { connection: Mutex::new(connection), components, snapshot })
    }

    /// What is deployed now. Cheap: for every request.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stores the bytes of a component; on return they are on disk. `digest` must be that of the bytes.
    pub fn put_component(&self, digest: ComponentDigest, component: &[u8]) -> Result<(), CatalogError> {
        self.components.put(digest, component)
    }

    /// Reads a component back and checks its bytes.
    pub fn component(&self, digest: ComponentDigest) -> Result<Vec<u8>, CatalogError> {
        self.components.read(digest)
    }

    /// Where a component is kept; compiled code goes beside it, with the extension `cwasm`.
    pub fn component_path(&self, digest: ComponentDigest) -> PathBuf {
        self.components.path(digest)
    }

    /// Makes a component the current deployment of an app. On return it is on disk and in the snapshot.
    ///
    /// The same component with the same classes and rules again is accepted and changes nothing. Refused is a
    /// component without classes, and one that lacks a class of the current deployment of which
    /// `has_objects` says that it has some.
    pub fn deploy(
        &self,
        request: DeployRequest,
        has_objects: &dyn Fn(NamespaceNumber) -> bool,
    ) -> Result<Deployed, CatalogError> {
        let DeployRequest { app, digest, description, egress, keep_sockets, now } = request;
        if description.classes.is_empty() {
            return Err(CatalogError::NoClasses(digest));
        }
        let Some(component_bytes) = self.components.size_bytes(digest)? else {
            return Err(CatalogError::ComponentMissing(digest));
        };
        let mut connection = self.connection();
        let current = records::current_deployment(&connection, &app)?;
        if let Some(current) = &current {
            let same = (current.digest, &current.description, &current.egress, current.keep_sockets)
                == (digest, &description, &egress, keep_sockets);
            if same {
                return Ok(Deployed {
                    deployment: current.clone(),
                    changed: false,
                    restarted: Vec::new(),
                    restarted_with_sockets: Vec::new(),
                });
            }
            let known = records::namespaces_of(&connection, &app)?;
            let vanished = |class: &&ClassDescription| {
                !description.classes.iter().any(|kept| kept.name == class.name)
                    && known.get(&class.name).is_some_and(|number| has_objects(*number))
            };
            if let Some(class) = current.description.classes.iter().find(vanished) {
                let exported = Names::new(description.classes.iter().map(|class| &class.name));
                return Err(CatalogError::ClassHasObjects {
                    app,
                    class: class.name.clone(),
                    digest,
                    exported,
                });
            }
        }
        let number = current.map_or(1, |current| current.number + 1);
        let deployment = DeploymentRecord {
            app,
            number,
            digest,
            component_bytes,
            description,
            created: now,
            egress,
            keep_sockets,
        };
        store(&mut connection, &deployment)?;
        let snapshot = Arc::new(read_snapshot(&connection)?);
        let app = deployment.app.as_str();
        let of_app = snapshot.namespaces().filter(|space| space.app.as_str() == app);
        // Sockets of a class that is gone have no code to go over to.
        let (restarted_with_sockets, restarted) = of_app
            .map(|space| space.number)
            .partition(|number| keep_sockets && snapshot.target_of(*number).is_some());
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
        Ok(Deployed { deployment, changed: true, restarted, restarted_with_sockets })
    }

    /// Up to `count_max` deployments of one app, newest first; with `before`, only those older than
    /// that number. Empty for an app that never was.
    pub fn deployments(
        &self,
        app: &AppName,
        before: Option<u32>,
        count_max: u32,
    ) -> Result<Vec<DeploymentRecord>, CatalogError> {
        records::deployments_before(&self.connection(), app, before.unwrap_or(u32::MAX), count_max)
    }

    /// A panic elsewhere leaves no half-done change: transactions that were not committed are undone.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one transaction of a deployment.
fn store(connection: &mut Connection, deployment: &DeploymentRecord) -> Result<(), CatalogError> {
    let transaction = schema::begin(connection).map_err(CatalogError::sqlite("beginning the deployment"))?;
    let app = &deployment.app;
    let known = records::namespaces_of(&transaction, app)?;
    for class in deployment.description.classes.iter().filter(|class| !known.contains_key(&class.name)) {
        // As local Cloudflare tooling names them, so that its data keeps its ids.
        let key = format!("{app}-{}", class.name);
        records::insert_namespace(&transaction, (app, &class.name, &key), deployment.created)?;
    }
    records::insert_deployment(&transaction, deployment)?;
    transaction.commit().map_err(CatalogError::sqlite("committing the deployment"))
}

fn read_snapshot(connection: &Connection) -> Result<Snapshot, CatalogError> {
    let namespaces = records::namespaces(connection)?;
    let by_class: HashMap<_, _> =
        namespaces.iter().map(|space| ((&space.app, &space.class), space)).collect();
    let mut apps = Vec::new();
    for deployment in records::current_deployments(connection)? {
        let egress = Arc::new(deployment.egress.clone());
        let mut classes = Vec::new();
        for class in &deployment.description.classes {
            let Some(space) = by_class.get(&(&deployment.app, &class.name)) else {
                return Err(CatalogError::Damaged {
                    what: format!("deployment {} of `{}`", deployment.number, deployment.app),
                    reason: format!("class `{}` has no namespace", class.name),
                });
            };
            classes.push(class_target(&deployment, class, space, &egress));
        }
        let name = (deployment.app, deployment.number);
        apps.push(DeployedApp::new(name, deployment.digest, deployment.created, classes));
    }
    Ok(Snapshot::new(apps, namespaces))
}

fn class_target(
    deployment: &DeploymentRecord,
    class: &ClassDescription,
    space: &Namespace,
    egress: &Arc<EgressRules>,
) -> ClassTarget {
    ClassTarget {
        app: deployment.app.clone(),
        class: class.name.clone(),
        namespace: space.number,
        key: NamespaceKey::new(&space.key),
        deployment: deployment.number,
        digest: deployment.digest,
        egress: Arc::clone(egress),
        exposed: !deployment.description.entry,
        description: class.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use durabo_model::description::Handler;
    use durabo_model::error_code::ErrorCode;
    use durabo_model::name::ClassName;
    use durabo_model::object_id::ObjectId;

    use super::*;

    const NO_OBJECTS: &dyn Fn(NamespaceNumber) -> bool = &|_| false;

    fn open() -> (tempfile::TempDir, Catalog) {
        let folder = tempfile::tempdir().expect("folder");
        let catalog = Catalog::open(folder.path()).expect("catalog");
        (folder, catalog)
    }

    fn request(catalog: &Catalog, app: &str, component: &str, classes: &[&str]) -> DeployRequest {
        let digest = ComponentDigest::of(component.as_bytes());
        catalog.put_component(digest, component.as_bytes()).expect("put");
        let classes = classes.iter().map(|name| ClassDescription {
            name: ClassName::new(*name).expect("class"),
            handlers: vec![Handler::Rpc],
            doc: String::new(),
            methods: Vec::new(),
        });
        DeployRequest {
            app: AppName::new(app).expect("app"),
            digest,
            description: ComponentDescription { classes: classes.collect(), entry: false },
            egress: EgressRules::default(),
            keep_sockets: false,
            now: Timestamp(1000),
        }
    }

    fn id_of(catalog: &Catalog, app: &str, class: &str) -> (NamespaceNumber, ObjectId) {
        let snapshot = catalog.snapshot();
        let target = snapshot.class_target(app, class).expect("target");
        (target.namespace, target.key.id_from_name("x"))
    }

    #[test]
    fn a_deployment_is_seen_at_once_and_after_opening_again() {
        let (folder, catalog) = open();
        let deployed =
            catalog.deploy(request(&catalog, "demo", "v1", &["A", "B"]), NO_OBJECTS).expect("deploy");
        assert!(deployed.changed && deployed.deployment.number == 1 && deployed.restarted.len() == 2);
        let before = id_of(&catalog, "demo", "A");
        assert_eq!(before.1, NamespaceKey::new("demo-A").id_from_name("x"));
        drop(catalog);
        let catalog = Catalog::open(folder.path()).expect("again");
        assert_eq!(id_of(&catalog, "demo", "A"), before);
        assert_eq!(catalog.component(deployed.deployment.digest).expect("component"), b"v1");
        let target = catalog.snapshot().class_target("demo", "B").expect("target").clone();
        assert_eq!((target.deployment, target.handlers()), (1, &[Handler::Rpc][..]));
        assert_eq!(
            catalog.snapshot().target_of(target.namespace).map(|found| &found.class),
            Some(&target.class)
        );
    }

    #[test]
    fn the_same_bytes_twice_are_accepted_and_change_nothing() {
        let (_folder, catalog) = open();
        let first = catalog.deploy(request(&catalog, "demo", "v1", &["A"]), NO_OBJECTS).expect("first");
        let again = catalog.deploy(request(&catalog, "demo", "v1", &["A"]), NO_OBJECTS).expect("again");
        assert!(!again.changed && again.restarted.is_empty());
        assert_eq!(again.deployment, first.deployment);
        let other = catalog.deploy(request(&catalog, "demo", "v1", &["A", "B"]), NO_OBJECTS).expect("other");
        assert!(other.changed && other.deployment.number == 2);
    }

    #[test]
    fn other_rules_for_requests_are_another_deployment_and_reach_every_class() {
        let (folder, catalog) = open();
        catalog.deploy(request(&catalog, "demo", "v1", &["A"]), NO_OBJECTS).expect("first");
        let mut request = request(&catalog, "demo", "v1", &["A"]);
        request.egress = EgressRules::parse(["api.example.com:443"]).expect("rules");
        let deployed = catalog.deploy(request.clone(), NO_OBJECTS).expect("second");
        assert!(deployed.changed && deployed.deployment.number == 2 && deployed.restarted.len() == 1);
        assert!(!catalog.deploy(request.clone(), NO_OBJECTS).expect("again").changed);
        drop(catalog);
        let catalog = Catalog::open(folder.path()).expect("again");
        let snapshot = catalog.snapshot();
        assert_eq!(*snapshot.class_target("demo", "A").expect("target").egress, request.egress);
    }

    #[test]
    fn sockets_go_over_to_a_deployment_that_says_so_but_for_those_of_a_class_that_is_gone() {
        let (folder, catalog) = open();
        catalog.deploy(request(&catalog, "demo", "v1", &["A", "B"]), NO_OBJECTS).expect("first");
        let ((a, _), (b, _)) = (id_of(&catalog, "demo", "A"), id_of(&catalog, "demo", "B"));
        let keeping = |code, classes: &[&str]| DeployRequest {
            keep_sockets: true,
            ..request(&catalog, "demo", code, classes)
        };
        let second = catalog.deploy(keeping("v1", &["A", "B"]), NO_OBJECTS).expect("second");
        assert!(second.changed, "the setting alone makes a deployment");
        assert!(second.restarted.is_empty(), "{:?}", second.restarted);
        // In no order that is promised.
        assert_eq!(HashSet::from_iter(second.restarted_with_sockets), HashSet::from([a, b]));
        assert!(!catalog.deploy(keeping("v1", &["A", "B"]), NO_OBJECTS).expect("again").changed);
        let third = catalog.deploy(keeping("v2", &["A"]), NO_OBJECTS).expect("third");
        assert_eq!((third.restarted, third.restarted_with_sockets), (vec![b], vec![a]));
        drop(catalog);
        let catalog = Catalog::open(folder.path()).expect("again");
        let list = catalog.deployments(&AppName::new("demo").expect("app"), None, 10).expect("list");
        assert_eq!(list.iter().map(|record| record.keep_sockets).collect::<Vec<_>>(), [true, true, false]);
    }

    #[test]
    fn a_class_with_objects_must_not_vanish() {
        let (_folder, catalog) = open();
        catalog.deploy(request(&catalog, "demo", "v1", &["A", "B"]), NO_OBJECTS).expect("first");
        let (b, _) = id_of(&catalog, "demo", "B");
        let error = catalog
            .deploy(request(&catalog, "demo", "v2", &["A", "C"]), &|number| number == b)
            .expect_err("B has objects");
        assert_eq!(error.code(), ErrorCode::DeploymentRefused);
        let text = error.to_string();
        assert!(
            text.starts_with("class `B` of app `demo` has objects") && text.contains("`A`, `C`"),
            "{text}"
        );
        assert!(catalog.snapshot().class_target("demo", "B").is_ok());
        assert!(catalog.snapshot().class_target("demo", "C").is_err());
        assert_eq!(
            catalog.deployments(&AppName::new("demo").expect("app"), None, 10).expect("list").len(),
            1
        );
    }

    #[test]
    fn a_class_that_comes_back_finds_its_namespace() {
        let (_folder, catalog) = open();
        catalog.deploy(request(&catalog, "demo", "v1", &["A", "B"]), NO_OBJECTS).expect("first");
        let before = id_of(&catalog, "demo", "B");
        catalog.deploy(request(&catalog, "demo", "v2", &["A"]), NO_OBJECTS).expect("second");
        assert!(catalog.snapshot().target_of(before.0).is_none());
        assert!(catalog.snapshot().namespace(before.0).is_some());
        catalog.deploy(request(&catalog, "demo", "v3", &["B"]), NO_OBJECTS).expect("third");
        assert_eq!(id_of(&catalog, "demo", "B"), before);
    }

    #[test]
    fn unknown_names_are_answered_with_what_exists() {
        let (_folder, catalog) = open();
        let nothing = catalog.snapshot().class_target("demo", "A").expect_err("empty").to_string();
        assert_eq!(nothing, "app `demo` is not deployed on this node; deployed: nothing");
        catalog.deploy(request(&catalog, "demo", "v1", &["A", "B"]), NO_OBJECTS).expect("deploy");
        let snapshot = catalog.snapshot();
        let error = snapshot.class_target("demo", "X").expect_err("no class");
        assert_eq!(error.code(), ErrorCode::ClassNotFound);
        assert!(error.to_string().starts_with("class `X` is not exported by component `sha256:"), "{error}");
        assert!(error.to_string().ends_with("it exports `A`, `B`"), "{error}");
        let error = snapshot.class_target("Demo", "A").expect_err("no app");
        assert_eq!(error.to_string(), "app `Demo` is not deployed on this node; deployed: `demo`");
    }

    #[test]
    fn classes_behind_an_entry_are_not_exposed() {
        let (_folder, catalog) = open();
        let mut request = request(&catalog, "demo", "v1", &["A"]);
        request.description.entry = true;
        catalog.deploy(request, NO_OBJECTS).expect("deploy");
        assert!(catalog.snapshot().class_target("demo", "A").is_ok());
        let error = catalog.snapshot().exposed_target("demo", "A").expect_err("hidden");
        assert_eq!(error.code(), ErrorCode::ClassNotFound);
    }

    #[test]
    fn two_apps_with_one_class_have_two_namespaces() {
        let (_folder, catalog) = open();
        catalog.deploy(request(&catalog, "one", "v1", &["A"]), NO_OBJECTS).expect("one");
        catalog.deploy(request(&catalog, "two", "v1", &["A"]), NO_OBJECTS).expect("two");
        let (one, two) = (id_of(&catalog, "one", "A"), id_of(&catalog, "two", "A"));
        assert!(one.0 != two.0 && one.1 != two.1);
    }

    #[test]
    fn what_cannot_be_deployed_leaves_no_trace() {
        let (_folder, catalog) = open();
        let error = catalog.deploy(request(&catalog, "demo", "v1", &[]), NO_OBJECTS).expect_err("no classes");
        assert_eq!(error.code(), ErrorCode::InvalidComponent);
        let mut missing = request(&catalog, "demo", "v1", &["A"]);
        missing.digest = ComponentDigest::of(b"never stored");
        let error = catalog.deploy(missing, NO_OBJECTS).expect_err("missing");
        assert!(matches!(error, CatalogError::ComponentMissing(_)));
        assert_eq!(catalog.snapshot().apps().count(), 0);
    }

    #[test]
    fn a_refused_upload_is_gone_after_the_next_start_and_a_deployed_one_stays() {
        let (folder, catalog) = open();
        catalog.deploy(request(&catalog, "demo", "v1", &["A"]), NO_OBJECTS).expect("deploy");
        let orphan = request(&catalog, "demo", "v2", &["A"]).digest;
        drop(catalog);
        let catalog = Catalog::open(folder.path()).expect("again");
        assert!(matches!(catalog.component(orphan), Err(CatalogError::ComponentMissing(_))));
        assert!(catalog.component(ComponentDigest::of(b"v1")).is_ok());
    }

    #[test]
    fn deployments_are_listed_newest_first_and_in_pages() {
        let (_folder, catalog) = open();
        for version in ["v1", "v2", "v3"] {
            catalog.deploy(request(&catalog, "demo", version, &["A"]), NO_OBJECTS).expect("deploy");
        }
        let app = AppName::new("demo").expect("app");
        let numbers = |before, count_max| -> Vec<u32> {
            let list = catalog.deployments(&app, before, count_max).expect("list");
            list.into_iter().map(|deployment| deployment.number).collect()
        };
        assert_eq!(numbers(None, 2), [3, 2]);
        assert_eq!(numbers(Some(2), 2), [1]);
    }
}
