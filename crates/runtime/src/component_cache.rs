//! Compiled components of a node: compiled once at upload, kept in a folder, loaded at first use and
//! shared from then on.
//!
//! The folder is this crate's own and may be emptied at any time: whatever is missing, stale or
//! damaged is compiled again from the component's bytes. Everything here blocks, for minutes if it
//! compiles: not for a thread that serves others.

// SAFETY of the crate's one call into unchecked code: see `load_code`.
#![allow(unsafe_code)]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use durabo_catalog::ComponentDigest;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::code_file::{self, CodeKey, SettingsHash};
use crate::code_folder::CodeFolder;
use crate::compiled_component::CompiledComponent;
use crate::compiler::{CompileJob, Compiler};
use crate::component_facts::ComponentFacts;
use crate::engine::{EngineConfig, GuestEngine};
use crate::error::RuntimeError;
use crate::linker::linker;
use crate::state::GuestState;

/// One place per component, so that two loads of one do the work once and loads of two do not wait
/// for each other.
#[derive(Default)]
struct Slot {
    /// Held by whoever loads or compiles, for minutes if need be.
    making: Mutex<()>,
    /// Read without waiting for that: objects ask on their threads.
    loaded: OnceLock<Arc<CompiledComponent>>,
}

/// All compiled components.
pub struct ComponentCache {
    engine: Engine,
    config: EngineConfig,
    linker: Linker<GuestState>,
    compiler: Arc<dyn Compiler>,
    folder: CodeFolder,
    settings: SettingsHash,
    loaded: Mutex<HashMap<ComponentDigest, Arc<Slot>>>,
}

/// A component that was added.
pub struct Added {
    /// Ready to be run.
    pub component: Arc<CompiledComponent>,
    /// It was compiled for this: before, it was neither loaded nor kept.
    pub is_new: bool,
}

impl ComponentCache {
    /// A cache over `folder`, which must exist. What a crash left unfinished in it is dropped.
    pub fn new(
        engine: &GuestEngine,
        folder: PathBuf,
        compiler: Arc<dyn Compiler>,
    ) -> Result<Self, RuntimeError> {
        let linker = linker(engine).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let config = engine.config().clone();
        let engine = engine.wasmtime().clone();
        let not_opened = |error| RuntimeError::Compiler(format!("folder {}: {error}", folder.display()));
        Ok(Self {
            settings: SettingsHash::of(engine.precompile_compatibility_hash()),
            engine,
            config,
            linker,
            compiler,
            folder: CodeFolder::open(folder.clone()).map_err(not_opened)?,
            loaded: Mutex::default(),
        })
    }

    /// Checks, compiles and keeps an uploaded component. Nothing of it is run. Compiled before: loaded.
    pub fn add(&self, bytes: &[u8]) -> Result<Added, RuntimeError> {
        let digest = ComponentDigest::of(bytes);
        let mut is_new = false;
        let component = self.in_slot(digest, || match self.load_kept(digest) {
            Some(component) => Ok(component),
            None => {
                is_new = true;
                self.compile(digest, bytes)
            }
        })?;
        Ok(Added { component, is_new })
    }

    /// The component `digest`. `bytes` reads it from where uploads are kept, and is called only if
    /// it has to be compiled again.
    pub fn get(
        &self,
        digest: ComponentDigest,
        bytes: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> Result<Arc<CompiledComponent>, RuntimeError> {
        self.in_slot(digest, || {
            if let Some(component) = self.load_kept(digest) {
                return Ok(component);
            }
            let not_readable = |reason: String| RuntimeError::NotReadable { digest, reason };
            let bytes = bytes().map_err(|error| not_readable(error.to_string()))?;
            if ComponentDigest::of(&bytes) != digest {
                return Err(not_readable("its bytes were changed since it was uploaded".to_owned()));
            }
            self.compile(digest, &bytes)
        })
    }

    /// The component `digest`, if it is loaded. Never waits for one that is being compiled.
    pub fn loaded(&self, digest: ComponentDigest) -> Option<Arc<CompiledComponent>> {
        let slot = self.lock_slots().get(&digest)?.clone();
        slot.loaded.get().cloned()
    }

    /// Forgets a component that is no longer deployed, and removes its file. Instances that run go on.
    pub fn remove(&self, digest: ComponentDigest) -> io::Result<()> {
        self.lock_slots().remove(&digest);
        match fs::remove_file(self.folder.path(digest)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Unloads what is not in `kept`. Instances that run go on, and the memory of their code goes with the last
    /// of them. Files stay: what is asked for again is loaded from there. What is being made is left alone.
    pub fn retain(&self, kept: &HashSet<ComponentDigest>) {
        let is_unused = |digest: &ComponentDigest, slot: &mut Arc<Slot>| {
            slot.loaded.get().is_some() && !kept.contains(digest)
        };
        let unused: Vec<_> = self.lock_slots().extract_if(is_unused).collect();
        // Giving code back takes a moment, and objects wait for the lock.
        drop(unused);
    }

    fn lock_slots(&self) -> std::sync::MutexGuard<'_, HashMap<ComponentDigest, Arc<Slot>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_slot(
        &self,
        digest: ComponentDigest,
        make: impl FnOnce() -> Result<CompiledComponent, RuntimeError>,
    ) -> Result<Arc<CompiledComponent>, RuntimeError> {
        let slot = self.lock_slots().entry(digest).or_default().clone();
        let _making = slot.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = slot.loaded.get() {
            return Ok(component.clone());
        }
        match make() {
            Ok(component) => Ok(slot.loaded.get_or_init(|| Arc::new(component)).clone()),
            Err(error) => {
                // An upload that is refused leaves nothing behind.
                self.lock_slots().remove(&digest);
                Err(error)
            }
        }
    }

    /// What is kept, or nothing if it has to be made anew; why is a matter for the log.
    fn load_kept(&self, digest: ComponentDigest) -> Option<CompiledComponent> {
        let path = self.folder.path(digest);
        match self.read_code(&path, digest) {
            Ok((component, facts)) => CompiledComponent::link(&self.linker, &component, digest, facts).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "compiled code is made anew");
                None
            }
        }
    }

