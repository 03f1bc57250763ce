//! The stable codes of errors that the node itself raises, with the kind and HTTP status of each.
//!
//! A code never changes its meaning. `docs/errors.md` explains every one; the tidy test compares the
//! two lists. Codes of guests are their own and are not listed here.

use crate::failure_kind::FailureKind;

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal, $kind:ident, $status:literal;)+) => {
        /// A code of the node's own errors.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $($(#[doc = $doc])+ $variant,)+ }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)+];

            /// The code as it appears in error records, in kebab-case.
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$variant => $text,)+ }
            }

            /// Class of the failure that carries the code.
            pub const fn kind(self) -> FailureKind {
                match self { $(ErrorCode::$variant => FailureKind::$kind,)+ }
            }

            /// Status of an HTTP answer that carries the code.
            pub const fn http_status(self) -> u16 {
                match self { $(ErrorCode::$variant => $status,)+ }
            }
        }
    };
}

error_codes! {
    /// The request's address is malformed.
    InvalidAddress = "invalid-address", InvalidArgument, 400;
    /// An id text is malformed or of another namespace.
    InvalidObjectId = "invalid-object-id", InvalidArgument, 400;
    /// RPC arguments or another body cannot be read.
    InvalidBody = "invalid-body", InvalidArgument, 400;
    /// No token, or a wrong one.
    Unauthorized = "unauthorized", Denied, 401;
    /// The request's `Host` or origin may not reach this listener.
    ForeignOrigin = "foreign-origin", Denied, 403;
    /// Nothing answers at this address.
    NotFound = "not-found", NotFound, 404;
    /// No app of that name.
    AppNotFound = "app-not-found", NotFound, 404;
    /// The app has no class of that name.
    ClassNotFound = "class-not-found", NotFound, 404;
    /// The class has no RPC method of that name (RP-2).
    MethodNotFound = "method-not-found", NotFound, 404;
    /// The name is reserved and cannot be called over RPC (RP-3).
    MethodReserved = "method-reserved", InvalidArgument, 400;
    /// The class does not handle this kind of event (LC-18).
    HandlerMissing = "handler-missing", NotFound, 404;
    /// The address exists, but not with this HTTP method.
    MethodNotAllowed = "method-not-allowed", InvalidArgument, 405;
    /// The request target is too long.
    TargetTooLong = "target-too-long", LimitExceeded, 414;
    /// A body is larger than the limit.
    BodyTooLarge = "body-too-large", LimitExceeded, 413;
    /// A body ended before it was whole: its sender left, fell silent, or gave up.
    BodyBroken = "body-broken", Disconnected, 502;
    /// The app's egress rules do not allow a request to the outside.
    EgressDenied = "egress-denied", Denied, 403;
    /// A request to the outside could not be sent, or got no response.
    OutgoingFailed = "outgoing-failed", Disconnected, 502;
    /// The upload is not a component that this node can run.
    InvalidComponent = "invalid-component", InvalidArgument, 422;
    /// A deployment contradicts what is there.
    DeploymentRefused = "deployment-refused", InvalidState, 409;
    /// The object's mailbox is full (ST-7).
    Overloaded = "overloaded", Overloaded, 503;
    /// The object is busy in the very call chain that calls it again (ST-12).
    ObjectBusy = "object-busy", InvalidState, 409;
    /// Too many objects wait for one another in one chain of calls (ST-12).
    CallChainTooDeep = "call-chain-too-deep", LimitExceeded, 500;
    /// The deployment has no namespace binding of that name.
    BindingNotFound = "binding-not-found", NotFound, 500;
    /// The instance was reset while the event was under way.
    ObjectReset = "object-reset", Reset, 500;
    /// The guest called `abort` (LC-7).
    ObjectAborted = "object-aborted", Reset, 500;
    /// The class was deployed anew and the event did not end in time (LC-13).
    CodeUpdated = "code-updated", Reset, 500;
    /// The guest trapped or panicked (LC-8).
    GuestTrapped = "guest-trapped", Reset, 500;
    /// The guest used more CPU time than an event may (LC-14).
    CpuLimitExceeded = "cpu-limit-exceeded", Reset, 500;
    /// The guest used more memory than an instance may (LC-14).
    MemoryLimitExceeded = "memory-limit-exceeded", Reset, 500;
    /// The guest has more imports under way than an instance may (LC-14).
    ImportLimitExceeded = "import-limit-exceeded", Reset, 500;
    /// The constructor did not return in time.
    StartTimeout = "start-timeout", Reset, 500;
    /// A critical section was open for too long (IG-9).
    SectionTimeout = "section-timeout", Reset, 500;
    /// Work that nobody waits for was not done in time (LC-15).
    PendingWorkTimeout = "pending-work-timeout", Reset, 500;
    /// A handler of a socket's event took too long (WS-28).
    SocketTimeout = "socket-timeout", Reset, 500;
    /// Something was to be sent on a socket after the object had closed it (WS-23), or by an operator while it closes.
    SocketClosed = "socket-closed", InvalidState, 409;
    /// A socket's connection failed: what came was no valid frame, too large, or it was lost while it was closing (WS-20).
    SocketFailed = "socket-failed", Disconnected, 500;
    /// A request for a WebSocket that is no valid one.
    InvalidUpgrade = "invalid-upgrade", InvalidArgument, 400;
    /// A commit was not durable in time (OG-7).
    CommitTimeout = "commit-timeout", Reset, 500;
    /// A run of the alarm took too long (AL-18).
    AlarmTimeout = "alarm-timeout", Reset, 500;
    /// Another place owns the object by now.
    ObjectMoved = "object-moved", Reset, 503;
    /// A critical section was to open within one that had been left.
    SectionLeft = "section-left", InvalidState, 500;
    /// A savepoint was to be ended that is not open, or not the innermost one.
    SavepointEnded = "savepoint-ended", InvalidState, 500;
    /// Everything was to be removed within a savepoint or a transaction (TX-9).
    WipeInTransaction = "wipe-in-transaction", InvalidState, 500;
    /// A transaction was used after its end (TX-7, TX-8).
    TransactionEnded = "transaction-ended", InvalidState, 500;
    /// It cannot be done while this transaction or savepoint is open (TX-10).
    TransactionOpen = "transaction-open", InvalidState, 500;
    /// The guest returned something that is no answer.
    InvalidGuestResult = "invalid-guest-result", Application, 500;
    /// The object's storage failed or refused the commit (OG-10, OG-11).
    StorageFailed = "storage-failed", Storage, 500;
    /// SQL of an operator was refused or failed.
    SqlFailed = "sql-failed", InvalidArgument, 400;
    /// A cursor was read after its rows were given up (SQ-14).
    CursorClosed = "cursor-closed", InvalidState, 500;
    /// The object's file was changed by another program, or is damaged.
    FileForeign = "file-foreign", Storage, 500;
    /// This node does not serve the function.
    Unsupported = "unsupported", Unsupported, 501;
    /// An argument of an import is malformed or out of range.
    InvalidArgument = "invalid-argument", InvalidArgument, 400;
    /// Something of the guest's is over a limit.
    LimitExceeded = "limit-exceeded", LimitExceeded, 500;
    /// The node is stopping.
    Stopping = "stopping", Disconnected, 503;
    /// The node's own fault; the message is a reference to its log (ST-6).
    Internal = "internal", Internal, 500;
}
