//! What is delivered to an object and what comes back: a closed list, so that one place matches it.
//!
//! Values are owned and plain: `gateway` makes them of HTTP, `runtime` lowers them into the guest.

use bytes::Bytes;
use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::object::ObjectKey;
use durabo_model::object_id::ObjectId;
use durabo_model::time::Timestamp;
use durabo_storage::statement::Counts;
use durabo_storage::value::Value;
use tokio::sync::oneshot;

use crate::body::Body;
use crate::call_chain::CallChain;
use crate::client::{Client, Connection};
pub use crate::event_id::EventId;
use crate::socket::{CloseReason, Incident, Message, SocketCall, SocketId, Upgrade};

/// Field names in lower case and values as bytes, in order; a name may occur several times.
pub type Headers = Vec<(String, Vec<u8>)>;

/// A request to an object's `fetch` (ST-13).
#[derive(Debug, PartialEq)]
pub struct HttpRequest {
    /// As sent.
    pub method: String,
    /// Absolute; path and query are what follows the object's address.
    pub url: String,
    /// All of the client's, plus `x-forwarded-prefix`.
    pub headers: Headers,
    /// Whole if it is short, or in pieces.
    pub body: Body,
}

/// An object's answer to a request; any status is a success (ST-4).
#[derive(Debug, PartialEq)]
pub struct HttpResponse {
    /// 200 to 599, or 101 exactly if there is an upgrade.
    pub status: u16,
    /// In order.
    pub headers: Headers,
    /// Whole, or in pieces that come as the object writes them.
    pub body: Body,
    /// The client's end of a socket that an object has accepted (WS-1).
    pub upgrade: Option<Upgrade>,
}

/// One delivery to an object.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// An HTTP request.
    Fetch(HttpRequest),
    /// A method call.
    Rpc {
        /// Name of the method; never a reserved one (RP-3).
        method: String,
        /// CBOR array of the arguments.
        args: Bytes,
    },
    /// The object's alarm is due.
    Alarm(AlarmInfo),
    /// Something that happened to a socket of the object.
    Socket(SocketId, Incident),
}

/// What a handler is told of the alarm that runs (AL-8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmInfo {
    /// The time that was set; the same on every try.
    pub scheduled_time: Timestamp,
    /// Counted tries before this one.
    pub retry_count: u32,
    /// The named alarm that it is, if it has a name.
    pub entry: Option<ScheduledEntry>,
}

/// What a handler is told of a named alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledEntry {
    /// Its name.
    pub name: String,
    /// As it was set.
    pub payload: Vec<u8>,
}

/// What is asked of an object about its alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmRequest {
    /// To run it, if it is due.
    RunIfDue {
        /// The try before failed for a fault of the node.
        after_fault: bool,
    },
    /// To run it now, whatever its time: of an operator.
    RunNow,
    /// To remove it: of an operator.
    Cancel,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmAnswer {
    /// The handler has run and returned.
    Ran,
    /// To a wake-up: it failed, and what follows of that is stored. A fault of the node is a failure instead.
    Failed,
    /// None is due.
    NotDue,
    /// It was removed.
    Cancelled,
}

/// SQL of an operator, run in the object beside its guest.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlRequest {
    /// Statements; bindings go to the last.
    pub query: String,
    /// One value per parameter.
    pub bindings: Vec<Value>,
    /// Whether it may write. A write without leave is undone and refused.
    pub may_write: bool,
}

/// Rows that an operator's SQL gave.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlAnswer {
    /// Column names in order.
    pub columns: Vec<String>,
    /// Values, row after row.
    pub rows: Vec<Value>,
    /// Rows read and written.
    pub counts: Counts,
    /// There were more rows than one answer carries.
    pub is_truncated: bool,
}

/// What an operator asks of a socket; its size, code and reason were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketRequest {
    /// To send a message.
    Send(Message),
    /// To close it.
    Close(CloseReason),
}

/// What may wait in a mailbox.
#[derive(Debug, PartialEq)]
pub enum Work {
    /// For the guest.
    Event(Event),
    /// For the database alone; needs no instance.
    Sql(SqlRequest),
    /// About the alarm; needs an instance only if it is to run.
    Alarm(AlarmRequest),
    /// For the guest as well: what happened is still with the socket.
    Socket(SocketCall),
    /// For a socket alone; needs no instance.
    ToSocket(SocketId, SocketRequest),
}

/// Work that may need no instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Apart {
    Sql,
    ToSocket,
    Alarm(AlarmRequest),
}

