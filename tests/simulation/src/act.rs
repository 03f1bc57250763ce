//! What the fake guest is told to do: acts, and the events that carry them.
//!
//! Acts between two waits belong to one turn, as in a real guest.

use durabo_objects::event::{Event, Reply};

/// One act of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Writes a number, with so many bytes beside it.
    Write(u64, usize),
    /// Waits once for something outside: ends the turn.
    Wait,
    /// Waits for something outside that takes so many rounds of all tasks.
    Pause(u64),
    /// Is stopped in its midst and goes on from there, as by an epoch: no turn ends.
    Suspend,
    /// Ends the handler with an error.
    Fail,
    /// Traps.
    Trap,
    /// Makes the host panic in the object's task.
    Panic,
    /// Begins a call to the object of that number, with acts of its own. It is not waited for here.
    Call(u64, Vec<Act>),
    /// Gives up all calls that were begun.
    GiveUp,
    /// Waits for all calls that were begun, whatever they come to.
    Await,
    /// Waits for all calls that were begun, and fails as the first of them that failed.
    Expect,
    /// Forgets its stubs: the next calls go through new ones.
    NewStubs,
    /// Enters a critical section, within the one that it is in.
    Enter,
    /// Leaves the innermost section.
    Leave,
    /// Answers now, and goes on.
    Reply,
    /// Resets the object, with a text.
    Abort,
    /// Answers now with a body in pieces, and goes on; the body ends with the acts.
    Open,
    /// Writes a piece of that body: all numbers that the object holds.
    Piece,
    /// Waits until all pieces have left.
    Left,
    /// Waits for what never comes.
    WaitForEver,
}

/// The event that makes the fake guest perform `acts` and then answer with all numbers it holds.
pub fn event(acts: &[Act]) -> Event {
    Event::Rpc { method: "perform".to_owned(), args: encode(acts).into() }
}

/// The numbers in an answer.
pub fn numbers(reply: &Reply) -> Vec<u64> {
    let Reply::Rpc(bytes) = reply else { panic!("no RPC reply: {reply:?}") };
    numbers_in(bytes)
}

/// The numbers in an answer's bytes, or in a piece.
pub fn numbers_in(bytes: &[u8]) -> Vec<u64> {
    let number = |eight: &[u8]| u64::from_le_bytes(eight.try_into().expect("eight bytes"));
    bytes.chunks_exact(8).map(number).collect()
}

/// The acts in an event.
pub(crate) fn acts(event: &Event) -> Vec<Act> {
    let Event::Rpc { args, .. } = event else { panic!("no RPC event: {event:?}") };
    decode(args)
}

fn encode(acts: &[Act]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for act in acts {
        let (code, first, second, inner) = match act {
            Act::Write(number, bytes) => (0u8, *number, *bytes as u64, Vec::new()),
            Act::Wait => (1, 0, 0, Vec::new()),
            Act::Suspend => (2, 0, 0, Vec::new()),
            Act::Fail => (3, 0, 0, Vec::new()),
            Act::Trap => (4, 0, 0, Vec::new()),
            Act::Panic => (5, 0, 0, Vec::new()),
            Act::Call(object, acts) => {
                let inner = encode(acts);
                (6, *object, inner.len() as u64, inner)
            }
            Act::GiveUp => (7, 0, 0, Vec::new()),
            Act::Await => (8, 0, 0, Vec::new()),
            Act::Expect => (9, 0, 0, Vec::new()),
            Act::NewStubs => (10, 0, 0, Vec::new()),
            Act::Enter => (11, 0, 0, Vec::new()),
            Act::Leave => (12, 0, 0, Vec::new()),
            Act::Reply => (13, 0, 0, Vec::new()),
            Act::Abort => (14, 0, 0, Vec::new()),
            Act::Pause(rounds) => (15, *rounds, 0, Vec::new()),
            Act::Open => (16, 0, 0, Vec::new()),
            Act::Piece => (17, 0, 0, Vec::new()),
            Act::Left => (18, 0, 0, Vec::new()),
            Act::WaitForEver => (19, 0, 0, Vec::new()),
        };
        bytes.push(code);
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&second.to_le_bytes());
        bytes.extend(inner);
    }
    bytes
}

fn decode(mut bytes: &[u8]) -> Vec<Act> {
    let mut acts = Vec::new();
    while let Some((code, rest)) = bytes.split_first() {
        let (first, rest) = rest.split_first_chunk().expect("a number");
        let (second, rest) = rest.split_first_chunk().expect("a number");
        let (first, second) = (u64::from_le_bytes(*first), u64::from_le_bytes(*second) as usize);
        bytes = rest;
        acts.push(match code {
            0 => Act::Write(first, second),
            1 => Act::Wait,
            2 => Act::Suspend,
            3 => Act::Fail,
            4 => Act::Trap,
            5 => Act::Panic,
            6 => {
                let (inner, rest) = rest.split_at(second);
                bytes = rest;
                Act::Call(first, decode(inner))
            }
            7 => Act::GiveUp,
            8 => Act::Await,
            9 => Act::Expect,
            10 => Act::NewStubs,
            11 => Act::Enter,
            12 => Act::Leave,
            13 => Act::Reply,
            14 => Act::Abort,
            15 => Act::Pause(first),
            16 => Act::Open,
            17 => Act::Piece,
            18 => Act::Left,
            _ => Act::WaitForEver,
        });
    }
    acts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_come_back_as_they_were_sent_with_those_within_them() {
        let sent =
            [Act::Write(1, 2), Act::Call(3, vec![Act::Call(4, vec![Act::Enter]), Act::Fail]), Act::Leave];
        assert_eq!(acts(&event(&sent)), sent);
    }
}
