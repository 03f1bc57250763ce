//! SQL of an operator: run in the object's own connection, between two turns of the guest.
//!
//! Nobody else may open a live object's file (invariant 9), so whoever wants to look inside asks the
//! object. A statement that writes without leave is undone before anything of it is committed. Neither its
//! time nor what becomes of it is the guest's: it runs apart from the guest's budgets and cursors.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::limits;
use durabo_storage::database::{Database, InterruptHandle};
use durabo_storage::sql_error::SqlError;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::ObjectContext;
use crate::event::{Apart, Delivery, Outcome, Reply, SqlAnswer, SqlRequest, Work};
use crate::output_gate::Effect;

/// How often an interrupt is repeated: one that falls between two statements is lost.
const INTERRUPT_EVERY: Duration = Duration::from_millis(10);

/// Interrupts the database once the time is over, until it is dropped.
struct Watchdog {
    /// Taken out at the end: the task may be in the midst of a round then, and what it interrupted after that
    /// would be the guest's.
    handle: Arc<Mutex<Option<InterruptHandle>>>,
    task: JoinHandle<()>,
}

impl Watchdog {
    fn start(handle: InterruptHandle, time_max: Duration) -> Self {
        let handle = Arc::new(Mutex::new(Some(handle)));
        let shared = handle.clone();
        let task = tokio::spawn(async move {
            sleep(time_max).await;
            loop {
                if let Some(handle) = &*locked(&shared) {
                    handle.interrupt();
                }
                sleep(INTERRUPT_EVERY).await;
            }
        });
        Self { handle, task }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(handle) = locked(&self.handle).take() {
            handle.allow();
        }
    }
}

fn locked(handle: &Mutex<Option<InterruptHandle>>) -> MutexGuard<'_, Option<InterruptHandle>> {
    handle.lock().expect("BUG: a watchdog's lock is never held over a panic")
}

impl ObjectContext {
    /// Does what waits first and needs no instance, and commits it. What came meanwhile is looked at later: it may
    /// need one.
    pub(crate) fn serve_apart(&mut self, what: Apart) -> Result<(), Failure> {
        match what {
            Apart::Alarm(_) => self.answer_alarm(),
            Apart::Sql | Apart::ToSocket => match self.mailbox.take_operators() {
                Some(Delivery { work: Work::Sql(request), reply, .. }) => self.answer_sql(&request, reply),
                Some(Delivery { work: Work::ToSocket(socket, request), reply, .. }) => {
                    self.answer_to_socket(socket, request, reply);
                    Ok(())
                }
                _ => Ok(()),
            },
        }
    }

    /// Runs a request while no turn is open, as a turn of its own. The answer takes its position when that has
    /// ended: one that changes nothing has no commit to wait for. On failure the object must be reset.
    pub(crate) fn answer_sql(
        &mut self,
        request: &SqlRequest,
        reply: oneshot::Sender<Outcome>,
    ) -> Result<(), Failure> {
        let time_max = self.node.limits.operator_sql_time_max;
        let ran = self.operator_turn(|database| {
            let _watch = Watchdog::start(database.interrupt_handle(), time_max);
            run(database, request)
        });
        let (outcome, ended) = match ran {
            Ok(outcome) => (outcome, Ok(())),
            Err(failure) => (Err(failure.clone()), Err(failure)),
        };
        let outcome = outcome.map(Reply::Sql).map_err(|failure| failure.of_object(self.identity.key.id));
        self.gate.release_after(self.position(), Effect::Reply(reply, outcome));
        ended
    }
}

/// What the statements gave; what writes without leave is undone.
fn run(database: &mut Database, request: &SqlRequest) -> Result<SqlAnswer, Failure> {
    let result = database.exec(&request.query, &request.bindings, limits::OPERATOR_ROWS_MAX);
    // Only what writes can lack space; it is undone already, and with space it would lack the leave.
    let lacks_space = result.as_ref().is_err_and(SqlError::is_full);
    if (database.is_turn_open() || lacks_space) && !request.may_write {
        let discarded = database.discard_turn();
        discarded.map_err(|error| Failure::new(ErrorCode::StorageFailed, error.to_string()))?;
        let text =
            "the statement writes, which was not asked for; nothing was changed. Say that it may write";
        return Err(Failure::new(ErrorCode::SqlFailed, text));
    }
    let code = if lacks_space { ErrorCode::StorageFailed } else { ErrorCode::SqlFailed };
    let result = result.map_err(|error| Failure::new(code, error.message))?;
    Ok(SqlAnswer {
        columns: result.columns,
        rows: result.rows,
        counts: result.counts,
        is_truncated: result.rest.is_some(),
    })
}
