//! Class `Sql`: statements in one turn, cursors that stay open over calls, sizes.
//!
//! Driven over RPC by the conformance suite.

use std::collections::{BTreeMap, HashMap};
use std::iter;

use durabo::bindings::durabo::object::sql as wit;
use durabo::sql::{Cursor, SqlError, Value};
use durabo::{Context, Failure};

use crate::step::{self, Outcome, Step};

/// Runs what it is told.
pub struct Sql {
    ctx: Context,
    cursors: HashMap<String, Cursor>,
}

#[durabo::object]
impl Sql {
    /// Makes nothing: the database is as the cases make it.
    pub fn new(ctx: Context) -> Self {
        Self { ctx, cursors: HashMap::new() }
    }

    /// Runs all steps in one turn, whatever becomes of each.
    pub fn run(&mut self, steps: Vec<Step>) -> Vec<Outcome> {
        steps.into_iter().map(|step| self.step(step)).collect()
    }

    /// Runs all steps in one turn and traps: nothing of it may be seen again.
    pub fn run_and_trap(&mut self, steps: Vec<Step>) {
        self.run(steps);
        core::arch::wasm32::unreachable()
    }

    /// Rows as maps by column names.
    pub fn objects(
        &mut self,
        query: String,
        bindings: Vec<Value>,
    ) -> Result<Vec<BTreeMap<String, Value>>, Failure> {
        Ok(self.ctx.sql().exec(&query, bindings)?.all()?)
    }

    /// The only row of a statement and what is left after it.
    pub fn one(&mut self, query: String) -> Result<(Vec<Value>, usize), Failure> {
        let mut cursor = self.ctx.sql().exec(&query, ())?;
        let row = cursor.one()?;
        Ok((row, cursor.raw().count()))
    }

    /// Opens a cursor under a name; it stays open over calls. Reads nothing.
    pub fn open(&mut self, name: String, step: Step) -> Outcome {
        match self.exec(&step) {
            Ok(cursor) => step::take(self.cursors.entry(name).insert_entry(cursor).get_mut(), 0),
            Err(error) => error.into(),
        }
    }

    /// Takes up to so many rows from a cursor.
    pub fn take(&mut self, name: String, rows_max: usize) -> Result<Outcome, Failure> {
        Ok(step::take(self.cursor(&name)?, rows_max))
    }

    /// Takes from several cursors in turn, within one turn of the object: names and numbers of rows.
    pub fn take_each(&mut self, takes: Vec<(String, usize)>) -> Result<Vec<Outcome>, Failure> {
        takes.into_iter().map(|(name, rows_max)| self.take(name, rows_max)).collect()
    }

    /// Opens the cursors and takes from them, all within one turn: names with their statements, then
    /// names and numbers of rows.
    pub fn open_and_take(
        &mut self,
        opens: Vec<(String, Step)>,
        takes: Vec<(String, usize)>,
    ) -> Result<Vec<Outcome>, Failure> {
        for (name, step) in opens {
            let cursor = self.exec(&step)?;
            self.cursors.insert(name, cursor);
        }
        self.take_each(takes)
    }

    /// Drops a cursor; tells whether it was there.
    pub fn close(&mut self, name: String) -> bool {
        self.cursors.remove(&name).is_some()
    }

    /// For each row of the outer statement all rows of the inner one: pairs of first columns.
    pub fn nested(&mut self, outer: String, inner: String) -> Result<Vec<(Value, Value)>, Failure> {
        let mut pairs = Vec::new();
        for left in self.ctx.sql().exec_in_batches(&outer, (), 1)?.raw() {
            let left = first_column(left?)?;
            for right in self.ctx.sql().exec_in_batches(&inner, (), 1)?.raw() {
                pairs.push((left.clone(), first_column(right?)?));
            }
        }
        Ok(pairs)
    }

    /// Sizes of the database before, between and after the steps, all in one turn.
    pub fn size_probe(&mut self, steps: Vec<Step>) -> Result<Vec<u64>, Failure> {
        let mut sizes = vec![self.ctx.sql().database_size()];
        for step in steps {
            self.exec(&step)?;
            sizes.push(self.ctx.sql().database_size());
        }
        Ok(sizes)
    }

    /// Runs a statement with one parameter for each number below `count`, in one call.
    pub fn many_numbers(&mut self, query: String, count: i64) -> Outcome {
        step::written(self.ctx.sql().exec_many(&query, (0..count).map(|number| (number,))))
    }

    /// Runs a statement with one parameter for so many texts of so many bytes, in one call.
    pub fn many_texts(&mut self, query: String, count: usize, bytes: usize) -> Outcome {
        let text = "x".repeat(bytes);
        step::written(self.ctx.sql().exec_many(&query, iter::repeat_n((&text,), count)))
    }

    /// As [`many_texts`](Self::many_texts), by the import itself, past what the SDK looks at.
    pub fn many_texts_unchecked(&mut self, query: String, count: u32, bytes: usize) -> Result<u64, Failure> {
        let texts = vec![Value::Text("x".repeat(bytes)); count as usize];
        self.many_unchecked(query, count, texts)
    }

    /// The import itself, with as many groups and values as are asked for: rows that were written.
    pub fn many_unchecked(
        &mut self,
        query: String,
        groups: u32,
        bindings: Vec<Value>,
    ) -> Result<u64, Failure> {
        let counts = wit::exec_many(&query, groups, &bindings);
        counts
            .map(|counts| counts.rows_written)
            .map_err(|error| Failure::new(error.message).with_code(error.name))
    }

    fn step(&mut self, step: Step) -> Outcome {
        if let Some(groups) = step.groups {
            return step::written(self.ctx.sql().exec_many(&step.query, groups));
        }
        match self.exec(&step) {
            Ok(mut cursor) => step::take(&mut cursor, step.rows.unwrap_or(usize::MAX)),
            Err(error) => error.into(),
        }
    }

    fn exec(&self, step: &Step) -> Result<Cursor, SqlError> {
        match step.batch {
            Some(rows_max) => self.ctx.sql().exec_in_batches(&step.query, &step.bindings[..], rows_max),
            None => self.ctx.sql().exec(&step.query, &step.bindings[..]),
        }
    }

    fn cursor(&mut self, name: &str) -> Result<&mut Cursor, Failure> {
        self.cursors.get_mut(name).ok_or_else(|| Failure::new(format!("no cursor `{name}` is open")))
    }
}

fn first_column(row: Vec<Value>) -> Result<Value, Failure> {
    row.into_iter().next().ok_or_else(|| Failure::new("the statement has no columns"))
}
