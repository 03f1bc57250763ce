//! The running object: who it is, its database, its critical sections, its end.
//!
//! The constructor gets a [`Context`] and keeps it in a field; it costs a pointer to clone.

use std::rc::Rc;

use crate::alarm::Alarm;
use crate::bindings::durabo::object::context as wit;
use crate::bindings::durabo::object::types::WriteFlags;
use crate::bindings::exports::durabo::object::lifecycle::StartInfo;
use crate::failure::Failure;
use crate::kv::Kv;
use crate::schedule::Schedule;
use crate::sql::Sql;
use crate::storage::Storage;
use crate::transaction::{self, Transaction};
use crate::websocket::Sockets;

/// What an object may reach. Valid for the life of the instance.
#[derive(Debug, Clone)]
pub struct Context {
    identity: Rc<Identity>,
}

/// Who an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The class.
    pub class_name: String,
    /// Its id: 64 lower-case hex digits.
    pub id: String,
    /// The name that the id was made from, if it was ever reached by name. Names of more than 1024
    /// bytes are not carried (ID-9).
    pub name: Option<String>,
    /// Number of the deployment that the instance runs; grows.
    pub deployment: u64,
}

impl Context {
    /// Who this object is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The object's database.
    pub fn sql(&self) -> Sql {
        Sql { _by_context: () }
    }

    /// The object's keys and values.
    pub fn kv(&self) -> Kv {
        Kv { flags: WriteFlags::empty() }
    }

    /// The object's database as a whole: savepoints, and waiting for the disk.
    pub fn storage(&self) -> Storage {
        Storage { _by_context: () }
    }

    /// The object's alarm.
    pub fn alarm(&self) -> Alarm {
        Alarm { flags: WriteFlags::empty() }
    }

    /// The object's WebSockets.
    pub fn sockets(&self) -> Sockets {
        Sockets { _by_context: () }
    }

    /// The object's named alarms.
    pub fn schedule(&self) -> Schedule {
        Schedule { flags: WriteFlags::empty() }
    }

    /// Runs `work` as a critical section: while it runs, no other event of the object is delivered, and what
    /// others wait for does not come back to them (IG-5). Sections run one after the other (IG-6).
    ///
    /// ```
    /// # use durabo::{Context, Failure, timer};
    /// # async fn example(ctx: Context) -> Result<(), Failure> {
    /// let seats = ctx
    ///     .critical_section(async |_section| {
    ///         timer::sleep(std::time::Duration::from_millis(10)).await;
    ///         Ok(7)
    ///     })
    ///     .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// An error of `work` resets the object and does not return here: every event fails with it (IG-8). To
    /// keep the object, return it inside of `Ok`, or use [`enter_section`](Self::enter_section). A section
    /// that takes more than 30 s resets the object (IG-9). Inside of `work` use [`Section::nested`] and never
    /// this: it would wait for itself. Fails if the section cannot be entered.
    pub async fn critical_section<T>(
        &self,
        work: impl AsyncFnOnce(&Section) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.run_in(self.enter_section().await?, work).await
    }

    /// Enters a critical section; it is left when what is returned is dropped.
    pub async fn enter_section(&self) -> Result<Section, Failure> {
        enter(None, self).await
    }

    async fn run_in<T>(
        &self,
        section: Section,
        work: impl AsyncFnOnce(&Section) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match work(&section).await {
            Ok(value) => Ok(value),
            Err(failure) => self.abort(failure),
        }
    }

    /// Resets this object at once and does not return (LC-7): writes not yet committed are lost, every
    /// event of the instance fails with `reason` (without one, with a text that says so), committed data
    /// stays, the next event starts a fresh instance. Give a [`Failure`] or `None`. An alarm whose handler
    /// calls this is run again, as after any failure.
    pub fn abort(&self, reason: impl Into<Option<Failure>>) -> ! {
        end(reason.into(), wit::RunningAlarm::Retry)
    }

    /// As [`abort`](Self::abort), and gives the alarm up whose handler calls it (AL-19). Anywhere else the two
    /// are the same.
    pub fn abort_and_abandon_alarm(&self, reason: impl Into<Option<Failure>>) -> ! {
        end(reason.into(), wit::RunningAlarm::Abandon)
    }

    /// The context of the object that is being started; `None` if the instance is to serve the entry.
    pub(crate) fn from_host(info: StartInfo) -> Option<Self> {
        let object = info.object?;
        let identity = Identity {
            class_name: object.class_name,
            id: object.id,
            name: object.name,
            deployment: info.deployment,
        };
        Some(Self { identity: Rc::new(identity) })
    }
}

fn end(reason: Option<Failure>, alarm: wit::RunningAlarm) -> ! {
    let reason = reason.map(Into::into);
    wit::abort(reason.as_ref(), alarm);
    unreachable!("the host returned from `abort`")
}

/// An open critical section; dropping it leaves it.
#[derive(Debug)]
#[must_use = "the section is left when this is dropped"]
pub struct Section {
    handle: wit::CriticalSection,
    ctx: Context,
}

impl Section {
    /// Runs `work` as a section within this one, at once; 64 deep at most (`limit-exceeded`, IG-7). It holds
    /// back what else this section has under way. As [`Context::critical_section`] otherwise.
    pub async fn nested<T>(
        &self,
        work: impl AsyncFnOnce(&Section) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let ctx = self.ctx.clone();
        ctx.run_in(self.enter().await?, work).await
    }

    /// Enters a section within this one.
    pub async fn enter(&self) -> Result<Section, Failure> {
        enter(Some(&self.handle), &self.ctx).await
    }

    /// Runs `work` in a transaction, in a section within this one; as
    /// [`Storage::transaction`](crate::storage::Storage::transaction) otherwise.
    pub async fn transaction<T>(
        &self,
        work: impl AsyncFnOnce(&Transaction) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        transaction::run(Some(&self.handle), work).await
    }

    /// Leaves the section now; the same as dropping it.
    pub fn leave(self) {
        self.handle.leave();
    }
}

async fn enter(parent: Option<&wit::CriticalSection>, ctx: &Context) -> Result<Section, Failure> {
    let handle = wit::CriticalSection::enter(parent).await.map_err(Failure::from_host)?;
    Ok(Section { handle, ctx: ctx.clone() })
}
