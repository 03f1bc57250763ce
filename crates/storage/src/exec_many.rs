//! One writing statement for many groups of bindings in one call, all or nothing (EM-1 to EM-8).
//!
//! The statement is compiled, looked up and guarded once; each group is bound and run to its end.

use crate::cursor::Running;
use crate::database::Database;
use crate::exec::{behind, no_statement};
use crate::sql_error::{NOT_ONE_WRITE, SqlError, WRONG_BINDINGS};
use crate::statement::{Counts, Statement};
use crate::value::Value;

/// What the groups cost together.
#[derive(Default)]
struct Spent {
    rows_read: u64,
    steps: u64,
}

impl Database {
    /// Runs the one statement of `query`, which writes, once for each of `groups` groups of `bindings`, and drops
    /// its rows. If a group fails, nothing of it stays, and the message names the group.
    /// [`cost`](Self::cost) is then that of one group of those that ran.
    pub fn exec_many(&mut self, query: &str, groups: u32, bindings: &[Value]) -> Result<Counts, SqlError> {
        self.cost = 0;
        self.check_poison()?;
        self.within_memory(|database| {
            let mut running = database.one_write(query)?;
            let result = database.run_groups(&mut running.statement, groups, bindings);
            database.put_back(Some(running));
            result
        })
        .map_err(|error| self.explained(error))
    }

    /// The statement of a text that is one statement that writes.
    fn one_write(&mut self, query: &str) -> Result<Running, SqlError> {
        let mut running = match self.cache.take(query) {
            Some((text, statement)) => Running { statement, text: Some(text) },
            None => {
                let prepared = self.connection.prepare_but_pragmas(query);
                let prepared = prepared.map_err(|error| self.noticed(error))?;
                let (statement, used) = prepared.ok_or_else(no_statement)?;
                if !behind(query, used).is_empty() {
                    let text = "`exec-many` takes one statement, and nothing but white space may follow it; \
                                run several with `exec`";
                    return Err(SqlError::host(NOT_ONE_WRITE, text));
                }
                Running { statement, text: Some(query.to_owned()) }
            }
        };
        if running.statement.is_read_only() || running.statement.is_explain() {
            self.put_back(Some(running));
            let text =
                "`exec-many` takes a statement that writes, and this one only reads; run it with `exec`";
            return Err(SqlError::host(NOT_ONE_WRITE, text));
        }
        Ok(running)
    }

    fn run_groups(
        &mut self,
        statement: &mut Statement,
        groups: u32,
        bindings: &[Value],
    ) -> Result<Counts, SqlError> {
        let parameters = statement.parameters();
        if parameters == 0 {
            let text =
                "`exec-many` takes a statement with parameters, and this one has none; run it with `exec`";
            return Err(SqlError::host(WRONG_BINDINGS, text));
        }
        if bindings.len() as u64 != u64::from(groups) * parameters as u64 {
            let text = format!(
                "Wrong number of parameter bindings for SQL query. It has {parameters} parameters, {} values were \
                 given for {groups} groups",
                bindings.len()
            );
            return Err(SqlError::host(WRONG_BINDINGS, text));
        }
        if groups == 0 {
            return Ok(Counts::default());
        }
        self.begin_confirmed_turn()?;
        let (rows_read, rows_written) = self.all_or_nothing(statement.may_name_hosts, |database| {
            database.counting_writes(|database| database.step_groups(statement, parameters, bindings))
        })?;
        Ok(Counts { rows_read, rows_written })
    }

    /// Runs all groups to their ends; gives the rows that they read.
    fn step_groups(
        &mut self,
        statement: &mut Statement,
        parameters: usize,
        bindings: &[Value],
    ) -> Result<u64, SqlError> {
        let mut spent = Spent::default();
        let mut failed = None;
        let mut ran = 0;
        statement.clear_counters();
        for group in bindings.chunks_exact(parameters) {
            ran += 1;
            // SQLite looks at it only within long statements, and forgets it between two of them.
            if self.connection.is_stopped() {
                failed = Some(SqlError::interrupted());
                break;
            }
            if let Err(error) = step_group(statement, group, &mut spent) {
                failed = Some(error);
                break;
            }
        }
        statement.reset();
        self.cost = spent.steps.div_ceil(ran);
        let Some(error) = failed else { return Ok(spent.rows_read) };
        let mut error = self.noticed(error);
        if error.is_interrupt() {
            // No part of a write is kept that was cut, wherever the cut came.
            self.poison.get_or_insert(error.clone());
            self.abandon();
        }
        if self.poison.is_none() {
            let groups = bindings.len() / parameters;
            error.message.insert_str(0, &format!("group {ran} of {groups}: "));
        }
        Err(error)
    }
}

/// Binds a group and runs the statement to its end, whatever rows it gives.
fn step_group(statement: &mut Statement, group: &[Value], spent: &mut Spent) -> Result<(), SqlError> {
    statement.bind(group)?;
    let outcome = loop {
        match statement.step() {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let counters = statement.rewind();
    spent.rows_read += counters.rows_read();
    spent.steps += counters.steps;
    outcome
}
