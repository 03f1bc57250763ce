//! The running object: who it is, its database, its end.
//!
//! The constructor gets a [`Context`] and keeps it in a field; it costs a pointer to clone.

use std::rc::Rc;

use crate::bindings::durabo::object::context as wit;
use crate::bindings::exports::durabo::object::lifecycle::StartInfo;
use crate::failure::Failure;
use crate::sql::Sql;

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

    /// Resets this object at once and does not return (LC-7): writes not yet committed are lost, every
    /// event of the instance fails with `reason` (without one, with a text that says so), committed data
    /// stays, the next event starts a fresh instance. Give a [`Failure`] or `None`.
    pub fn abort(&self, reason: impl Into<Option<Failure>>) -> ! {
        let reason = reason.into().map(Into::into);
        wit::abort(reason.as_ref(), wit::RunningAlarm::Retry);
        unreachable!("the host returned from `abort`")
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
