//! Accounts in one object: what a method writes is one transaction, and nothing comes between.
//!
//! `transfer` reads, decides and writes in one turn; a failure before the first write leaves all as it
//! was, and no other call can see half of it.

use durabo::{Context, Failure};

/// A bank.
pub struct Bank {
    ctx: Context,
}

/// Accounts with balances in whole cents.
#[durabo::object]
impl Bank {
    /// Makes the table on first use.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql().exec(
            "CREATE TABLE IF NOT EXISTS accounts (
                name TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0)) WITHOUT ROWID",
            (),
        )?;
        Ok(Self { ctx })
    }

    /// Adds to an account, which is opened if it is not there, and returns its new balance.
    pub fn deposit(&mut self, account: String, amount: i64) -> Result<i64, Failure> {
        positive(amount)?;
        self.credit(&account, amount)
    }

    /// Moves an amount from one account to another and returns what is left on the first.
    pub fn transfer(&mut self, from: String, to: String, amount: i64) -> Result<i64, Failure> {
        positive(amount)?;
        let balance = self.balance(from.clone())?;
        if balance < amount {
            return Err(Failure::new(format!("account `{from}` holds {balance}, {amount} are wanted"))
                .with_code("insufficient-funds"));
        }
        self.ctx.sql().exec("UPDATE accounts SET balance = balance - ? WHERE name = ?", (amount, &from))?;
        self.credit(&to, amount)?;
        self.balance(from)
    }

    /// The balance of an account; 0 for one that was never used.
    pub fn balance(&self, account: String) -> Result<i64, Failure> {
        let mut rows = self.ctx.sql().exec("SELECT balance FROM accounts WHERE name = ?", (account,))?;
        Ok(rows.first()?.unwrap_or(0))
    }

    /// The sum of all balances.
    pub fn total(&self) -> Result<i64, Failure> {
        Ok(self.ctx.sql().exec("SELECT coalesce(sum(balance), 0) FROM accounts", ())?.one()?)
    }

    fn credit(&mut self, account: &str, amount: i64) -> Result<i64, Failure> {
        let mut row = self.ctx.sql().exec(
            "INSERT INTO accounts (name, balance) VALUES (?, ?)
             ON CONFLICT (name) DO UPDATE SET balance = balance + excluded.balance RETURNING balance",
            (account, amount),
        )?;
        Ok(row.one()?)
    }
}

fn positive(amount: i64) -> Result<(), Failure> {
    if amount > 0 {
        return Ok(());
    }
    Err(Failure::new(format!("an amount is more than 0, not {amount}"))
        .with_name("RangeError")
        .with_code("invalid-amount"))
}

durabo::export!(Bank);
