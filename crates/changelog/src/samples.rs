//! Records for tests: what an object's n-th commit holds follows from the object and n alone, so that
//! a record that comes back can be checked without keeping it.

use durabo_model::object::{NamespaceNumber, ObjectKey};
use durabo_model::object_id::ObjectId;
use durabo_model::sequence::{Epoch, Sequence};
use durabo_model::time::Timestamp;

use crate::record::{AlarmChange, FileMark, PageContent, PageEntry, Record, RecordBody};
use crate::seeded::Seeded;

pub(crate) fn key(object: u8) -> ObjectKey {
    ObjectKey { namespace: NamespaceNumber(1), id: ObjectId::from_bytes([object; 32]) }
}

pub(crate) fn commit(object: u8, sequence: u64, start: u32) -> Record {
    let mut random = Seeded::new(u64::from(object) << 32 | sequence);
    let pages = if random.chance(10) { 1 + random.below(20) } else { 1 };
    let page = |number: u64| PageEntry {
        number: number as u32,
        content: PageContent::Difference(vec![sequence as u8; random.below(600) as usize]),
    };
    Record {
        key: key(object),
        epoch: Epoch::new(start, 0),
        sequence: Sequence(sequence),
        chain: 0,
        raw_time: Timestamp(sequence),
        time: Timestamp(sequence),
        name: (sequence == 1).then(|| format!("object {object}")),
        body: RecordBody::Commit {
            database_pages: sequence as u32,
            alarm: AlarmChange::Unchanged,
            pages: (1..=pages).map(page).collect(),
        },
    }
}

pub(crate) fn checkpoint(object: u8, through: u64, sequence: u64, start: u32) -> Record {
    let mark = FileMark { file_bytes: through * 4096, first_page_crc: through as u32 };
    let body = RecordBody::Checkpoint { through: Sequence(through), mark };
    Record { name: None, body, ..commit(object, sequence, start) }
}
