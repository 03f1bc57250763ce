//! Who holds the change log back, and is asked for a checkpoint because of that.
//!
//! An object needs the log from its first commit that its file does not hold. Where that lies too far behind
//! the end of the log, or is too old, the object is asked, whether or not it has an instance; many at a time,
//! so that the syncs of their files are made at once. Those that do not do it in time make way for others.
//! So the log on the disk stays small, and so does what a start reads, however long an object does nothing or
//! however steadily it goes on.

use std::collections::VecDeque;
use std::time::Duration;

use durabo_changelog::pins::Pins;
use durabo_model::object::ObjectKey;
use durabo_model::sequence::LogPosition;
use durabo_model::time::Timestamp;

/// Objects that are asked at once. Stops checkpoints from taking the disk from commits for long.
const ASKED_MAX: usize = 256;

/// Whoever has not done it after this long may be asked again, and others in its place, in milliseconds.
const ASK_AGAIN_MS: u64 = 5000;

/// Into so many parts the age is divided; an object is asked so much later at most.
const AGE_PARTS: u64 = 8;

/// Decides who is asked.
#[derive(Debug)]
pub struct LogHolders {
    log_bytes_target: u64,
    checkpoint_after_ms: u64,
    /// Where the log ended at past moments, the oldest first.
    marks: VecDeque<(Timestamp, LogPosition)>,
    /// Begins anew when those that were asked have had their time.
    round: u64,
    round_began: Timestamp,
}

impl LogHolders {
    /// Asks those who need more than `log_bytes_target` bytes of the log, or what is older than
    /// `checkpoint_after`.
    pub fn new(log_bytes_target: u64, checkpoint_after: Duration) -> Self {
        Self {
            log_bytes_target,
            checkpoint_after_ms: u64::try_from(checkpoint_after.as_millis()).unwrap_or(u64::MAX),
            marks: VecDeque::new(),
            round: 0,
            round_began: Timestamp(0),
        }
    }

    /// Who is to be asked now, those who need the oldest part of the log first. `head`: where the log ends.
    /// `is_wanted`: whether a part of the log is needed for other reasons; then its holder is asked too.
    ///
    /// However many there are, no more are looked at than may be asked: commits wait for the pins meanwhile.
    pub fn to_ask(
        &mut self,
        now: Timestamp,
        pins: &mut Pins,
        head: LogPosition,
        is_wanted: impl Fn(LogPosition) -> bool,
    ) -> Vec<ObjectKey> {
        let too_far = LogPosition(head.0.saturating_sub(self.log_bytes_target));
        let mut needed_from = too_far.max(self.too_old(now, head));
        if let Some((_, oldest)) = pins.oldest().filter(|(_, oldest)| is_wanted(*oldest)) {
            needed_from = needed_from.max(LogPosition(oldest.0 + 1));
        }
        if now.0.abs_diff(self.round_began.0) >= ASK_AGAIN_MS {
            (self.round, self.round_began) = (self.round + 1, now);
        }
        let chosen = self.choose(pins, needed_from);
        chosen.iter().for_each(|(_, key)| pins.ask(*key, self.round));
        chosen.into_iter().map(|(_, key)| key).collect()
    }

    /// Those that are to be asked beside those that are on it. Half of the places are for those that were asked and
    /// have not done it, in turn, so that nobody waits for ever; and more if few others are left.
    fn choose(&self, pins: &Pins, needed_from: LogPosition) -> Vec<(LogPosition, ObjectKey)> {
        let places = ASKED_MAX.saturating_sub(pins.asked_in(self.round));
        let mut chosen: Vec<_> = pins.unasked_before(needed_from).take(places).collect();
        let late_max = (places / 2).max(places - chosen.len());
        let late: Vec<_> = pins.asked_before(self.round).take(late_max).collect();
        chosen.truncate(places - late.len());
        let mut chosen: Vec<_> =
            chosen.into_iter().chain(late).map(|(key, position)| (position, key)).collect();
        chosen.sort_unstable();
        chosen
    }

    /// Where the part of the log ends that is older than it should be.
    fn too_old(&mut self, now: Timestamp, head: LogPosition) -> LogPosition {
        // The clock may step back: what is there then ages from now on.
        for (time, _) in &mut self.marks {
            *time = now.min(*time);
        }
        let part = self.checkpoint_after_ms / AGE_PARTS;
        if self.marks.back().is_none_or(|(time, _)| now.0 - time.0 >= part) {
            self.marks.push_back((now, head));
        }
        let is_old = |(time, _): &(Timestamp, LogPosition)| now.0 - time.0 >= self.checkpoint_after_ms;
        while self.marks.len() > 1 && is_old(&self.marks[1]) {
            self.marks.pop_front();
        }
        self.marks.front().filter(|mark| is_old(mark)).map_or(LogPosition(0), |(_, position)| *position)
    }
}

#[cfg(test)]
mod tests {
    use durabo_model::object::NamespaceNumber;
    use durabo_model::object_id::ObjectId;
    use durabo_model::sequence::Sequence;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key(number: u32) -> ObjectKey {
        ObjectKey { namespace: NamespaceNumber(number), id: ObjectId::from_bytes([0; 32]) }
    }

    /// One commit of each of the objects `1..=count`, one byte long, in order.
    fn pins(count: u32) -> Pins {
        let mut pins = Pins::default();
        for number in 1..=count {
            pins.appended(key(number), Sequence(1), LogPosition(u64::from(number)));
        }
        pins
    }

