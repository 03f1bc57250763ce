//! Back-off: an object whose instances break one after the other starts the next one later and later.
//!
//! A few attempts are free, so that a fault that has passed is not felt; after that the waits double up to
//! a bound, and an instance that has answered anything ends them. Events wait meanwhile.

use std::time::Duration;

use durabo_model::limits::ObjectLimits;

/// Resets of one object in a row, none of whose instances answered anything.
#[derive(Debug, Default)]
pub(crate) struct BackOff {
    in_a_row: u32,
}

impl BackOff {
    /// Notes that an instance was reset.
    pub(crate) fn broke(&mut self, has_answered: bool) {
        self.in_a_row = if has_answered { 0 } else { self.in_a_row.saturating_add(1) };
    }

    /// Notes that an instance ended in order.
    pub(crate) fn went_well(&mut self) {
        self.in_a_row = 0;
    }

    /// How long to wait before the next instance is started.
    pub(crate) fn wait(&self, limits: &ObjectLimits) -> Duration {
        let Some(doublings) = self.in_a_row.checked_sub(limits.resets_free) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        limits.reset_wait.saturating_mul(factor).min(limits.reset_wait_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ObjectLimits {
        ObjectLimits {
            resets_free: 2,
            reset_wait: Duration::from_millis(10),
            reset_wait_max: Duration::from_millis(35),
            ..ObjectLimits::default()
        }
    }

    #[test]
    fn a_few_resets_are_free_and_then_waits_double_up_to_a_bound() {
        let mut back_off = BackOff::default();
        let mut waits = Vec::new();
        for _ in 0..6 {
            back_off.broke(false);
            waits.push(back_off.wait(&limits()).as_millis());
        }
        assert_eq!(waits, [0, 10, 20, 35, 35, 35]);
        (0..100).for_each(|_| back_off.broke(false));
        assert_eq!(back_off.wait(&limits()).as_millis(), 35);
    }

    #[test]
    fn an_instance_that_answered_or_ended_in_order_ends_the_waits() {
        let mut back_off = BackOff::default();
        for end in [|b: &mut BackOff| b.broke(true), |b: &mut BackOff| b.went_well()] {
            (0..5).for_each(|_| back_off.broke(false));
            end(&mut back_off);
            assert!(back_off.wait(&limits()).is_zero());
        }
    }
}
