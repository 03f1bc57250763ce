//! Compiled components of a node: compiled once at upload, kept in a folder, loaded at first use and
//! shared from then on.
//!
//! The folder is this crate's own and may be emptied at any time: whatever is missing, stale or
//! damaged is compiled again from the component's bytes. Everything here blocks, for seconds if it
//! compiles: not for a thread that serves others.

// SAFETY of the crate's one call into unchecked code: see `load_code`.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use durabo_catalog::ComponentDigest;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::code_file::{self, CodeKey, SettingsHash};
use crate::compiled_component::CompiledComponent;
use crate::component_facts::ComponentFacts;
use crate::engine::GuestEngine;
use crate::error::RuntimeError;
use crate::linker::linker;
use crate::state::GuestState;

/// Compiled code runs with the rights of the node: nobody else may write it, or read it.
const FILE_MODE: u32 = 0o600;

/// One place per component, so that two loads of one do the work once and loads of two do not wait
/// for each other.
type Slot = Arc<Mutex<Option<Arc<CompiledComponent>>>>;

/// All compiled components.
pub struct ComponentCache {
    engine: Engine,
    linker: Linker<GuestState>,
    folder: PathBuf,
    settings: SettingsHash,
    loaded: Mutex<HashMap<ComponentDigest, Slot>>,
    files_written: AtomicU64,
}

impl ComponentCache {
    /// A cache over `folder`, which must exist.
    pub fn new(engine: &GuestEngine, folder: PathBuf) -> Result<Self, RuntimeError> {
        let linker = linker(engine).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let engine = engine.wasmtime().clone();
        Ok(Self {
            settings: SettingsHash::of(engine.precompile_compatibility_hash()),
            engine,
            linker,
            folder,
            loaded: Mutex::default(),
            files_written: AtomicU64::new(0),
        })
    }

    /// Checks, compiles and keeps an uploaded component. Nothing of it is run. Compiled before: loaded.
    pub fn add(&self, bytes: &[u8]) -> Result<Arc<CompiledComponent>, RuntimeError> {
        let facts = ComponentFacts::read(bytes)?;
        let digest = ComponentDigest::of(bytes);
        self.in_slot(digest, || match self.load_file(digest) {
            Some(component) => Ok(component),
            None => self.compile(digest, facts, bytes),
        })
    }

