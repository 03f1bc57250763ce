//! Capacities, sizes and times that hold for a whole node, each with the attack or failure it stops.
//!
//! Constants are contract (guests and clients see them); what an operator may change is in the
//! configuration of `server` and starts from the defaults given here.

use std::time::Duration;

/// Longest object name that is carried to the object, in bytes (ID-9). Longer names still address
/// their object, since the id is a hash; they are only not reported back.
pub const NAME_CARRIED_BYTES_MAX: usize = 1024;

/// Longest request target of the data plane, in bytes; beyond it 414. Stops a client from making the
/// node decode and hash megabytes per request.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Largest RPC message, arguments or result, in bytes (RP-6).
pub const RPC_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Largest HTTP body that is handed to a guest or taken from one as a whole, in bytes.
pub const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Largest HTTP body of known length that is handed to a guest whole, in bytes; others come in pieces.
pub const BODY_INLINE_BYTES_MAX: usize = 64 * 1024;

/// What one body in pieces may have under way on the host's side, in bytes: taken from its writer and not
/// yet by its reader. Stops a writer that is faster than its reader from filling memory.
pub const PIECES_BYTES_MAX: usize = 64 * 1024;

/// What a piece of a body counts at least toward [`PIECES_BYTES_MAX`], in bytes. Stops a writer of single bytes
/// from holding a multiple of that in what surrounds them.
pub const PIECE_BYTES_COUNTED_MIN: usize = 256;

/// All header names and values of one request together, in bytes.
pub const HEADERS_BYTES_MAX: usize = 64 * 1024;

/// Most egress rules of one app; each request looks through them.
pub const EGRESS_RULES_MAX: usize = 100;

/// Largest component that may be uploaded, in bytes. A Python component is about 20 MB.
pub const COMPONENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Description sections of a component together, in bytes; a larger one is not a description.
pub const DESCRIPTION_BYTES_MAX: usize = 1024 * 1024;

/// Longest statement text, in bytes (SQ-24).
pub const SQL_STATEMENT_BYTES_MAX: usize = 100_000;

/// Most bindings of one statement (SQ-24).
pub const SQL_BINDINGS_MAX: usize = 100;

/// Most columns of a table or result (SQ-24).
pub const SQL_COLUMNS_MAX: usize = 100;

/// Largest value or row, in bytes (SQ-24).
pub const SQL_VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Texts of cached statements together, in bytes (SQ-7); stops a guest that makes ever new texts.
pub const SQL_CACHE_BYTES_MAX: usize = 1024 * 1024;

/// Rows that a writing statement returns are kept whole up to this many bytes; beyond it the
/// statement is undone, since it must not stay half-run over the end of a turn.
pub const SQL_RETURNING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Rows read ahead from an open cursor when its turn ends, in bytes (SQ-14). A longer rest answers
/// `cursor-closed`: no statement may stay active over a turn end, or it would pin the WAL for ever.
pub const CURSOR_READ_AHEAD_BYTES_MAX: usize = 1024 * 1024;

/// Rows that all cursors of one object keep in memory, in bytes: what was read ahead and what writing
/// statements returned. Stops a guest from multiplying those bounds by the number of cursors.
pub const CURSORS_KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Cursors that one instance may hold open; stops a guest that opens and forgets them.
pub const CURSORS_OPEN_MAX: usize = 1000;

/// Bytes of rows in one answer to `cursor.next`.
pub const ROWS_BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Keys or entries of one call on keys and values (KV-11).
pub const KV_KEYS_MAX: usize = 128;

/// Longest key, in bytes (KV-11).
pub const KV_KEY_BYTES_MAX: usize = 2048;

/// Largest key with its value, in bytes (KV-11).
pub const KV_ENTRY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Entries of one list, in bytes. Stops an answer that fills the memory of guest and host.
pub const KV_LIST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Entries that one call gets by their keys, in bytes. Larger than that of a list: old programs may get as many
/// values of 128 KiB as a call may have keys.
pub const KV_GET_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What an entry counts toward these two besides its key and value, in bytes. Stops small entries without number,
/// which take more room than they are.
pub const KV_ENTRY_BYTES_COUNTED: usize = 64;

