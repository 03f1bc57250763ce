//! What an address leads to: a picture of all current deployments that requests read without a lock
//! held and without a database.
//!
//! A snapshot never changes; each deployment makes a new one. Whoever holds an old one goes on with
//! what was deployed when it was taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use durabo_model::description::{ClassDescription, Handler};
use durabo_model::egress::EgressRules;
use durabo_model::name::{AppName, ClassName};
use durabo_model::object::NamespaceNumber;
use durabo_model::object_id::NamespaceKey;
use durabo_model::time::Timestamp;

use crate::digest::ComponentDigest;
use crate::error::{LookupError, Names, echo};

/// A class as it is deployed now.
#[derive(Debug)]
pub struct ClassTarget {
    /// App that deploys it.
    pub app: AppName,
    /// Its name there.
    pub class: ClassName,
    /// Namespace of its objects.
    pub namespace: NamespaceNumber,
    /// Makes and checks their ids.
    pub key: NamespaceKey,
    /// Number of the app's current deployment.
    pub deployment: u32,
    /// Component that holds the code.
    pub digest: ComponentDigest,
    /// Where its objects may send requests.
    pub egress: Arc<EgressRules>,
    /// Whether outsiders may address its objects: not if the app has an entry.
    pub exposed: bool,
    /// What the component says about it.
    pub description: ClassDescription,
}

impl ClassTarget {
    /// What the class handles.
    pub fn handlers(&self) -> &[Handler] {
        &self.description.handlers
    }
}

/// An app and its current deployment.
#[derive(Debug)]
pub struct DeployedApp {
    /// Its name.
    pub name: AppName,
    /// Number of the current deployment.
    pub deployment: u32,
    /// Component of the current deployment.
    pub digest: ComponentDigest,
    /// When the current deployment was made.
    pub deployed: Timestamp,
    classes: BTreeMap<String, Arc<ClassTarget>>,
}

impl DeployedApp {
    pub(crate) fn new(
        (name, deployment): (AppName, u32),
        digest: ComponentDigest,
        deployed: Timestamp,
        classes: impl IntoIterator<Item = ClassTarget>,
    ) -> Self {
        let classes = classes.into_iter().map(|class| (class.class.as_str().to_owned(), Arc::new(class)));
        Self { name, deployment, digest, deployed, classes: classes.collect() }
    }

    /// Its classes by name.
    pub fn classes(&self) -> impl Iterator<Item = &Arc<ClassTarget>> {
        self.classes.values()
    }

    /// The class called `class`.
    pub fn class(&self, class: &str) -> Result<&Arc<ClassTarget>, LookupError> {
        self.classes.get(class).ok_or_else(|| LookupError::ClassNotFound {
            app: self.name.clone(),
            class: echo(class),
            digest: self.digest,
            exported: Names::new(self.classes.keys()),
        })
    }
}

/// A namespace, also one whose class is not deployed at present.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// Its number.
    pub number: NamespaceNumber,
    /// App for which it was made.
    pub app: AppName,
    /// Class for which it was made.
    pub class: ClassName,
    /// Text from which ids are derived; stored once, never derived again.
    pub key: String,
}

/// All that is deployed at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    apps: BTreeMap<String, Arc<DeployedApp>>,
    namespaces: HashMap<NamespaceNumber, Arc<Namespace>>,
}

impl Snapshot {
    pub(crate) fn new(
        apps: impl IntoIterator<Item = DeployedApp>,
        namespaces: impl IntoIterator<Item = Namespace>,
    ) -> Self {
        let apps = apps.into_iter().map(|app| (app.name.as_str().to_owned(), Arc::new(app)));
        let namespaces = namespaces.into_iter().map(|space| (space.number, Arc::new(space)));
        Self { apps: apps.collect(), namespaces: namespaces.collect() }
    }

    /// All apps by name.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<DeployedApp>> {
        self.apps.values()
    }

    /// The app called `app`. Any text may be asked for; the error names what is deployed.
    pub fn app(&self, app: &str) -> Result<&Arc<DeployedApp>, LookupError> {
        self.apps.get(app).ok_or_else(|| LookupError::AppNotFound {
            app: echo(app),
            deployed: Names::new(self.apps.keys()),
        })
    }

    /// The class that is deployed as `class` of `app`, exposed or not. The error names what exists.
    pub fn class_target(&self, app: &str, class: &str) -> Result<&Arc<ClassTarget>, LookupError> {
        self.app(app)?.class(class)
    }

    /// The same for a caller from outside: only if the class is exposed.
    pub fn exposed_target(&self, app: &str, class: &str) -> Result<&Arc<ClassTarget>, LookupError> {
        let target = self.class_target(app, class)?;
        if target.exposed {
            return Ok(target);
        }
        Err(LookupError::NotExposed { app: target.app.clone(), class: target.class.clone() })
    }

    /// The namespace with this number, whether its class is deployed or not.
    pub fn namespace(&self, number: NamespaceNumber) -> Option<&Arc<Namespace>> {
        self.namespaces.get(&number)
    }

    /// All namespaces, in no order.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<Namespace>> {
        self.namespaces.values()
    }

    /// What serves the objects of a namespace now; `None` while its class is not deployed.
    pub fn target_of(&self, number: NamespaceNumber) -> Option<&Arc<ClassTarget>> {
        let space = self.namespaces.get(&number)?;
        let target = self.apps.get(space.app.as_str())?.classes.get(space.class.as_str())?;
        (target.namespace == number).then_some(target)
    }
}