    /// The component `digest`. `bytes` reads it from where uploads are kept, and is called only if
    /// it has to be compiled again.
    pub fn get(
        &self,
        digest: ComponentDigest,
        bytes: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> Result<Arc<CompiledComponent>, RuntimeError> {
        self.in_slot(digest, || {
            if let Some(component) = self.load_file(digest) {
                return Ok(component);
            }
            let not_readable = |reason: String| RuntimeError::NotReadable { digest, reason };
            let bytes = bytes().map_err(|error| not_readable(error.to_string()))?;
            if ComponentDigest::of(&bytes) != digest {
                return Err(not_readable("its bytes were changed since it was uploaded".to_owned()));
            }
            self.compile(digest, ComponentFacts::read(&bytes)?, &bytes)
        })
    }

    /// The component `digest`, if it is loaded.
    pub fn loaded(&self, digest: ComponentDigest) -> Option<Arc<CompiledComponent>> {
        let slot = self.lock_slots().get(&digest)?.clone();
        slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets a component that is no longer deployed, and removes its file. Instances that run go on.
    pub fn remove(&self, digest: ComponentDigest) -> io::Result<()> {
        self.lock_slots().remove(&digest);
        match fs::remove_file(self.path(digest)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn lock_slots(&self) -> std::sync::MutexGuard<'_, HashMap<ComponentDigest, Slot>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_slot(
        &self,
        digest: ComponentDigest,
        make: impl FnOnce() -> Result<CompiledComponent, RuntimeError>,
    ) -> Result<Arc<CompiledComponent>, RuntimeError> {
        let slot = self.lock_slots().entry(digest).or_default().clone();
        let mut place = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = &*place {
            return Ok(component.clone());
        }
        match make() {
            Ok(component) => Ok(place.insert(Arc::new(component)).clone()),
            Err(error) => {
                // An upload that is refused leaves nothing behind.
                self.lock_slots().remove(&digest);
                Err(error)
            }
        }
    }

    fn path(&self, digest: ComponentDigest) -> PathBuf {
        self.folder.join(format!("{}.cwasm", digest.hex()))
    }

    fn key(&self, digest: ComponentDigest) -> CodeKey {
        CodeKey { digest, settings: self.settings }
    }

    /// What the file holds, or nothing if it has to be made anew; why is a matter for the log.
    fn load_file(&self, digest: ComponentDigest) -> Option<CompiledComponent> {
        let path = self.path(digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "compiled code cannot be read; it is made anew");
                return None;
            }
        };
        let (facts, code) = match code_file::decode(self.key(digest), &bytes) {
            Ok(decoded) => decoded,
            Err(refusal) => {
                tracing::info!(file = %path.display(), ?refusal, "compiled code is made anew");
                return None;
            }
        };
        let component = load_code(&self.engine, code).inspect_err(|error| {
            tracing::warn!(file = %path.display(), error = %format!("{error:#}"), "compiled code is made anew");
        });
        CompiledComponent::link(&self.linker, &component.ok()?, digest, facts).ok()
    }

    fn compile(
        &self,
        digest: ComponentDigest,
        facts: ComponentFacts,
        bytes: &[u8],
    ) -> Result<CompiledComponent, RuntimeError> {
        let component = Component::new(&self.engine, bytes)
            .map_err(|error| RuntimeError::NotCompiled(format!("{error:#}")))?;
        let compiled = CompiledComponent::link(&self.linker, &component, digest, facts)?;
        let code = component.serialize().map_err(|error| RuntimeError::NotCompiled(format!("{error:#}")))?;
        // Without its file the component works until the node stops and is then compiled again.
        if let Err(error) = self.write_file(digest, compiled.facts(), &code) {
            tracing::warn!(component = %digest, %error, "compiled code could not be kept");
        }
        Ok(compiled)
    }

    /// Writes beside and renames, so that a half-written file is never found under the name. It is not
    /// synced: its checksum tells whether it survived.
    fn write_file(&self, digest: ComponentDigest, facts: &ComponentFacts, code: &[u8]) -> io::Result<()> {
        let bytes = code_file::encode(self.key(digest), facts, code)?;
        let number = self.files_written.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!(".{}.{number}.tmp", digest.hex()));
        write_private(&temporary, &bytes)
            .and_then(|()| fs::rename(&temporary, self.path(digest)))
            .inspect_err(
                // The first error is the one to tell; what is left is overwritten by the next attempt.
                |_| drop(fs::remove_file(&temporary)),
            )
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes)
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
    use super::*;
    use crate::engine::EngineConfig;
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
        ComponentCache::new(&engine, folder.path().to_owned()).expect("a cache")
    }

    fn file(folder: &TempDir) -> PathBuf {
        let mut files: Vec<_> = fs::read_dir(folder.path()).expect("folder").collect();
        assert_eq!(files.len(), 1);
        files.remove(0).expect("entry").path()
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
        let compiled = first.add(&bytes).expect("good");
        assert!(Arc::ptr_eq(&compiled, &first.get(compiled.digest(), never).expect("loaded")));
        let mode = file(&folder).metadata().expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = cache(&folder);
        assert!(second.loaded(compiled.digest()).is_none());
        let loaded = second.get(compiled.digest(), never).expect("loaded");
        assert_eq!(loaded.facts(), compiled.facts());
    }

    #[test]
    fn a_damaged_or_stale_file_is_made_anew() {
        let folder = TempDir::new().expect("folder");
        let bytes = component("");
        let digest = cache(&folder).add(&bytes).expect("good").digest();
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
}
