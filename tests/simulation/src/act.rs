//! What the fake guest is told to do: acts, and the events that carry them.
//!
//! Acts between two waits belong to one turn, as in a real guest.

use std::collections::BTreeMap;

use durabo_objects::event::{Event, Reply};
use durabo_objects::socket::Message;
use serde::{Deserialize, Serialize};

use crate::schedule_model::When;

/// One act of a handler.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Writes a number, with so many bytes beside it.
    Write(u64, usize),
    /// Begins to read the numbers, and takes the first: the cursor stands on the next.
    BeginToRead,
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
    /// Begins a transaction in the section that it is in.
    Begin,
    /// Commits the transaction that was begun last.
    Commit,
    /// Rolls it back.
    RollBack,
    /// Answers with sections and transactions left open, whose handles the guest keeps.
    Keep,
    /// Answers now, and goes on.
    Reply,
    /// Answers now with the bytes of the pages that the database caches, and goes on.
    TellCached,
    /// Answers now with 1 if the database is open, else with 0, and goes on.
    TellOpen,
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
    /// Begins to wait until nobody waits for the event. It is waited for as a call is.
    Listen,
    /// Stores a value under a key.
    Put(u64, u64),
    /// Removes a key.
    Delete(u64),
    /// Removes everything but the numbers: calls `delete-all` and writes them again.
    Wipe,
    /// Calls `delete-all` and nothing else: what must not come before [`Act::MakeTables`] is written.
    DeleteAll,
    /// Makes what the constructor makes.
    MakeTables,
    /// Lets the answer be all numbers and all keys, which [`shown`] reads.
    ShowKeys,
    /// Sets the alarm for so many milliseconds from now, or before.
    SetAlarm(i64),
    /// Deletes the alarm.
    DeleteAlarm,
    /// Reads the alarm and writes its time, or 0, as a number.
    NoteAlarm,
    /// Resets the object; an alarm that runs is given up.
    GiveAlarmUp,
    /// In a handler of alarms: fails, unless the alarm has failed twice before.
    FailAtFirst,
    /// In a handler of alarms: traps, unless the alarm has failed twice before.
    TrapAtFirst,
    /// From now on the handler of alarms, with a name and without, does this, until it is told something else.
    OnAlarm(Vec<Act>),
    /// Sets a named alarm.
    SetEntry {
        /// Its name.
        name: u64,
        /// When it is to run.
        when: When,
        /// For the handler.
        payload: u8,
    },
    /// Deletes the named alarm of this name.
    DeleteEntry(u64),
    /// Accepts a socket, as this number; its client's end is in the answer.
    Accept(u64),
    /// In a handler of a socket's event: sends all numbers that the object holds back on it.
    SendBack,
    /// The same, also on a socket that is closed: fails if the object has closed it (WS-23).
    SendAnyhow,
    /// In a handler of a socket's event: sends all numbers that the object holds to all its sockets.
    SendToAll,
    /// In a handler of a socket's event: closes the socket, with the newest number as the reason.
    CloseSocket,
}

/// Writes a number, with little beside it.
pub fn write(number: u64) -> Act {
    Act::Write(number, 10)
}

/// The event that makes the fake guest perform `acts` and then answer with all numbers it holds.
pub fn event(acts: &[Act]) -> Event {
    Event::Rpc { method: "perform".to_owned(), args: encode(acts).into() }
}

/// The message that makes the handler of a socket's events perform `acts`.
pub fn message(acts: &[Act]) -> Message {
    Message::Text(String::from_utf8(encode(acts)).expect("JSON"))
}

/// The numbers in an answer.
pub fn numbers(reply: &Reply) -> Vec<u64> {
    let Reply::Rpc(bytes) = reply else { panic!("no RPC reply: {reply:?}") };
    numbers_in(bytes)
}

/// All that an object shows that was told to show its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The numbers in the order of their writing.
    pub numbers: Vec<u64>,
    /// What is under each key.
    pub keys: BTreeMap<u64, u64>,
}

/// The numbers and keys in an answer.
pub fn shown(reply: &Reply) -> Shown {
    let Reply::Rpc(bytes) = reply else { panic!("no RPC reply: {reply:?}") };
    serde_json::from_slice(bytes).expect("numbers and keys")
}

/// The numbers in an answer's bytes, or in a piece.
pub fn numbers_in(bytes: &[u8]) -> Vec<u64> {
    let number = |eight: &[u8]| u64::from_le_bytes(eight.try_into().expect("eight bytes"));
    bytes.chunks_exact(8).map(number).collect()
}

/// The acts in an event.
pub(crate) fn acts(event: &Event) -> Vec<Act> {
    let Event::Rpc { args, .. } = event else { panic!("no RPC event: {event:?}") };
    of_kept(args)
}

/// What a handler of alarms does, as the guest keeps it.
pub(crate) fn kept(acts: &[Act]) -> Vec<u8> {
    encode(acts)
}

/// The acts in what the guest kept.
pub(crate) fn of_kept(bytes: &[u8]) -> Vec<Act> {
    let (count, flat): (usize, Vec<(usize, Act)>) = serde_json::from_slice(bytes).expect("acts");
    nested(count, &mut flat.into_iter())
}

/// Acts one after the other, those within a call behind it with their number: chains of calls are nested more
/// deeply than JSON may be.
fn encode(acts: &[Act]) -> Vec<u8> {
    let mut flat = Vec::new();
    flatten(acts, &mut flat);
    serde_json::to_vec(&(acts.len(), flat)).expect("acts are data")
}

fn flatten(acts: &[Act], flat: &mut Vec<(usize, Act)>) {
    for act in acts {
        match act {
            Act::Call(object, inner) => {
                flat.push((inner.len(), Act::Call(*object, Vec::new())));
                flatten(inner, flat);
            }
            Act::OnAlarm(inner) => {
                flat.push((inner.len(), Act::OnAlarm(Vec::new())));
                flatten(inner, flat);
            }
            other => flat.push((0, other.clone())),
        }
    }
}

fn nested(count: usize, flat: &mut impl Iterator<Item = (usize, Act)>) -> Vec<Act> {
    let mut next = || match flat.next().expect("as many acts as were counted") {
        (inner, Act::Call(object, _)) => Act::Call(object, nested(inner, &mut *flat)),
        (inner, Act::OnAlarm(_)) => Act::OnAlarm(nested(inner, &mut *flat)),
        (_, act) => act,
    };
    (0..count).map(|_| next()).collect()
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