/// Latest time of an alarm, in ms since 1970: the end of 2189 (AL-1).
pub const ALARM_TIME_MS_MAX: u64 = 6_942_585_600_000 - 1;

/// Counted retries of an alarm; then it is given up (AL-11). Stops a handler that always fails from taking the
/// node's time for ever.
pub const ALARM_RETRIES_MAX: u32 = 6;

/// How often the wait before a retry that is not counted doubles (AL-12).
pub const ALARM_DOUBLINGS_MAX: u32 = 9;

/// Past runs of an object's alarm that the node keeps.
pub const ALARM_RUNS_KEPT_MAX: usize = 100;

/// Bytes that the node keeps of what a past run's failure said; the rest is cut off.
pub const ALARM_RUN_ERROR_BYTES_MAX: usize = 256;

/// Time after which an alarm's run leaves its place among `alarm_runs_max` to others. Stops handlers that wait for
/// ever from holding up all alarms of the node.
pub const ALARM_PLACE_TIME: Duration = Duration::from_secs(5);

/// Past runs of all alarms together that the node keeps in memory; beyond it the oldest are forgotten. Stops many
/// objects from multiplying the bound of one.
pub const NODE_ALARM_RUNS_KEPT_MAX: usize = 100_000;

/// Savepoints within one another. Stops recursion that never ends.
pub const SAVEPOINTS_NESTED_MAX: usize = 64;

/// Failure texts longer than this are cut, in bytes.
pub const FAILURE_MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Failure details longer than this are dropped, in bytes.
pub const FAILURE_DETAILS_BYTES_MAX: usize = 64 * 1024;

/// Longest failure code and name, in bytes.
pub const FAILURE_CODE_BYTES_MAX: usize = 64;

/// One log line of a guest, text and fields together, in bytes; the rest is cut.
pub const LOG_LINE_BYTES_MAX: usize = 16 * 1024;

/// Lines that one instance may log in a second, of all its streams together; more are dropped and
/// counted. Stops a flood from filling the disk and hiding the lines of others.
pub const LOG_LINES_PER_SECOND_MAX: usize = 1000;

/// Bytes that one instance may log in a second, of all its streams together; more are dropped.
pub const LOG_BYTES_PER_SECOND_MAX: usize = 1024 * 1024;

/// An instance without work for this long gives back the pages that SQLite has cached for it. Far less than
/// `hibernate_after`: of many objects most are between the two, and the pages are read again in microseconds.
pub const REST_AFTER: Duration = Duration::from_secs(1);

/// How far the in-memory WAL may outgrow `wal_bytes_max`, as a factor, before a turn's first write waits
/// for the disk. Stops one event that writes and pauses in a loop, between which no checkpoint fits.
pub const WAL_OVERRUN_FACTOR: usize = 4;

/// How far the in-memory WALs of all objects may outgrow `node_wal_bytes_max`, as a factor, before a turn of an
/// object that has one first brings it into its file. Stops many objects that write faster than the disk takes
/// their checkpoints.
pub const NODE_WAL_OVERRUN_FACTOR: usize = 2;

/// Objects of one chain of calls that wait for one another (ST-12). Stops recursion that never ends.
pub const CALL_CHAIN_MAX: usize = 64;

/// Bytes of the calls of one instance that wait for its output gate or for a place in memory. Stops one
/// turn from sending without bound while nothing of it may leave.
pub const CALLS_WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Levels of nested critical sections (IG-7). Stops recursion that never ends from holding the object.
pub const SECTIONS_NESTED_MAX: usize = 64;

/// Sockets of one object (WS-4).
pub const SOCKETS_PER_OBJECT_MAX: usize = 32_768;

/// Sockets of one object that it has accepted and not returned in a response, besides one for each event that is under
/// way. Stops an object from filling memory with sockets that no client has.
pub const SOCKETS_UNRETURNED_MAX: usize = 64;

/// Distinct tags of one socket (WS-3).
pub const SOCKET_TAGS_MAX: usize = 10;

/// Longest tag, in bytes (WS-3).
pub const SOCKET_TAG_BYTES_MAX: usize = 256;

/// Largest value that is kept with a socket, in bytes (WS-11).
pub const SOCKET_ATTACHMENT_BYTES_MAX: usize = 16_384;

