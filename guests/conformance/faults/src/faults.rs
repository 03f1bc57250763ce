//! Class `Faults`: one method per way of going wrong, and `ping` to see that it is well again.
//!
//! Driven over RPC by the conformance suite.

use std::hint::black_box;

use durabo::{Context, Failure, Request, Response, log};

/// Misbehaves on request.
pub struct Faults {
    ctx: Context,
}

#[durabo::object]
impl Faults {
    /// Makes the table in which writes of broken turns would show.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql().exec("CREATE TABLE IF NOT EXISTS traces (what TEXT NOT NULL)", ())?;
        Ok(Self { ctx })
    }

    /// Says that it is there.
    pub fn ping(&mut self) -> String {
        "pong".to_owned()
    }

    /// What broken turns left behind: nothing, if all is well.
    pub fn traces(&mut self) -> Result<Vec<String>, Failure> {
        Ok(self.ctx.sql().exec("SELECT what FROM traces", ())?.all()?)
    }

    /// Loops for ever.
    pub fn spin(&mut self) -> Result<(), Failure> {
        self.trace("spin")?;
        let mut turns = 0_u64;
        loop {
            turns = black_box(turns.wrapping_add(1));
        }
    }

    /// Runs a statement for ever.
    pub fn spin_in_sql(&mut self) -> Result<i64, Failure> {
        let mut rows = self.ctx.sql().exec(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
            (),
        )?;
        Ok(rows.one()?)
    }

    /// Allocates without end.
    pub fn allocate(&mut self) -> Result<u64, Failure> {
        self.trace("allocate")?;
        let mut blocks: Vec<Vec<u8>> = Vec::new();
        loop {
            blocks.push(black_box(vec![1; 1 << 20]));
        }
    }

    /// Calls itself until the stack ends.
    pub fn recurse(&mut self) -> Result<u64, Failure> {
        self.trace("recurse")?;
        Ok(deeper(black_box(0)))
    }

    /// Panics with a text.
    pub fn panic(&mut self, text: String) -> Result<(), Failure> {
        self.trace("panic")?;
        panic!("{text}")
    }

    /// Traps.
    pub fn trap(&mut self) -> Result<(), Failure> {
        self.trace("trap")?;
        core::arch::wasm32::unreachable()
    }

    /// Answers bytes that are no CBOR. The component's export does that; here it is only listed.
    pub fn garbage(&mut self) -> Result<(), Failure> {
        Err(Failure::new("`garbage` is answered by the component's export"))
    }

    /// Fails with an error that passes through `?` on its way out.
    pub fn thrown(&mut self) -> Result<(), Failure> {
        let failing = || Err(Failure::new("x").with_name("TypeError"));
        failing()?;
        Ok(())
    }

    /// The component's export answers a record of its own; here it is only listed.
    pub fn returned(&mut self) -> Result<(), Failure> {
        Err(Failure::new("`returned` is answered by the component's export"))
    }

    /// Writes so many lines each to the log, standard output and standard error.
    pub fn noise(&mut self, lines: u32) {
        for line in 1..=lines {
            log::info("noise in the log", &[("line", &line)]);
            println!("noise on stdout, line {line}");
            eprintln!("noise on stderr, line {line}");
        }
    }

    /// `/status/{number}` answers with that status, whatever it is; `/panic` panics.
    pub fn fetch(&mut self, request: Request) -> Result<Response, Failure> {
        let segments = request.segments();
        match segments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["status", status] => Ok(Response::new(status.parse()?)),
            ["panic"] => panic!("panicked in fetch"),
            _ => Ok(Response::text("pong")),
        }
    }

    fn trace(&self, what: &str) -> Result<(), Failure> {
        self.ctx.sql().exec("INSERT INTO traces (what) VALUES (?)", (what,))?;
        Ok(())
    }
}

/// Not a tail call: each level keeps a piece of stack that is looked at on the way back.
#[allow(unconditional_recursion)]
fn deeper(level: u64) -> u64 {
    let piece = black_box([level; 32]);
    deeper(black_box(level + 1)) + piece.iter().sum::<u64>()
}
