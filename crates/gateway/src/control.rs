//! The control plane: deploying and looking after what is deployed, for whoever holds the token.
//!
//! Reference: `docs/reference/control-plane.md`.

mod sql_value;
pub mod alarm_report;
pub mod socket_report;
mod tail_report;
pub mod api;
mod queries;
pub mod route;
mod alarm_routes;
mod socket_routes;
mod tail_routes;
pub mod router;