/// Longest text that is answered without the object, and its answer, in bytes (WS-24).
pub const SOCKET_AUTO_RESPONSE_BYTES_MAX: usize = 2048;

/// Longest reason of a closing frame, in bytes (WS-22): control frames have no room for more.
pub const SOCKET_CLOSE_REASON_BYTES_MAX: usize = 123;

/// Longest time that a handler of a socket's event may be given (WS-28).
pub const SOCKET_EVENT_TIMEOUT_MAX: Duration = Duration::from_millis(604_800_000);

/// Largest message of a socket, either way, in bytes (WS-17). Stops a client from filling memory with a message that
/// never ends.
pub const SOCKET_MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Events of one socket that wait for its object, at most; then nothing more is read from the client.
pub const SOCKET_EVENTS_WAITING_MAX: usize = 32;

/// The same by their bytes; one larger message passes.
pub const SOCKET_WAITING_BYTES_MAX: usize = 64 * 1024;

/// What a frame counts besides what it carries, in bytes. Stops an object from queueing empty frames without number.
pub const SOCKET_FRAME_BYTES_COUNTED: usize = 64;

/// What a socket may hold of messages that have not come whole, and of frames that wait, however much others hold, in
/// bytes. Stops sockets that hold much from taking the little that others need to go on.
pub const SOCKET_SHARE_BYTES_MIN: usize = 4 * 1024;

/// Shortest and longest interval of a named alarm, in ms: a second, and 100 years (SC-3). The first stops one that
/// does nothing but run.
pub const SCHEDULE_INTERVAL_MS_MIN: u64 = 1000;
/// See [`SCHEDULE_INTERVAL_MS_MIN`].
pub const SCHEDULE_INTERVAL_MS_MAX: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// How far ahead the next time of a cron rule is looked for, in days: 100 years (SC-4). Stops a rule without any time
/// from being looked at for ever.
pub const SCHEDULE_DAYS_MAX: u32 = 100 * 366;

/// Most bytes of the name of a named alarm (SC-1).
pub const SCHEDULE_NAME_BYTES_MAX: usize = 256;

/// Most bytes that a named alarm hands to its handler. What is larger belongs into the database.
pub const SCHEDULE_PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// Most named alarms of an object. Stops one object from being woken without end.
pub const SCHEDULES_MAX: usize = 10_000;

/// Longest cron rule, and longest time zone, in bytes. Stops rules that are slow to read.
pub const SCHEDULE_RULE_BYTES_MAX: usize = 256;

/// Most rows of one answer to an operator's SQL; who wants more pages through them.
pub const OPERATOR_ROWS_MAX: u32 = 10_000;

/// Operators who may watch events at once. Stops forgotten ones from making every event dearer.
pub const TAILS_MAX: usize = 16;

/// Events that wait for an operator who watches; those beyond are left out and counted. Stops one who does not read
/// from holding memory or objects up.
pub const TAIL_EVENTS_WAITING_MAX: usize = 1024;

/// Bytes of a path, a method's name or a message that is shown to who watches; what is longer is cut.
pub const TAIL_TEXT_BYTES_MAX: usize = 512;

