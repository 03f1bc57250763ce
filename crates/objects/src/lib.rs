//! The rules of an object: mailbox, gates, tickets, lifecycle.