impl Work {
    /// What it is, if it may need no instance.
    pub(crate) fn asked_apart(&self) -> Option<Apart> {
        match self {
            Work::Event(_) | Work::Socket(_) => None,
            Work::Sql(_) => Some(Apart::Sql),
            Work::ToSocket(..) => Some(Apart::ToSocket),
            Work::Alarm(request) => Some(Apart::Alarm(*request)),
        }
    }

    /// Bytes that it occupies while it waits.
    pub fn bytes(&self) -> usize {
        match self {
            Work::Event(event) => event.bytes(),
            Work::Alarm(_) => 0,
            Work::Sql(request) => {
                request.query.len() + request.bindings.iter().map(Value::size_bytes).sum::<usize>()
            }
            Work::Socket(_) => 0,
            Work::ToSocket(_, SocketRequest::Send(message)) => message.bytes(),
            Work::ToSocket(_, SocketRequest::Close(_)) => 0,
        }
    }
}

impl Event {
    /// Bytes that the event occupies while it waits in a mailbox.
    pub fn bytes(&self) -> usize {
        match self {
            Event::Fetch(request) => {
                request.url.len() + headers_bytes(&request.headers) + request.body.held_bytes()
            }
            Event::Rpc { method, args } => method.len() + args.len(),
            Event::Alarm(_) => 0,
            // What waits of a socket is bounded there.
            Event::Socket(..) => 0,
        }
    }
}

/// What a handler answered.
#[derive(Debug, PartialEq)]
pub enum Reply {
    /// To [`Event::Fetch`].
    Fetch(HttpResponse),
    /// To [`Event::Rpc`]: one CBOR item.
    Rpc(Bytes),
    /// To [`Work::Sql`].
    Sql(SqlAnswer),
    /// To [`Work::Alarm`].
    Alarm(AlarmAnswer),
    /// To [`Event::Socket`], of which nobody hears.
    Handled,
    /// To [`Work::ToSocket`]: the frame has left the object.
    Sent,
}

impl Reply {
    /// Bytes that it occupies while it is held.
    pub fn bytes(&self) -> usize {
        match self {
            Reply::Fetch(response) => headers_bytes(&response.headers) + response.body.held_bytes(),
            Reply::Rpc(value) => value.len(),
            Reply::Alarm(_) => 0,
            Reply::Sql(answer) => answer.rows.iter().map(Value::size_bytes).sum(),
            Reply::Handled | Reply::Sent => 0,
        }
    }
}

fn headers_bytes(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// How an event ended for its caller.
pub type Outcome = Result<Reply, Failure>;

/// W3C trace context that came with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// Header `traceparent`.
    pub traceparent: String,
    /// Header `tracestate`.
    pub tracestate: Option<String>,
}

/// Who stands in line at a mailbox; each is served in its turn (IG-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallerId {
    /// An object, whichever of its events and stubs it is.
    Object(ObjectKey),
    /// A client's connection.
    Connection(Connection),
    /// The operator, and whoever else has no connection.
    Operator,
}

/// Where an event comes from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// Trace to which it belongs.
    pub trace: Option<TraceContext>,
    /// Objects that wait for it.
    pub chain: CallChain,
    /// Who waits for its outcome at the other end of a connection.
    pub client: Client,
}

impl Origin {
    /// In whose line the event stands.
    pub fn caller(&self) -> CallerId {
        match (self.chain.last(), self.client.connection()) {
            (Some(caller), _) => CallerId::Object(caller.key),
            (None, Some(connection)) => CallerId::Connection(connection),
            (None, None) => CallerId::Operator,
        }
    }
}

/// An event on its way to an object, with the way back.
#[derive(Debug)]
pub struct Delivery {
    /// Its number.
    pub id: EventId,
    /// What is to be done.
    pub work: Work,
    /// Where it comes from.
    pub origin: Origin,
    /// Where the outcome goes. Closed once nobody waits any more (ST-10).
    pub reply: oneshot::Sender<Outcome>,
}

impl Delivery {
    /// Answers it with `failure`, without the object having a part in it.
    pub fn refuse(self, failure: Failure) {
        // Its caller may have gone.
        drop(self.reply.send(Err(failure)));
    }
}

/// The failure of an event whose object's task ended before it had answered.
pub fn unanswered(object: ObjectId) -> Failure {
    let text = "the object's task ended without an answer; see the node's log";
    Failure::new(ErrorCode::Internal, text).of_object(object)
}
