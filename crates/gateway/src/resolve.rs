//! From an address to an object, and the door through which events reach objects.
//!
//! [`Deliver`] is the seam: on one node the directory stands behind it; requests know nothing else of
//! where an object lives.

use std::future::Future;

use durabo_catalog::Snapshot;
use durabo_model::error_code::ErrorCode;
use durabo_model::object::ObjectKey;
use durabo_model::object_id::ObjectId;
use durabo_model::random::Random;
use durabo_objects::address::ObjectAddress;
use durabo_objects::client::Client;
use durabo_objects::directory::Directory;
use durabo_objects::event::{Event, Origin, Outcome, TraceContext};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::address::{Address, ObjectSegment};
use crate::error_response::{Refused, refuse};

/// Header that carries the id of an object that was made for the request.
pub const OBJECT_ID: HeaderName = HeaderName::from_static("x-durabo-object-id");

/// Longest trace header that is passed on; longer ones are no trace context.
const TRACE_BYTES_MAX: usize = 512;

/// Brings events to objects.
pub trait Deliver: Send + Sync + 'static {
    /// Delivers one event and waits for its outcome. Dropping the future means that the client left:
    /// the event runs on (ST-10).
    fn deliver(
        &self,
        address: ObjectAddress,
        event: Event,
        origin: Origin,
    ) -> impl Future<Output = Outcome> + Send;
}

impl Deliver for Directory {
    fn deliver(
        &self,
        address: ObjectAddress,
        event: Event,
        origin: Origin,
    ) -> impl Future<Output = Outcome> + Send {
        self.deliver(address, event, origin)
    }
}

/// An object that was found.
#[derive(Debug)]
pub struct Resolved {
    /// Where events for it go.
    pub address: ObjectAddress,
    /// Its id, if it was made just now.
    pub new_id: Option<ObjectId>,
}

impl Resolved {
    /// The header that tells the client the id of a new object.
    pub fn new_id_header(&self) -> Option<(HeaderName, HeaderValue)> {
        let id = self.new_id?.to_string();
        Some((OBJECT_ID, HeaderValue::try_from(id).expect("BUG: hex digits are a header value")))
    }
}

/// Finds the object that an address names, among what is exposed.
pub fn resolve(snapshot: &Snapshot, random: &dyn Random, address: &Address<'_>) -> Result<Resolved, Refused> {
    let target = snapshot.exposed_target(&address.app, &address.class)?;
    let (id, name, new_id) = match &address.object {
        ObjectSegment::Name(name) => (target.key.id_from_name(name), Some(name.to_string()), None),
        ObjectSegment::Id(text) => {
            let id = target.key.id_from_text(text);
            (id.map_err(|error| refuse(ErrorCode::InvalidObjectId, error.to_string()))?, None, None)
        }
        ObjectSegment::New => {
            let id = target.key.unique_id(random);
            (id, None, Some(id))
        }
    };
    let key = ObjectKey { namespace: target.namespace, id };
    Ok(Resolved { address: ObjectAddress { key, class: target.class.clone(), name }, new_id })
}

/// Where a request comes from: its trace, and the client at the other end of the connection.
pub fn origin_of(parts: &Parts) -> Origin {
    let client = parts.extensions.get::<Client>().cloned().unwrap_or_default();
    Origin { trace: trace_of(&parts.headers), client, ..Origin::default() }
}

/// The trace to which a request belongs, if it says so.
fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    let text = |name| {
        let value: &HeaderValue = headers.get(name)?;
        value.to_str().ok().filter(|value| value.len() <= TRACE_BYTES_MAX).map(str::to_owned)
    };
    Some(TraceContext { traceparent: text("traceparent")?, tracestate: text("tracestate") })
}