/// Limits and times that an operator may set, with their defaults.
#[derive(Debug, Clone)]
pub struct ObjectLimits {
    /// Objects in memory at once; `None` for as many as the system carries. A further one waits until
    /// the one that was not used for longest has left. Stops a client that touches ever new objects
    /// from using up mappings, files and memory.
    pub live_objects_max: Option<usize>,
    /// Resident memory of the node's process, in bytes, beyond which objects without work leave early; `None`
    /// for a part of what the machine or the control group has. Stops the system from ending the node.
    pub node_resident_bytes_max: Option<usize>,
    /// How long an event waits for its object to find a place in memory; then it gets `overloaded`.
    pub place_wait: Duration,
    /// Events that may wait in one object's mailbox; beyond it callers get `overloaded` (ST-7).
    pub mailbox_events_max: usize,
    /// Bytes of events that may wait in one object's mailbox.
    pub mailbox_bytes_max: usize,
    /// Events of one instance that may be in the guest at once.
    pub events_in_flight_max: usize,
    /// An object takes no further event while so many of its asynchronous imports are under way. Stops
    /// new events from coming before the completions of older ones for ever.
    pub imports_while_taking_max: usize,
    /// Asynchronous imports of one instance that may be under way; beyond it the object is reset. Stops
    /// a storm of timers.
    pub imports_unfinished_max: usize,
    /// Bodies in pieces that one instance may have open, of requests and responses together; beyond it a
    /// request is answered with `overloaded`. Each may hold [`PIECES_BYTES_MAX`] on the host's side.
    pub bodies_open_max: usize,
    /// Requests of one event to the outside that wait for the head of their response at once; further ones
    /// wait for their turn (LC-14).
    pub requests_at_once_max: usize,
    /// An object takes no further event while so many of its answers and other outputs wait for the disk.
    /// Stops clients from piling up answers while it stalls: an event that has returned is no longer
    /// counted in flight.
    pub outputs_held_max: usize,
    /// The same by the bytes of the answers of one object.
    pub outputs_held_bytes_max: usize,
    /// The same by the bytes of the answers of all objects together; one that holds none goes on. Stops
    /// many objects from multiplying the bound of one.
    pub node_outputs_held_bytes_max: usize,
    /// An object without work drops its instance after this long; it stays in memory with its database open
    /// (LC-10).
    pub hibernate_after: Duration,
    /// An object without an instance closes its database after this long and leaves memory.
    pub close_after: Duration,
    /// How long in-flight events may go on after their class was deployed anew (LC-13).
    pub drain: Duration,
    /// CPU time per event, SQL included (LC-14).
    pub cpu_per_event: Duration,
    /// Memory of one instance: all its Wasm memories and tables together, in bytes (LC-14).
    pub memory_bytes_max: usize,
    /// In-memory WAL of one object; beyond it the object is checkpointed before it goes on.
    pub wal_bytes_max: usize,
    /// In-memory WALs of all objects together; beyond it the objects with the largest are checkpointed. Stops
    /// many objects from multiplying the bound of one.
    pub node_wal_bytes_max: usize,
    /// An object whose oldest commit that is not in its file is older than this is checkpointed, within an eighth
    /// of it. Bounds what a start after a crash has to read and apply, also while nothing else happens.
    pub checkpoint_after: Duration,
    /// Pages of one turn's transaction, in bytes; beyond it the statement fails with SQLITE_FULL.
    pub transaction_bytes_max: usize,
    /// Memory that SQLite may take for the statements of one object, in bytes; beyond it the statement
    /// fails with SQLITE_NOMEM. Stops sorts, aggregates and recursive queries from eating the node's memory.
    pub sql_memory_bytes_max: usize,
    /// Largest database file, in pages of 4096 bytes (SQ-25).
    pub database_pages_max: u32,
    /// Time that an operator's SQL may take, since it holds the object meanwhile.
    pub operator_sql_time_max: Duration,
    /// A constructor that takes longer resets the object, as a critical section would (IG-9).
    pub start_timeout: Duration,
    /// Resets in a row, of instances that answered nothing, after which the next instance starts without a
    /// wait. Stops an object that always breaks from taking the node's time with its starts.
    pub resets_free: u32,
    /// The first wait after that; each further one is twice as long.
    pub reset_wait: Duration,
    /// The longest such wait.
    pub reset_wait_max: Duration,
    /// A critical section that is open for longer resets the object (IG-9). Stops one that waits for what
    /// never comes from holding all other events for ever.
    pub section_timeout: Duration,
    /// A commit that is not durable after this long resets its object, which starts again when it is known
    /// whether the commit is durable (OG-7). Stops a disk that stalls from holding callers for ever.
    pub commit_timeout: Duration,
    /// Work that nobody waits for keeps its object in memory for so long at most, and then the object is reset
    /// (LC-15): what an event left behind when it had answered, or an event whose caller has gone. Stops work
    /// that waits for what never comes from holding a place in memory for ever.
    pub pending_work_timeout: Duration,
    /// Wait before the first retry of an alarm that has failed, without the random part; each further wait is
    /// twice as long (AL-11).
    pub alarm_retry_wait: Duration,
    /// A run of an alarm that takes longer resets the object and counts as failed (AL-18). Stops a handler that
    /// waits for what never comes from holding back the alarm for ever.
    pub alarm_run_timeout: Duration,
    /// Alarms of the node that run at once; those that are due beyond it wait, the oldest first. Stops a node that
    /// was down from starting all the objects whose alarms are overdue at once.
    pub alarm_runs_max: usize,
    /// Bytes of frames that wait for one client of a socket; one that does not keep up is closed with code 1013. A
    /// single frame always passes. Less than this, for what a client has had the time to take, if half of what is free
    /// of the two bounds below is less, so that those who do not keep up take nothing from the others. Stops a client
    /// that never reads from filling memory.
    pub socket_outgoing_bytes_max: usize,
    /// Bytes of frames that one object has asked for and that are not on the connections of its clients; what a
    /// broadcast carries counts once. Beyond it, or beyond half of what is free of the node's, sending fails. Stops a
    /// turn from sending without bound, be it while nothing of it may leave.
    pub sockets_outgoing_bytes_max: usize,
    /// The same of all objects together. Stops many objects from multiplying the bound of one.
    pub node_sockets_outgoing_bytes_max: usize,
    /// Bytes of messages of all clients that have not come whole or that wait for their objects. A socket whose
    /// message grows to more than half of what is free is closed with code 1013. Stops many clients that begin a
    /// large message and do not end it, or whose objects do not take it.
    pub node_sockets_incoming_bytes_max: usize,
    /// WebSockets to the outside that one object may have open; further ones are refused (WS-33). Stops an object from
    /// taking all connections that the node may have to the outside.
    pub outgoing_sockets_max: usize,
}

