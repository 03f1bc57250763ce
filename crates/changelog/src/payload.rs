//! What stands inside a record's payload: name, then the body's fields, little-endian, no padding.
//!
//! Reading never trusts a count or a length: nothing is allocated beyond what the given bytes can
//! hold, and every byte must be accounted for. Used by `codec` alone.

use durabo_model::sequence::Sequence;
use durabo_model::time::Timestamp;

use crate::codec_error::CodecError;
use crate::frame::RecordKind;
use crate::record::{AlarmChange, FileMark, PAGE_BYTES, PageContent, PageEntry, Record, RecordBody};

const PAGE_ENTRY_BYTES_MIN: usize = 7;

pub(crate) const fn kind_of(body: &RecordBody) -> RecordKind {
    match body {
        RecordBody::Commit { .. } => RecordKind::Commit,
        RecordBody::Checkpoint { .. } => RecordKind::Checkpoint,
        RecordBody::Wipe { .. } => RecordKind::Wipe,
        RecordBody::Restore => RecordKind::Restore,
        RecordBody::Deleted => RecordKind::Deleted,
        RecordBody::NamespaceDeleted => RecordKind::NamespaceDeleted,
    }
}

/// Appends the payload of `record`.
pub(crate) fn write(out: &mut Vec<u8>, record: &Record) {
    if let Some(name) = &record.name {
        let length = u16::try_from(name.len()).expect("BUG: names are carried up to 1024 bytes");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
    }
    match &record.body {
        RecordBody::Commit { database_pages, alarm, pages }
        | RecordBody::Wipe { database_pages, alarm, pages } => {
            out.extend_from_slice(&database_pages.to_le_bytes());
            match alarm {
                AlarmChange::Unchanged => out.push(0),
                AlarmChange::Set(time) => {
                    out.push(1);
                    out.extend_from_slice(&time.0.to_le_bytes());
                }
                AlarmChange::Cleared => out.push(2),
            }
            let count = u32::try_from(pages.len()).expect("BUG: pages are numbered with 32 bits");
            out.extend_from_slice(&count.to_le_bytes());
            pages.iter().for_each(|page| write_page(out, page));
        }
        RecordBody::Checkpoint { through, mark } => {
            out.extend_from_slice(&through.0.to_le_bytes());
            out.extend_from_slice(&mark.file_bytes.to_le_bytes());
            out.extend_from_slice(&mark.first_page_crc.to_le_bytes());
        }
        RecordBody::Restore | RecordBody::Deleted | RecordBody::NamespaceDeleted => {}
    }
}

fn write_page(out: &mut Vec<u8>, page: &PageEntry) {
    let (encoding, bytes) = match &page.content {
        PageContent::Raw(bytes) => (0, bytes),
        PageContent::Lz4(bytes) => (1, bytes),
        PageContent::Difference(bytes) => (2, bytes),
    };
    assert!(bytes.len() <= PAGE_BYTES, "BUG: page content of {} bytes", bytes.len());
    out.extend_from_slice(&page.number.to_le_bytes());
    out.push(encoding);
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Reads the name, if the header says that there is one, and the body.
pub(crate) fn read(
    kind: RecordKind,
    named: bool,
    payload: &[u8],
) -> Result<(Option<String>, RecordBody), CodecError> {
    let mut input = Input(payload);
    let name = if named {
        let length = input.u16()?;
        let text = std::str::from_utf8(input.take(usize::from(length))?);
        Some(text.map_err(|_| CodecError::Name)?.to_owned())
    } else {
        None
    };
    let body = match kind {
        RecordKind::Commit => {
            let (database_pages, alarm, pages) = read_pages(&mut input)?;
            RecordBody::Commit { database_pages, alarm, pages }
        }
        RecordKind::Wipe => {
            let (database_pages, alarm, pages) = read_pages(&mut input)?;
            if let Some(page) = pages.iter().find(|page| matches!(page.content, PageContent::Difference(_))) {
                return Err(CodecError::WipeDifference(page.number));
            }
            RecordBody::Wipe { database_pages, alarm, pages }
        }
        RecordKind::Checkpoint => RecordBody::Checkpoint {
            through: Sequence(input.u64()?),
            mark: FileMark { file_bytes: input.u64()?, first_page_crc: input.u32()? },
        },
        RecordKind::Restore => RecordBody::Restore,
        RecordKind::Deleted => RecordBody::Deleted,
        RecordKind::NamespaceDeleted => RecordBody::NamespaceDeleted,
        RecordKind::Seal => return Err(CodecError::Seal),
    };
    if input.0.is_empty() { Ok((name, body)) } else { Err(CodecError::Trailing(input.0.len())) }
}

fn read_pages(input: &mut Input<'_>) -> Result<(u32, AlarmChange, Vec<PageEntry>), CodecError> {
    let database_pages = input.u32()?;
    let alarm = match input.u8()? {
        0 => AlarmChange::Unchanged,
        1 => AlarmChange::Set(Timestamp(input.u64()?)),
        2 => AlarmChange::Cleared,
        other => return Err(CodecError::Alarm(other)),
    };
    let count = input.u32()? as usize;
    if count > input.0.len() / PAGE_ENTRY_BYTES_MIN {
        return Err(CodecError::PageCount(count));
    }
    let mut pages = Vec::with_capacity(count);
    for _ in 0..count {
        pages.push(read_page(input)?);
    }
    Ok((database_pages, alarm, pages))
}

fn read_page(input: &mut Input<'_>) -> Result<PageEntry, CodecError> {
    let number = input.u32()?;
    if number == 0 {
        return Err(CodecError::PageNumber);
    }
    let encoding = input.u8()?;
    let length = usize::from(input.u16()?);
    if length > PAGE_BYTES || (encoding == 0 && length != PAGE_BYTES) {
        return Err(CodecError::PageLength { number, length });
    }
    let bytes = input.take(length)?.to_vec();
    let content = match encoding {
        0 => PageContent::Raw(bytes),
        1 => PageContent::Lz4(bytes),
        2 => PageContent::Difference(bytes),
        other => return Err(CodecError::PageEncoding(other)),
    };
    Ok(PageEntry { number, content })
}

/// The bytes still to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CodecError::PayloadTooShort)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, CodecError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}
