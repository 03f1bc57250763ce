//! Subject of the SQL cases: runs statements that the suite sends and reports what came back as data.
//!
//! Values cross typed, so that blobs and 64-bit integers arrive exactly. An error of a statement is data
//! too: the suite sees code, name, text and offset of it.

mod step;
mod subject;

use subject::Sql;

durabo::export!(Sql);
