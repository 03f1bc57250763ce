//! Items in a table, one JSON text each, behind HTTP and RPC.
//!
//! `GET /items` lists them in the order of their arrival, `POST /items` stores the body. A body that is
//! still on its way is waited for, so the class has an `async` handler and its methods take `&self`.

use std::time::{SystemTime, UNIX_EPOCH};

use durabo::{Context, Failure, Request, Response};
use serde_json::{Value, json};
use uuid::Uuid;

/// A list of items.
pub struct Todo {
    ctx: Context,
}

/// A list of items, each any JSON value.
#[durabo::object]
impl Todo {
    /// Makes the table on first use.
    pub fn new(ctx: Context) -> Result<Self, Failure> {
        ctx.sql().exec(
            "CREATE TABLE IF NOT EXISTS items (
                position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, data TEXT NOT NULL, created INTEGER NOT NULL)",
            (),
        )?;
        Ok(Self { ctx })
    }

    /// Stores an item and returns it with its id and time.
    pub fn add(&self, item: Value) -> Result<Value, Failure> {
        let id = Uuid::new_v4().to_string();
        let created = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        self.ctx.sql().exec(
            "INSERT INTO items (id, data, created) VALUES (?, ?, ?)",
            (&id, item.to_string(), created),
        )?;
        Ok(row(&id, &item, created))
    }

    /// Returns all items in the order in which they were stored.
    pub fn list(&self) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut cursor = self.ctx.sql().exec("SELECT id, data, created FROM items ORDER BY position", ())?;
        for item in cursor.rows::<(String, String, i64)>() {
            let (id, data, created) = item?;
            items.push(row(&id, &serde_json::from_str(&data)?, created));
        }
        Ok(items)
    }

    /// `GET /items` and `POST /items`.
    pub async fn fetch(&self, request: Request) -> Result<Response, Failure> {
        match (request.method(), request.path()) {
            ("GET", "/items") => Response::json(&self.list()?),
            ("POST", "/items") => match request.json().await {
                Ok(item) => Ok(Response::json(&self.add(item)?)?.with_status(201)),
                Err(error) => Ok(Response::json(&json!({"error": error.message()}))?.with_status(400)),
            },
            _ => Ok(Response::text("not found").with_status(404)),
        }
    }
}

fn row(id: &str, item: &Value, created: i64) -> Value {
    json!({"id": id, "data": item, "created": created})
}

durabo::export!(Todo);
