//! The conformance suite: one module per capability.
//!
//! A case that is named after one of the contract checks that one. Do not add here what a lower layer can
//! catch: ids and forms of values are unit tests, crashes and power loss are simulated, `kill -9` is tested
//! beside the command line. A function that its module does not list is dead code, which the compiler reports.

mod standing;
mod database;
mod together;
mod growing_times;
mod streams;
mod outcomes;
mod waking;

mod access;
mod alarm_retries;
mod alarm_wakes;
mod alarms;
mod blocking;
mod calls;
mod context;
mod cursors;
mod deployments;
mod example_rooms;
mod examples;
mod faults;
mod gates;
mod hibernation;
mod http;
mod http_between;
mod http_bodies;
mod http_clients;
mod http_outgoing;
mod kv;
mod lifecycle;
mod limits;
mod log_counts;
mod neighbours;
mod restart;
mod rpc;
mod schedule_runs;
mod schedules;
mod sections;
mod sql_allowed;
mod sql_attacks;
mod sql_growth;
mod sql_limits;
mod sql_many;
mod sql_statements;
mod starts;
mod storage;
mod stubs;
mod transactions;
mod uploads;
mod websocket;
mod websocket_crowds;
mod websocket_faults;
mod websocket_frames;
mod websocket_operator;
mod websocket_outgoing;
mod websocket_outgoing_bounds;
mod websocket_outgoing_faults;
mod websocket_sleep;

use crate::case::Case;

/// All of it.
pub fn cases() -> Vec<Case> {
    [
        access::CASES,
        alarm_retries::CASES,
        alarm_wakes::CASES,
        alarms::CASES,
        blocking::CASES,
        calls::CASES,
        context::CASES,
        cursors::CASES,
        deployments::CASES,
        example_rooms::CASES,
        examples::CASES,
        faults::CASES,
        gates::CASES,
        hibernation::CASES,
        http::CASES,
        http_between::CASES,
        http_bodies::CASES,
        http_clients::CASES,
        http_outgoing::CASES,
        kv::CASES,
        lifecycle::CASES,
        limits::CASES,
        log_counts::CASES,
        neighbours::CASES,
        outcomes::CASES,
        restart::CASES,
        rpc::CASES,
        schedule_runs::CASES,
        schedules::CASES,
        sections::CASES,
        sql_allowed::CASES,
        sql_attacks::CASES,
        sql_growth::CASES,
        sql_limits::CASES,
        sql_many::CASES,
        sql_statements::CASES,
        starts::CASES,
        storage::CASES,
        stubs::CASES,
        transactions::CASES,
        uploads::CASES,
        websocket::CASES,
        websocket_crowds::CASES,
        websocket_faults::CASES,
        websocket_frames::CASES,
        websocket_operator::CASES,
        websocket_outgoing::CASES,
        websocket_outgoing_bounds::CASES,
        websocket_outgoing_faults::CASES,
        websocket_sleep::CASES,
    ]
    .concat()
}
