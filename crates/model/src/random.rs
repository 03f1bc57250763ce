//! Where random bytes come from: a generator that is passed in, so that tests can seed it.
//!
//! Unique ids and tokens are made of it; `server` hands the system's to everybody.

/// A source of random bytes.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes`. Must be unpredictable outside tests, since unique ids are made of it (ID-5).
    fn fill(&self, bytes: &mut [u8]);
}
