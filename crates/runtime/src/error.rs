//! Why a component is refused or cannot be loaded. Nothing here stems from running guest code.
//!
//! The texts are for uploaders: each says what is wrong with the component and, where there is one,
//! the way out.

use durabo_catalog::ComponentDigest;
use durabo_model::description::{DescriptionError, Handler};
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use durabo_model::name::ClassName;
use thiserror::Error;

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
    /// The failure that an uploader or a caller of the component's objects gets.
    pub fn to_failure(&self) -> Failure {
        let code = match self {
            RuntimeError::NotReadable { .. } | RuntimeError::Engine(_) => ErrorCode::Internal,
            _ => ErrorCode::InvalidComponent,
        };
        Failure::new(code, self.to_string())
    }
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
