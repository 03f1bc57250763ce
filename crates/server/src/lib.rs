//! A node: configuration, wiring, start, shutdown.
