//! WebSockets that the object opens itself (WS-33): what is refused before anything leaves, and the socket of a server
//! that has agreed.
//!
//! Such a socket is one like any other but for its life: it never hibernates, keeps the object in memory, and ends
//! with the instance. Between the two steps here the request is on its way, which is the business of `outside`.

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;

use super::ObjectContext;
use super::sockets::distinct_tags;
use crate::outside::OpenedSocket;
use crate::socket::{Lifetime, SocketId};

impl ObjectContext {
    /// Whether a socket may be opened that is to have these tags and this life. To be asked before a connection is
    /// made for it.
    pub fn check_connect(&self, tags: &[String], lifetime: Lifetime) -> Result<(), Failure> {
        check_lifetime(lifetime)?;
        distinct_tags(tags.to_vec())?;
        self.check_outgoing_room()
    }

    /// Makes a socket of a connection whose server has agreed. Refused if there are too many by now; the connection
    /// is closed then.
    pub fn open_socket(&mut self, tags: Vec<String>, opened: OpenedSocket) -> Result<SocketId, Failure> {
        let tags = distinct_tags(tags)?;
        self.check_outgoing_room()?;
        let (id, end) = self.sockets_or_new().accept(tags, Lifetime::Outgoing, 0)?;
        (opened.start)(end.join(opened.protocol));
        Ok(id)
    }

    fn check_outgoing_room(&self) -> Result<(), Failure> {
        let open = self.sockets.as_ref().map_or(0, |sockets| sockets.outgoing());
        let max = self.node.limits.outgoing_sockets_max;
        if open < max {
            return Ok(());
        }
        let text =
            format!("the object has {open} WebSockets to the outside, the limit is {max}; close one first");
        Err(Failure::new(ErrorCode::LimitExceeded, text).of_object(self.identity.key.id))
    }
}

fn check_lifetime(lifetime: Lifetime) -> Result<(), Failure> {
    if lifetime.keeps_awake() {
        return Ok(());
    }
    let text = "a WebSocket to the outside never hibernates; ask for `keep-awake`";
    Err(Failure::new(ErrorCode::InvalidArgument, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ws_33_a_socket_to_the_outside_cannot_be_one_that_hibernates() {
        let failure = check_lifetime(Lifetime::Hibernate).expect_err("refused");
        assert_eq!(failure.code, "invalid-argument");
        assert_eq!(check_lifetime(Lifetime::KeepAwake), Ok(()));
    }
}