    fn ask(holders: &mut LogHolders, seconds: u64, pins: &mut Pins, head: u64) -> Vec<u32> {
        let now = Timestamp(1_000_000 + seconds * 1000);
        let asked = holders.to_ask(now, pins, LogPosition(head), |_| false);
        asked.into_iter().map(|key| key.namespace.0).collect()
    }

    #[test]
    fn all_are_asked_who_need_more_of_the_log_than_may_be() {
        let mut holders = LogHolders::new(100, MINUTE);
        let mut pins = pins(5);
        assert!(ask(&mut holders, 0, &mut pins, 101).is_empty());
        assert_eq!(ask(&mut holders, 0, &mut pins, 104), [1, 2, 3]);
    }

    #[test]
    fn who_was_asked_is_asked_again_for_a_later_part_or_after_a_while() {
        let mut holders = LogHolders::new(100, MINUTE);
        let mut pins = pins(2);
        pins.appended(key(1), Sequence(2), LogPosition(50));
        assert_eq!(ask(&mut holders, 0, &mut pins, 1000), [1, 2]);
        assert!(ask(&mut holders, 1, &mut pins, 1000).is_empty());
        pins.checkpoint_durable(key(1), Sequence(1));
        assert_eq!(ask(&mut holders, 2, &mut pins, 1000), [1]);
        assert_eq!(ask(&mut holders, 10, &mut pins, 1000), [2, 1]);
    }

    #[test]
    fn a_bounded_number_is_asked_at_once() {
        let mut holders = LogHolders::new(0, MINUTE);
        assert_eq!(ask(&mut holders, 0, &mut pins(10_000), 100_000).len(), ASKED_MAX);
    }

    #[test]
    fn those_that_never_do_it_keep_no_others_from_being_asked_and_are_asked_again() {
        let mut holders = LogHolders::new(0, MINUTE);
        let [stuck, all] = [2, 8].map(|times| times * ASKED_MAX as u32);
        let mut pins = pins(all);
        // The first ones are out of service; whoever else is asked does it.
        let mut times_asked = vec![0; all as usize + 1];
        for second in 0..600 {
            let asked = ask(&mut holders, second, &mut pins, 1_000_000);
            assert!(asked.len() <= ASKED_MAX, "{} at once", asked.len());
            for number in asked {
                times_asked[number as usize] += 1;
                if number > stuck {
                    pins.checkpoint_durable(key(number), Sequence(1));
                }
            }
        }
        assert_eq!(pins.unasked_before(LogPosition(u64::MAX)).count(), 0, "others were never asked");
        let mut left: Vec<_> = pins.asked_before(u64::MAX).map(|(key, _)| key.namespace.0).collect();
        left.sort_unstable();
        assert!(left.into_iter().eq(1..=stuck), "others were never asked");
        let of_stuck = &times_asked[1..=stuck as usize];
        assert!(of_stuck.iter().all(|times| *times > 20), "{of_stuck:?}");
    }

    #[test]
    fn who_comes_behind_very_many_that_never_do_it_is_asked_at_once() {
        let mut holders = LogHolders::new(0, MINUTE);
        let mut pins = pins(100_000);
        // All have been asked before.
        (1..=100_000).for_each(|number| pins.ask(key(number), 0));
        pins.appended(key(200_000), Sequence(1), LogPosition(200_000));
        let asked = ask(&mut holders, 10, &mut pins, 1_000_000);
        assert_eq!(asked.len(), ASKED_MAX);
        assert_eq!(asked[..3], [1, 2, 3], "those that wait for longest");
        assert_eq!(asked.last(), Some(&200_000));
    }

    #[test]
    fn who_needs_an_old_part_of_the_log_is_asked_however_short_it_is() {
        let mut holders = LogHolders::new(1000, MINUTE);
        let mut pins = pins(2);
        // Looked at every half second, as upkeep does.
        for step in 0..120 {
            assert!(holders.to_ask(Timestamp(step * 500), &mut pins, LogPosition(3), |_| false).is_empty());
        }
        pins.appended(key(3), Sequence(1), LogPosition(3));
        let asked = holders.to_ask(Timestamp(60_000), &mut pins, LogPosition(4), |_| false);
        assert_eq!(asked, [key(1), key(2)], "the third is new");
        pins.checkpoint_durable(key(1), Sequence(1));
        pins.checkpoint_durable(key(2), Sequence(1));
        let mut asked_at = None;
        for step in 121..300 {
            let asked = holders.to_ask(Timestamp(step * 500), &mut pins, LogPosition(4), |_| false);
            if asked == [key(3)] {
                asked_at.get_or_insert(step * 500);
            }
        }
        let late = asked_at.expect("asked") - 120_000;
        assert!(late <= 60_000 / AGE_PARTS + 500, "{late} ms late");
        assert!(holders.marks.len() as u64 <= AGE_PARTS + 2, "{}", holders.marks.len());
    }

    #[test]
    fn a_clock_that_steps_back_makes_it_later_and_not_never() {
        let mut holders = LogHolders::new(1000, MINUTE);
        let mut pins = pins(1);
        assert!(ask(&mut holders, 50, &mut pins, 2).is_empty());
        assert!(ask(&mut holders, 0, &mut pins, 2).is_empty());
        assert!(ask(&mut holders, 59, &mut pins, 2).is_empty());
        assert_eq!(ask(&mut holders, 60, &mut pins, 2), [1]);
    }

    #[test]
    fn whoever_holds_back_what_is_wanted_is_asked_although_it_is_neither_old_nor_far() {
        let mut holders = LogHolders::new(1000, MINUTE);
        let asked = holders.to_ask(Timestamp(0), &mut pins(3), LogPosition(4), |position| position.0 == 1);
        assert_eq!(asked, [key(1)]);
    }
}
