//! Why a component is refused or cannot be loaded. Nothing here stems from running guest code.
//!
//! The texts are for uploaders: each says what is wrong with the component and, where there is one,
//! the way out.

use std::io;
use std::time::Duration;

use durabo_catalog::ComponentDigest;
use durabo_model::description::{DescriptionError, Handler};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use durabo_model::name::ClassName;
use thiserror::Error;

/// Beginning of the text of [`RuntimeError::NoSpace`], by which a parent knows it of its child.
pub const NO_SPACE: &str = "there is no space on the disk for the component";

/// What this crate reports outside events.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// Neither a component nor a module.
    #[error("the upload is not WebAssembly: it does not start with `\\0asm`; upload a component (`.wasm`)")]
    NotWasm,
    /// A module, which has no interfaces.
    #[error(
        "the upload is a core module, not a component; build it for `wasm32-wasip2`, or wrap it with \
         `wasm-tools component new`"
    )]
    CoreModule,
    /// Larger than an upload may be.
    #[error("the component is {0} bytes, the limit is {max}; leave debug information out", max = limits::COMPONENT_BYTES_MAX)]
    TooLarge(usize),
    /// Starts as a component, but is not valid.
    #[error("the component is not valid: {0}")]
    NotValid(String),
    /// Its description sections are too large.
    #[error("the description is over {max} bytes; leave schemas out", max = limits::DESCRIPTION_BYTES_MAX)]
    DescriptionTooLarge,
    /// Its description cannot be read.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// A component, but none of ours.
    #[error("the component exports no handler of `durabo:object@0.1.0`; it exports {0}")]
    NoHandler(String),
    /// The description promises what is not there.
    #[error(
        "class `{class}` is described with handler `{handler}`, but the component does not export `{handler}-handler`"
    )]
    HandlerNotExported {
        /// Described class.
        class: ClassName,
        /// Handler in its description.
        handler: &'static str,
    },
    /// It wants what this node does not link, or in another shape.
    #[error("an import of the component is not served by this node: {0}")]
    Import(String),
    /// The compiler gave up.
    #[error("the component cannot be compiled: {0}")]
    NotCompiled(String),
    /// A compiler in another process refused it, with its own text.
    #[error("{0}")]
    Refused(String),
    /// Compiling it takes too much.
    #[error(transparent)]
    OverCompileLimit(#[from] CompileLimit),
    /// The compiler does not get to work, or its work is lost.
    #[error("the compiler cannot do its work: {0}")]
    Compiler(String),
    /// The system ended the compiler, which is what it does when it has no memory left.
    #[error(
        "the system ended the compiler, most likely because the machine has no memory left; upload the component \
         again when it has, or lower `compile.memory_bytes_max`"
    )]
    KilledCompiler,
    /// The disk is full.
    #[error("{NO_SPACE}: {0}; remove files, or give the disk more space")]
    NoSpace(String),
    /// The compiler was stopped with the node.
    #[error("the node is stopping; upload the component again when it is back")]
    Stopping,
    /// Bytes that were kept are gone or are others.
    #[error("component {digest} cannot be read: {reason}")]
    NotReadable {
        /// Which component.
        digest: ComponentDigest,
        /// What went wrong.
        reason: String,
    },
    /// The machine does not let the engine start.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
}

impl RuntimeError {
    /// What the system said to a compiler's file.
    pub(crate) fn of_file(doing: &str, error: &io::Error) -> Self {
        let text = format!("{doing}: {error}");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(text),
            _ => Self::Compiler(text),
        }
    }

    /// The failure that an uploader or a caller of the component's objects gets.
    pub fn to_failure(&self) -> Failure {
        let code = match self {
            RuntimeError::NotReadable { .. } | RuntimeError::Engine(_) | RuntimeError::Compiler(_) => {
                ErrorCode::Internal
            }
            RuntimeError::NoSpace(_) => ErrorCode::StorageFailed,
            RuntimeError::Stopping => ErrorCode::Stopping,
            RuntimeError::KilledCompiler => ErrorCode::Overloaded,
            _ => ErrorCode::InvalidComponent,
        };
        Failure::new(code, self.to_string())
    }
}

/// A limit that compiling a component went over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CompileLimit {
    /// Bytes of memory.
    #[error(
        "compiling the component takes more than {mib} MiB of memory, the limit; leave debug information and \
         unused code out, and split very large functions", mib = .0 >> 20
    )]
    Memory(u64),
    /// CPU time.
    #[error(
        "compiling the component takes more than {seconds} s of CPU time, the limit; leave unused code out, \
         and split very large functions", seconds = .0.as_secs_f64()
    )]
    Cpu(Duration),
    /// Time from start to end.
    #[error(
        "compiling the component takes longer than {seconds} s, the limit; upload it again when the machine \
         is less busy, or leave unused code out", seconds = .0.as_secs_f64()
    )]
    Wall(Duration),
}

/// Name of a handler as descriptions and interfaces spell it.
pub const fn handler_name(handler: Handler) -> &'static str {
    match handler {
        Handler::Http => "http",
        Handler::Rpc => "rpc",
        Handler::Alarm => "alarm",
        Handler::Schedule => "schedule",
        Handler::Websocket => "websocket",
    }
}
