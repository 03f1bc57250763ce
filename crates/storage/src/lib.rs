//! One object's SQLite database: VFS, turns, SQL, checkpoint.
