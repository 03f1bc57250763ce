//! Subject of the cases on WebSockets: `Room` does with a socket what its messages say and notes in its database what
//! happens; `Silent` has no handlers; `Door` lets others join a room through a stub.

mod door;
mod room;

use door::{Door, Silent};
use room::Room;

durabo::export!(Room, Silent, Door);
