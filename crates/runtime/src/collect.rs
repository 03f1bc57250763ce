//! A body read to its end on the host's side, for guests that would rather not read a stream.
//!
//! What has been read so far counts as memory of the instance.

use bytes::BytesMut;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_objects::body::Body;
use wasmtime::component::{Accessor, HasSelf};

use crate::state::GuestState;

/// Reads `body` whole, up to `bytes_max` bytes and what the instance may have in memory.
pub async fn collect(
    accessor: &Accessor<GuestState, HasSelf<GuestState>>,
    body: Body,
    bytes_max: u64,
) -> Result<Vec<u8>, Failure> {
    let too_large = |bytes: u64| {
        let text = format!("the body is {bytes} bytes or more, the limit given is {bytes_max}");
        Failure::new(ErrorCode::LimitExceeded, text)
    };
    if let Some(bytes) = body.bytes().filter(|bytes| *bytes > bytes_max) {
        return Err(too_large(bytes));
    }
    let mut pieces = match body {
        Body::Whole(bytes) => return Ok(bytes.into()),
        Body::Pieces(pieces) => pieces,
    };
    let mut collected = BytesMut::new();
    let mut held = accessor.with(|mut access| access.get().memory.hold_nothing());
    while let Some(piece) = pieces.piece().await {
        let piece = piece?;
        let bytes = (collected.len() + piece.len()) as u64;
        if bytes > bytes_max {
            return Err(too_large(bytes));
        }
        if !accessor.with(|mut access| access.get().memory.reserve_more(&mut held, piece.len())) {
            let text =
                format!("the instance has no memory for the {bytes} bytes of the body; read it in pieces");
            return Err(Failure::new(ErrorCode::LimitExceeded, text));
        }
        collected.extend_from_slice(&piece);
    }
    Ok(collected.into())
}
