//! The workloads that `bench.py` drives, one per first path segment: `/<workload>/<name>`.
//!
//! SQL and answers are those of the peer's class, statement by statement, so that figures compare.
//! `Pinned` is the same class under a second name, for objects that are to stay in memory.

mod workload;

use durabo::{Context, Failure, Message, Request, Response, Socket};
use workload::Workloads;

/// Subject of the benchmarks.
pub struct Obj(Workloads);

/// Subject of the benchmarks.
#[durabo::object]
impl Obj {
    /// Notes when the instance was made; touches no table.
    pub fn new(ctx: Context) -> Self {
        Self(Workloads::new(ctx))
    }

    /// Greets `name`, or this object: a load driver cannot put a name into a body.
    pub fn hello(&mut self, name: Option<String>) -> String {
        self.0.hello(name)
    }

    /// Runs the workload of the path.
    pub fn fetch(&mut self, request: Request) -> Result<Response, Failure> {
        self.0.fetch(&request)
    }

    /// Stores when it ran.
    pub fn alarm(&mut self) -> Result<(), Failure> {
        self.0.alarm()
    }

    /// Sends it to all, tells of the instance, or echoes.
    pub fn websocket_message(&mut self, socket: Socket, message: Message) -> Result<(), Failure> {
        self.0.message(socket, message)
    }
}

/// The same in a namespace of its own.
pub struct Pinned(Workloads);

/// The same in a namespace of its own.
#[durabo::object]
impl Pinned {
    /// Notes when the instance was made; touches no table.
    pub fn new(ctx: Context) -> Self {
        Self(Workloads::new(ctx))
    }

    /// Greets `name`, or this object: a load driver cannot put a name into a body.
    pub fn hello(&mut self, name: Option<String>) -> String {
        self.0.hello(name)
    }

    /// Runs the workload of the path.
    pub fn fetch(&mut self, request: Request) -> Result<Response, Failure> {
        self.0.fetch(&request)
    }

    /// Stores when it ran.
    pub fn alarm(&mut self) -> Result<(), Failure> {
        self.0.alarm()
    }

    /// Sends it to all, tells of the instance, or echoes.
    pub fn websocket_message(&mut self, socket: Socket, message: Message) -> Result<(), Failure> {
        self.0.message(socket, message)
    }
}

durabo::export!(Obj, Pinned);
