//! A value of SQLite, exact in both directions (SQ-2, SQ-12), and its packed form.
//!
//! Integers bind as INTEGER and reals as REAL, unlike the original, which binds every number as REAL
//! (decision D8).

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL. NaN is bound as NULL.
    Real(f64),
    /// TEXT.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
}

impl Value {
    /// Memory that the value takes, about, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Text(text) => text.len(),
                Self::Blob(bytes) => bytes.len(),
                _ => 0,
            }
    }

    /// Appends the packed form: a byte for the case (0 null, 1 integer, 2 real, 3 text, 4 blob), then
    /// 8 bytes for numbers or a 4-byte length and that many bytes; little-endian.
    pub fn pack(&self, into: &mut Vec<u8>) {
        match self {
            Self::Null => into.push(0),
            Self::Integer(value) => {
                into.push(1);
                into.extend_from_slice(&value.to_le_bytes());
            }
            Self::Real(value) => {
                into.push(2);
                into.extend_from_slice(&value.to_le_bytes());
            }
            Self::Text(text) => pack_bytes(3, text.as_bytes(), into),
            Self::Blob(bytes) => pack_bytes(4, bytes, into),
        }
    }
}

fn pack_bytes(case: u8, bytes: &[u8], into: &mut Vec<u8>) {
    // Values are at most 4 MiB (SQ-24), so the length fits.
    into.push(case);
    into.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    into.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_pack_as_the_contract_says() {
        let mut packed = Vec::new();
        let values = [
            Value::Null,
            Value::Integer(-1),
            Value::Real(1.0),
            Value::Text("a".into()),
            Value::Blob(vec![7]),
        ];
        values.iter().for_each(|value| value.pack(&mut packed));
        let mut expected = vec![0, 1];
        expected.extend([0xff; 8]);
        expected.push(2);
        expected.extend(1f64.to_le_bytes());
        expected.extend([3, 1, 0, 0, 0, b'a', 4, 1, 0, 0, 0, 7]);
        assert_eq!(packed, expected);
    }
}