impl Default for ObjectLimits {
    fn default() -> Self {
        Self {
            live_objects_max: None,
            node_resident_bytes_max: None,
            place_wait: Duration::from_secs(5),
            mailbox_events_max: 1024,
            mailbox_bytes_max: 64 * 1024 * 1024,
            events_in_flight_max: 1024,
            imports_while_taking_max: 1000,
            imports_unfinished_max: 10_000,
            bodies_open_max: 1000,
            requests_at_once_max: 6,
            outputs_held_max: 4096,
            outputs_held_bytes_max: 64 * 1024 * 1024,
            node_outputs_held_bytes_max: 512 * 1024 * 1024,
            hibernate_after: Duration::from_secs(10),
            close_after: Duration::from_secs(10),
            drain: Duration::from_secs(30),
            cpu_per_event: Duration::from_secs(30),
            memory_bytes_max: 128 * 1024 * 1024,
            wal_bytes_max: 4 * 1024 * 1024,
            node_wal_bytes_max: 256 * 1024 * 1024,
            checkpoint_after: Duration::from_secs(60),
            transaction_bytes_max: 64 * 1024 * 1024,
            sql_memory_bytes_max: 64 * 1024 * 1024,
            database_pages_max: 2_621_440, // 10 GiB, as the hosted service
            operator_sql_time_max: Duration::from_secs(10),
            start_timeout: Duration::from_secs(30),
            resets_free: 5,
            reset_wait: Duration::from_millis(10),
            reset_wait_max: Duration::from_secs(1),
            section_timeout: Duration::from_secs(30),
            commit_timeout: Duration::from_secs(30),
            pending_work_timeout: Duration::from_secs(15 * 60),
            alarm_retry_wait: Duration::from_secs(2),
            alarm_run_timeout: Duration::from_secs(15 * 60),
            alarm_runs_max: 500,
            socket_outgoing_bytes_max: 16 * 1024 * 1024,
            sockets_outgoing_bytes_max: 64 * 1024 * 1024,
            node_sockets_outgoing_bytes_max: 512 * 1024 * 1024,
            node_sockets_incoming_bytes_max: 512 * 1024 * 1024,
            outgoing_sockets_max: 100,
        }
    }
}

