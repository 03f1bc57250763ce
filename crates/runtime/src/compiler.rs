//! From a component's file to a file of its code, and who does it.
//!
//! What a compiler wrote is read and checked like any kept code before it is used. The node compiles in
//! a child process, where limits can hold and a crash of the compiler ends nothing else; `InProcess`
//! is for programs that have no such child.

use std::path::Path;
use std::{fs, io};

use durabo_catalog::ComponentDigest;

use crate::code_file::{self, CodeKey, SettingsHash};
use crate::code_folder::write_private;
use crate::component_facts::ComponentFacts;
use crate::engine::{EngineConfig, compiling_engine};
use crate::error::RuntimeError;

/// What is to be compiled.
#[derive(Debug, Clone, Copy)]
pub struct CompileJob<'a> {
    /// File of the component.
    pub component: &'a Path,
    /// File that the code goes to. After a failure it may hold a part of it.
    pub code: &'a Path,
    /// Engine that the code is for.
    pub engine: &'a EngineConfig,
}

/// Compiles components. Blocks until it is done, for minutes if need be.
pub trait Compiler: Send + Sync {
    /// Does the job, or says why not.
    fn compile(&self, job: CompileJob<'_>) -> Result<(), RuntimeError>;
}

/// Compiles in this process and on all its cores, without any limit.
#[derive(Debug, Clone, Copy)]
pub struct InProcess;

impl Compiler for InProcess {
    fn compile(&self, job: CompileJob<'_>) -> Result<(), RuntimeError> {
        compile(job)
    }
}

/// Does the job in this process. Nothing of the component is run, nor mapped as code.
pub fn compile(job: CompileJob<'_>) -> Result<(), RuntimeError> {
    let unreadable = |error| RuntimeError::Compiler(format!("reading {}: {error}", job.component.display()));
    let bytes = fs::read(job.component).map_err(unreadable)?;
    let facts = ComponentFacts::read(&bytes)?;
    let engine = compiling_engine(job.engine)?;
    let code = engine
        .precompile_component(&bytes)
        .map_err(|error| RuntimeError::NotCompiled(format!("{error:#}")))?;
    let key = CodeKey {
        digest: ComponentDigest::of(&bytes),
        settings: SettingsHash::of(engine.precompile_compatibility_hash()),
    };
    let unwritable =
        |error: io::Error| RuntimeError::of_file(&format!("writing {}", job.code.display()), &error);
    let file = code_file::encode(key, &facts, &code).map_err(|error| unwritable(error.into()))?;
    write_private(job.code, &file).map_err(unwritable)
}