    /// Code and facts of a file, if it is what this engine made of this component.
    fn read_code(&self, path: &Path, digest: ComponentDigest) -> io::Result<(Component, ComponentFacts)> {
        let unusable = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        let bytes = fs::read(path)?;
        let key = CodeKey { digest, settings: self.settings };
        let (facts, code) =
            code_file::decode(key, &bytes).map_err(|refusal| unusable(refusal.to_string()))?;
        let component = load_code(&self.engine, code).map_err(|error| unusable(format!("{error:#}")))?;
        Ok((component, facts))
    }

    fn compile(&self, digest: ComponentDigest, bytes: &[u8]) -> Result<CompiledComponent, RuntimeError> {
        // The compiler would refuse it as well, but is slow to start.
        ComponentFacts::read(bytes)?;
        let lost = |doing: &str, error: io::Error| RuntimeError::of_file(doing, &error);
        let draft =
            self.folder.draft(digest, bytes).map_err(|error| lost("handing it the component", error))?;
        let job = CompileJob { component: &draft.component, code: &draft.code, engine: &self.config };
        self.compiler.compile(job)?;
        let (component, facts) = self
            .read_code(&draft.code, digest)
            .map_err(|error| lost("reading the code that it wrote", error))?;
        let compiled = CompiledComponent::link(&self.linker, &component, digest, facts)?;
        // Without its file the component works until the node stops and is then compiled again.
        if let Err(error) = draft.keep() {
            tracing::warn!(component = %digest, %error, "compiled code could not be kept");
        }
        Ok(compiled)
    }
}

