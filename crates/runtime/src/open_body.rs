//! A body in pieces that an instance has open: counted, and its buffer charged to the instance.
//!
//! As long as one is open the object stays in memory.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits::PIECES_BYTES_MAX;
use durabo_objects::unfinished::ImportUnderWay;

use crate::memory_limit::HostMemory;
use crate::state::GuestState;

/// Open until it is dropped.
#[derive(Debug)]
pub struct OpenBody {
    _counted: ImportUnderWay,
    _buffer: HostMemory,
}

impl OpenBody {
    /// Opens a body, unless the instance has too many or no memory for its buffer.
    pub fn new(state: &GuestState) -> Result<Self, Failure> {
        let counted = state.context.open_body()?;
        let buffer = state.memory.reserve(PIECES_BYTES_MAX).ok_or_else(|| {
            let mebibytes = state.memory.bytes_max() >> 20;
            let text = format!(
                "Durable Object is overloaded. Of its {mebibytes} MiB of memory nothing is left for the buffer \
                 of one more body; retry later"
            );
            Failure::new(ErrorCode::Overloaded, text)
        })?;
        Ok(Self { _counted: counted, _buffer: buffer })
    }
}
