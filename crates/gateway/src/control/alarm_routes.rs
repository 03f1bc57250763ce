//! Routes of the control plane about alarms: lists, past runs, running one now, cancelling it.
//!
//! The node knows the answers; here requests are read and answers written.

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{delete, get, post};
use durabo_model::error_code::ErrorCode;
use durabo_model::time::Timestamp;

use super::alarm_report::{AlarmDone, AlarmPosition, AlarmsPage};
use super::queries;
use super::route::{Answer, Config, ControlState, class_target, json, object_address};
use crate::error_response::{Refused, refuse};

/// The routes.
pub(super) fn routes() -> Router<ControlState> {
    Router::new()
        .route("/v1/apps/{app}/classes/{class}/alarms", get(alarms))
        .route("/v1/apps/{app}/classes/{class}/objects/{object}/alarm", delete(cancel))
        .route("/v1/apps/{app}/classes/{class}/objects/{object}/alarm/runs", get(runs))
        .route("/v1/apps/{app}/classes/{class}/objects/{object}/alarm/run", post(run))
}

async fn alarms(State(config): Config, request: Request) -> Answer {
    let target = class_target(&config, &request)?;
    let (after, limit) = queries::page(request.uri(), "after")?;
    let position_of = |text: String| -> Result<AlarmPosition, Refused> {
        let (due, id) = text.split_once('-').unwrap_or_default();
        let due = due.parse().map_err(|_| {
            let message = "`after` must be the time and the id of an alarm, such as `1764036000000-3652ef…`";
            refuse(ErrorCode::InvalidArgument, message)
        })?;
        let id = target.key.id_from_text(id);
        let id = id.map_err(|error| refuse(ErrorCode::InvalidObjectId, error.to_string()))?;
        Ok(AlarmPosition { due: Timestamp(due), id })
    };
    let after = after.map(position_of).transpose()?;
    Ok(json(&config.node.alarms(target.namespace, AlarmsPage { after, limit }).await?))
}

async fn runs(State(config): Config, request: Request) -> Answer {
    let object = object_address(&config, &request)?;
    let limit = queries::limit(request.uri())?;
    Ok(json(&config.node.alarm_runs(object.key, limit).await?))
}

async fn run(State(config): Config, request: Request) -> Answer {
    config.node.run_alarm(object_address(&config, &request)?).await?;
    Ok(json(&AlarmDone { done: "run" }))
}

async fn cancel(State(config): Config, request: Request) -> Answer {
    config.node.cancel_alarm(object_address(&config, &request)?).await?;
    Ok(json(&AlarmDone { done: "cancelled" }))
}
