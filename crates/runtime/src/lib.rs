//! Guests on wasmtime: engine, instances, host imports.