/// Makes a component of code that [`code_file::decode`] accepted.
fn load_code(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are in our memory and were written by this engine's own `serialize`: the
    // header names this very build and its settings, the checksum over all of them is right, and the
    // file lies in the node's private folder with mode 0600.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::compiler::InProcess;
    use crate::error::CompileLimit;
    use tempfile::TempDir;

    fn component(import: &str) -> Vec<u8> {
        let text = format!(
            r#"(component {import}
            (core module $m
                (func (export "f") (param i32 i32 i32 i32) (result i32) unreachable)
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $m))
            (type $kind (enum "application" "invalid-argument" "invalid-state" "not-found" "denied"
                "limit-exceeded" "overloaded" "cancelled" "disconnected" "reset" "storage" "unsupported" "internal"))
            (instance $h (export "x" (type $kind)))
            (export "durabo:object/rpc-handler@0.1.0" (instance $h)))"#
        );
        wat::parse_str(text).expect("good text")
    }

    fn cache(folder: &TempDir) -> ComponentCache {
        let engine = GuestEngine::start(&EngineConfig::default()).expect("an engine");
        ComponentCache::new(&engine, folder.path().to_owned(), Arc::new(InProcess)).expect("a cache")
    }

    fn file(folder: &TempDir) -> PathBuf {
        let mut files: Vec<_> = fs::read_dir(folder.path()).expect("folder").collect();
        assert_eq!(files.len(), 1);
        files.remove(0).expect("entry").path()
    }

    /// A compiler that fails in its own way, after it has written something.
    struct Failing(Arc<dyn Fn() -> Result<(), RuntimeError> + Send + Sync>);

    impl Compiler for Failing {
        fn compile(&self, job: CompileJob<'_>) -> Result<(), RuntimeError> {
            fs::write(job.code, "half of it").expect("written");
            (self.0)()
        }
    }

    fn failing(
        folder: &TempDir,
        compile: impl Fn() -> Result<(), RuntimeError> + Send + Sync + 'static,
    ) -> ComponentCache {
        let engine = GuestEngine::start(&EngineConfig::default()).expect("an engine");
        let compiler = Arc::new(Failing(Arc::new(compile)));
        ComponentCache::new(&engine, folder.path().to_owned(), compiler).expect("a cache")
    }

    fn never() -> io::Result<Vec<u8>> {
        panic!("the component was read")
    }

    #[test]
    fn a_component_is_compiled_once_and_then_loaded_without_its_bytes() {
        use std::os::unix::fs::PermissionsExt;
        let folder = TempDir::new().expect("folder");
        let bytes = component("");
        let first = cache(&folder);
        let added = first.add(&bytes).expect("good");
        let compiled = added.component;
        assert!(added.is_new && !first.add(&bytes).expect("good").is_new);
        assert!(Arc::ptr_eq(&compiled, &first.get(compiled.digest(), never).expect("loaded")));
        let mode = file(&folder).metadata().expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = cache(&folder);
        assert!(second.loaded(compiled.digest()).is_none());
        let loaded = second.get(compiled.digest(), never).expect("loaded");
        assert_eq!(loaded.facts(), compiled.facts());
        assert!(!cache(&folder).add(&bytes).expect("kept").is_new);
    }

    #[test]
    fn what_is_not_kept_is_unloaded_and_comes_back_from_its_file() {
        let folder = TempDir::new().expect("folder");
        let cache = cache(&folder);
        let running = cache.add(&component("")).expect("good").component;
        let digest = running.digest();
        cache.retain(&HashSet::from([digest]));
        assert!(cache.loaded(digest).is_some());
        cache.retain(&HashSet::new());
        assert!(cache.loaded(digest).is_none());
        assert_eq!(Arc::strong_count(&running), 1, "only who runs it has it");
        cache.get(digest, never).expect("its file is there");
        assert!(cache.loaded(digest).is_some());
    }

    #[test]
    fn a_damaged_or_stale_file_is_made_anew() {
        let folder = TempDir::new().expect("folder");
        let bytes = component("");
        let digest = cache(&folder).add(&bytes).expect("good").component.digest();
        let good = fs::read(file(&folder)).expect("file");
        let mut damaged = good.clone();
        *damaged.last_mut().expect("code") ^= 1;
        let mut stale = good.clone();
        stale[50] ^= 1;
        for bad in [&damaged[..], &stale, &good[..10], b""] {
            fs::write(file(&folder), bad).expect("written");
            cache(&folder).get(digest, || Ok(bytes.clone())).expect("rebuilt");
            assert!(fs::read(file(&folder)).expect("file") == good, "the file is whole again");
        }
    }

    #[test]
    fn other_bytes_than_the_uploaded_ones_are_refused() {
        let folder = TempDir::new().expect("folder");
        let digest = ComponentDigest::of(b"what was uploaded");
        let error = cache(&folder).get(digest, || Ok(component(""))).err().expect("refused");
        assert!(error.to_string().contains("changed since it was uploaded"), "{error}");
        assert_eq!(error.to_failure().code, "internal");
    }

    #[test]
    fn an_unknown_import_is_refused_by_name_and_leaves_nothing() {
        let folder = TempDir::new().expect("folder");
        let import = r#"(import "acme:db/table@1.0.0" (instance (export "read" (func))))"#;
        let error = cache(&folder).add(&component(import)).err().expect("refused");
        assert!(error.to_string().contains("acme:db/table@1.0.0"), "{error}");
        assert_eq!(error.to_failure().code, "invalid-component");
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 0);
    }

    #[test]
    fn a_component_over_a_limit_of_the_compiler_is_refused_and_leaves_nothing() {
        let folder = TempDir::new().expect("folder");
        let cache = failing(&folder, || Err(CompileLimit::Memory(3 << 30).into()));
        let failure = cache.add(&component("")).err().expect("refused").to_failure();
        assert_eq!(failure.code, "invalid-component");
        assert!(failure.message.contains("more than 3072 MiB of memory, the limit"), "{failure}");
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 0);
    }

    #[test]
    fn code_that_the_compiler_did_not_finish_is_never_used() {
        let folder = TempDir::new().expect("folder");
        let cache = failing(&folder, || Ok(()));
        let error = cache.add(&component("")).err().expect("refused");
        assert!(error.to_string().contains("damaged"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 0);
    }

    #[test]
    fn whoever_asks_for_a_loaded_component_does_not_wait_for_its_compilation() {
        let folder = TempDir::new().expect("folder");
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let released = Mutex::new(released);
        let cache = failing(&folder, move || {
            started.send(()).expect("the test listens");
            released.lock().expect("one compilation").recv().expect("the test releases");
            Err(RuntimeError::Stopping)
        });
        let bytes = component("");
        thread::scope(|scope| {
            let compilation = scope.spawn(|| cache.add(&bytes).is_err());
            has_started.recv().expect("started");
            assert!(cache.loaded(ComponentDigest::of(&bytes)).is_none());
            cache.retain(&HashSet::new());
            release.send(()).expect("it waits");
            assert!(compilation.join().expect("joined"));
        });
    }
}
