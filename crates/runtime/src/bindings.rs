//! Bindings of the contract in `wit/`, made by wasmtime.
//!
//! What is `async func` there becomes a concurrent import. Storage is plain for the guest and linked
//! as host functions that may wait, so that a slow statement can leave the thread (S1) without any
//! change for guests. Functions that ask for the calling event get access to the store.

// SAFETY: the only unsafe calls here are made by the generator, which checks the type of an export
// before it wraps it unchecked.
#![allow(unsafe_code, missing_docs, unused_qualifications, dead_code)]
#![allow(clippy::all)]

pub use durabo_objects::context::Transaction;
pub use durabo_objects::input_gate::Section;
pub use durabo_objects::outbound::Stub;
pub use durabo_objects::socket::Upgrade;
use durabo_storage::database::CursorId;
pub use durabo_storage::savepoint::SavepointId as Savepoint;

use crate::statement_costs::TextKey;

/// A handle to an open cursor, which knows the text whose rows it has.
#[derive(Clone, Copy)]
pub struct OpenCursor {
    pub id: CursorId,
    pub text: TextKey,
}

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "durabo:object/durable-object",
    imports: {
        "durabo:object/sql": async | trappable,
        "durabo:object/kv": async | trappable,
        "durabo:object/storage": async | trappable,
        "durabo:object/recovery": async | trappable,
        "durabo:object/alarm": async | trappable,
        "durabo:object/schedule": async | trappable,
        "durabo:object/event": store | trappable,
        "durabo:object/log": store | trappable,
        "durabo:object/context.abort": store | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "durabo:object/sql.cursor": OpenCursor,
        "durabo:object/context.critical-section": Section,
        "durabo:object/storage.savepoint": Savepoint,
        "durabo:object/storage.transaction": Transaction,
        "durabo:object/http.upgrade": Upgrade,
        "durabo:object/stub.stub": Stub,
    },
});

pub use durabo::object;
