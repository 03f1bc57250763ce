//! HTTP in and out: addresses, fetch, RPC, control plane.