/// What clients of the data plane may take, with the defaults.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Connections to the data plane at once, a tenth of it to the control plane; beyond it the one that has
    /// been idle longest is closed, and if none is idle further ones wait. At start it is bounded by the files
    /// that the process may open, which it shares with `sockets_max`. Stops clients from using up files and memory by opening connections.
    pub connections_max: usize,
    /// Time in which a request's head must have come whole; also how long an idle connection is kept.
    /// Stops clients that open connections and say nothing, or one byte a second.
    pub head_timeout: Duration,
    /// How long a connection may take nothing of what is written to it; then it is cut. Stops clients that
    /// never read.
    pub write_timeout: Duration,
    /// Longest silence while more of a request's body is awaited. Stops clients that hold a request open for
    /// nothing.
    pub body_silence_max: Duration,
    /// Largest request body, in bytes, whole or in pieces.
    pub request_body_bytes_max: u64,
    /// Bytes of arguments of calls that are still arriving, of all clients together and beyond the first
    /// [`BODY_INLINE_BYTES_MAX`] of each. Stops many clients that begin a large call and do not end it.
    pub arguments_bytes_max: usize,
    /// WebSockets at once; beyond it an upgrade is answered with `overloaded`. At start it is bounded by the files that
    /// the process may open, which it shares with `connections_max`. Stops clients from using up files and memory.
    pub sockets_max: usize,
    /// A socket whose client has sent nothing for so long is sent a ping, and is lost if nothing comes for as long
    /// again. The object is not woken for it. Finds clients that went away without a word.
    pub socket_silence_max: Duration,
    /// How long a client may take to answer a closing frame; then its connection is cut.
    pub socket_close_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            head_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            body_silence_max: Duration::from_secs(60),
            request_body_bytes_max: 1024 * 1024 * 1024,
            arguments_bytes_max: 512 * 1024 * 1024,
            sockets_max: 32_768,
            socket_silence_max: Duration::from_secs(60),
            socket_close_timeout: Duration::from_secs(10),
        }
    }
}

/// What requests of objects to the outside may take, with the defaults.
#[derive(Debug, Clone)]
pub struct OutgoingLimits {
    /// Requests to the outside of all objects together, each with a connection until its response has been
    /// read, and WebSockets, which may be half of them; further ones fail. At start it is bounded by the files that
    /// the process may open. Stops objects from using up the node's files.
    pub connections_max: usize,
    /// Names that are looked up at once; further ones wait, within [`connect_timeout`](Self::connect_timeout). A
    /// look-up counts until the system ends it. Stops objects from taking the node's threads with names whose
    /// servers are silent.
    pub lookups_max: usize,
    /// Time to find the host's addresses, connect to one of them, and agree on encryption. Addresses are tried one
    /// after the other, each for an equal part of what is left and a second at least.
    pub connect_timeout: Duration,
    /// Time without any progress until the head of the response is there; what the object itself takes to
    /// write its request does not count. Stops servers that accept and never answer.
    pub head_timeout: Duration,
    /// Longest silence while more of a response's body is awaited.
    pub body_silence_max: Duration,
}

impl Default for OutgoingLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            lookups_max: 64,
            connect_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(60),
            body_silence_max: Duration::from_secs(60),
        }
    }
}

/// What compiling one component may take, with the defaults. Stops a component that was made to be
/// slow or large to compile from taking the node down with it.
#[derive(Debug, Clone)]
pub struct CompileLimits {
    /// Memory of the compiler, code included, in bytes. 20 MB of ordinary code need some 600 MiB.
    pub memory_bytes_max: u64,
    /// CPU time on all cores together, in whole seconds; a part of one counts as one.
    /// 20 MB of ordinary code take half a minute.
    pub cpu: Duration,
    /// Time from start to end, waiting for the CPU included: uploads are compiled one at a time, and
    /// the next must not wait for ever. The compiler has a low priority and may get a tenth of a core.
    pub wall: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 2 * 1024 * 1024 * 1024,
            cpu: Duration::from_secs(600),
            wall: Duration::from_secs(900),
        }
    }
}

/// What the node leaves of the disk, with the default.
#[derive(Debug, Clone)]
pub struct DiskLimits {
    /// Space that the change log leaves free, in bytes; at most an eighth of the file system. Turns may not begin to
    /// write while less is free. Checkpoints grow into it when the disk is full: without it nothing of the log
    /// could be given up then.
    pub reserve_bytes: u64,
    /// Bytes of the change log; beyond it the objects that hold it back are checkpointed. Bounds what the log takes
    /// of the disk, however long objects do nothing, and what a start after a crash has to read.
    pub log_bytes_max: u64,
}

impl Default for DiskLimits {
    fn default() -> Self {
        Self { reserve_bytes: 128 * 1024 * 1024, log_bytes_max: 64 * 1024 * 1024 }
    }
}
