//! What a start loads beside recovery: the catalog, the engine, and the compiled code of all that is deployed.
//!
//! None of it looks at the log or at objects' files, so it is loaded while recovery waits for the disk.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use durabo_catalog::Catalog;
use durabo_runtime::compiler::{Compiler, InProcess};
use durabo_runtime::component_cache::ComponentCache;
use durabo_runtime::engine::{EngineConfig, GuestEngine};
use durabo_storage::folder::DataFolder;

use crate::compile::{ChildCompiler, StopOnDrop};
use crate::config::{CompilerChoice, NodeConfig};
use crate::deployed::DeployedCode;
use crate::open::{FoundFolder, OpenedFolder};

/// What is deployed, ready to be run.
pub struct LoadedCode {
    /// What is deployed.
    pub catalog: Arc<Catalog>,
    /// Runs it.
    pub engine: GuestEngine,
    /// Its compiled code.
    pub cache: Arc<ComponentCache>,
    /// The same by namespace.
    pub code: Arc<DeployedCode>,
    /// Stops the compiler when the node stops, if that is a process of its own.
    pub compiling: Option<StopOnDrop>,
}

/// Recovers `found`, and loads what is deployed meanwhile. A failure of recovery ends the start at once, also if
/// code is being compiled anew.
pub fn recover_and_load(
    config: &NodeConfig,
    found: FoundFolder,
) -> anyhow::Result<(OpenedFolder, LoadedCode)> {
    let folder = found.folder();
    let (compiler, compiling) = compiler(config);
    thread::scope(|scope| {
        let load = || load(&folder, compiler);
        let loading = thread::Builder::new().name("loading".to_owned()).spawn_scoped(scope, load);
        let loading = loading.context("starting the thread that loads what is deployed")?;
        let opened = found.recover();
        let compiling = compiling.filter(|_| opened.is_ok());
        let loaded = loading.join().unwrap_or_else(|panic| resume_unwind(panic));
        let (opened, (catalog, engine, cache, code)) = (opened?, loaded?);
        Ok((opened, LoadedCode { catalog, engine, cache, code, compiling }))
    })
}

type Loaded = (Arc<Catalog>, GuestEngine, Arc<ComponentCache>, Arc<DeployedCode>);

fn load(folder: &DataFolder, compiler: Arc<dyn Compiler>) -> anyhow::Result<Loaded> {
    let catalog = Arc::new(Catalog::open(folder.path())?);
    let engine = GuestEngine::start(&EngineConfig::default())?;
    let cache = Arc::new(ComponentCache::new(&engine, folder.components_dir(), compiler)?);
    let code = Arc::new(DeployedCode::load(catalog.clone(), cache.clone()));
    Ok((catalog, engine, cache, code))
}

/// The compiler that the configuration asks for, and what stops it.
fn compiler(config: &NodeConfig) -> (Arc<dyn Compiler>, Option<StopOnDrop>) {
    match &config.compiler {
        CompilerChoice::InProcess => (Arc::new(InProcess), None),
        CompilerChoice::Child(program) => {
            let child = ChildCompiler::new(program.clone(), config.compile_limits.clone());
            (Arc::new(child.clone()), Some(StopOnDrop(child)))
        }
    }
}
