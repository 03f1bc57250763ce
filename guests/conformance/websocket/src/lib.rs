//! Subject of the cases on WebSockets: `Room` does with a socket what its messages say and notes in its database what
//! happens; `Silent` has no handlers; `Door` lets others join a room through a stub; `Caller` opens sockets itself.

mod caller;
mod door;
mod room;

use caller::Caller;
use door::{Door, Silent};
use room::Room;

durabo::export!(Room, Silent, Door, Caller);
