//! The node's shared change log: record codec, segments, recovery scan.
