//! Seeded lives of a log on the simulated disk: appends, syncs, checkpoints, recycling, and accidents
//! at any operation, recovery included.
//!
//! The model is the list of acknowledged commits and what the objects' files hold; after each accident
//! every acknowledged commit must be found, whole and in order. Each fault planted in the log must be
//! noticed by some seed. Belongs to no module, since it plays all of them together.

use std::path::Path;
use std::sync::Arc;

use durabo_model::sequence::{LogPosition, Sequence};

use crate::codec::{EncodedRecord, encode_in_parts};
use crate::error::LogError;
use crate::mutation::{Mutation, plant};
use crate::pins::Pins;
use crate::record::RecordBody;
use crate::samples::{checkpoint, commit, key};
use crate::scan::{LogScan, StartedLog};
use crate::seeded::Seeded;
use crate::segment::LogOptions;
use crate::simulated_disk::{Fault, SimulatedDisk};

const DIR: &str = "/node/log";
const OBJECTS: u8 = 5;
const PART_BYTES: usize = 2000;

/// One object: what must be true of it, and where it stands.
#[derive(Default, Clone)]
struct Object {
    /// Commit that its file durably holds.
    file: u64,
    acknowledged: u64,
    /// Newest commit handed to the log.
    appended: u64,
    chain: u32,
    checkpointing: bool,
}

struct Play {
    disk: SimulatedDisk,
    random: Seeded,
    objects: Vec<Object>,
    start_number: u32,
    secured: LogPosition,
}

/// Why a life ended: an accident, which is expected, or a broken promise.
enum End {
    Accident,
    Broken(String),
}

impl From<LogError> for End {
    fn from(_: LogError) -> Self {
        End::Accident
    }
}

impl Play {
    fn arm(&mut self, within: u64) {
        let fault = match self.random.below(6) {
            0 => Fault::NoSpace,
            1 => Fault::InputOutput,
            2 => Fault::ShortWrite,
            _ => Fault::PowerLoss,
        };
        let at = self.disk.operations() + 1 + self.random.below(within);
        self.disk.fail_at(at, fault);
    }

    fn recover(&mut self) -> Result<StartedLog, End> {
        if self.random.chance(30) {
            self.arm(12);
        }
        let options = LogOptions { segment_bytes: 16 * 1024, ..LogOptions::default() };
        let scan = LogScan::open(Arc::new(self.disk.clone()), Path::new(DIR), options);
        let mut scan = match scan {
            Err(LogError::Disk { .. }) => return Err(End::Accident),
            other => other.map_err(|error| End::Broken(error.to_string()))?,
        };
        if scan.end() < self.secured {
            return Err(End::Broken(format!("the log ends at {}, it ended at {}", scan.end(), self.secured)));
        }
        scan.secure_tail()?;
        if !scan.summary().is_empty() {
            self.secured = scan.end();
        }
        let applied = self.apply(&scan)?;
        for (number, file) in applied {
            self.objects[number].file = file;
        }
        if self.random.chance(20) {
            return Err(End::Accident);
        }
        let started = scan.finish()?;
        if started.start_number <= self.start_number {
            return Err(End::Broken(format!("start {} happens twice", started.start_number)));
        }
        self.start_number = started.start_number;
        Ok(started)
    }

    fn apply(&mut self, scan: &LogScan) -> Result<Vec<(usize, u64)>, End> {
        let mut files: Vec<u64> = self.objects.iter().map(|object| object.file).collect();
        let start = self.start_number;
        scan.for_each::<End>(&mut |record| {
            let number = usize::from(record.key.id.as_bytes()[0]);
            let sequence = record.sequence.0;
            let RecordBody::Commit { .. } = record.body else { return Ok(()) };
            let mut expected = commit(number as u8, sequence, start);
            (expected.chain, expected.epoch) = (record.chain, record.epoch);
            if record != expected {
                return Err(End::Broken(format!("commit {sequence} of object {number} came back changed")));
            }
            if sequence > files[number] + 1 {
                return Err(End::Broken(format!("object {number} jumps to commit {sequence}")));
            }
            files[number] = files[number].max(sequence);
            Ok(())
        })?;
        for (number, object) in self.objects.iter_mut().enumerate() {
            let file = files[number];
            let tail = scan.summary().get(&key(number as u8));
            if file < object.acknowledged || file > object.appended {
                return Err(End::Broken(format!(
                    "object {number} came back at commit {file}, acknowledged are {}, attempted {}",
                    object.acknowledged, object.appended
                )));
            }
            if tail.is_some_and(|tail| tail.sequence.0 != file) {
                return Err(End::Broken(format!("the file of object {number} is ahead of the log")));
            }
            *object = Object {
                file: object.file,
                acknowledged: file,
                appended: file,
                chain: tail.map_or(0, |tail| tail.chain),
                checkpointing: false,
            };
        }
        Ok(files.into_iter().enumerate().collect())
    }

    fn batch(&mut self) -> Vec<EncodedRecord> {
        let mut batch = Vec::new();
        for _ in 0..=self.random.below(5) {
            let number = self.random.below(u64::from(OBJECTS)) as u8;
            let object = &mut self.objects[usize::from(number)];
            object.appended += 1;
            let record = commit(number, object.appended, self.start_number);
            let encoded = encode_in_parts(&record, object.chain, PART_BYTES);
            object.chain = encoded.chain;
            batch.push(encoded);
        }
        batch
    }

    fn checkpoint(&mut self, started: &mut StartedLog) -> Result<(), LogError> {
        let number = self.random.below(u64::from(OBJECTS)) as u8;
        let object = &mut self.objects[usize::from(number)];
        if object.checkpointing || object.file == object.acknowledged {
            return Ok(());
        }
        object.file = object.acknowledged;
        object.checkpointing = true;
        let record = checkpoint(number, object.file, object.appended, self.start_number);
        let encoded = encode_in_parts(&record, object.chain, PART_BYTES);
        object.chain = encoded.chain;
        started.log.append(&mut [encoded]).map(drop)
    }

    fn live(&mut self) -> Result<(), End> {
        let mut started = self.recover()?;
        self.arm(60);
        let mut pins = Pins::default();
        for _ in 0..self.random.below(80) {
            match self.random.below(10) {
                0..5 => {
                    let mut batch = self.batch();
                    let positions = started.log.append(&mut batch)?;
                    for (record, position) in batch.iter().zip(positions) {
                        pins.appended(record.key, record.sequence, position);
                    }
                }
                5..7 => {
                    let durable = started.log.sync()?;
                    assert_eq!(durable, started.log.position());
                    for (number, object) in self.objects.iter_mut().enumerate() {
                        object.acknowledged = object.appended;
                        if std::mem::take(&mut object.checkpointing) {
                            pins.checkpoint_durable(key(number as u8), Sequence(object.file));
                        }
                    }
                }
                7 => self.checkpoint(&mut started)?,
                8 => drop(started.pool.prepare()?),
                _ => {
                    let needed = pins.least_needed(started.log.position());
                    started.control.release(needed, &started.pool)?;
                }
            }
        }
        Err(End::Accident)
    }
}

fn play(seed: u64) -> Result<(), String> {
    let mut play = Play {
        disk: SimulatedDisk::new(seed),
        random: Seeded::new(!seed),
        objects: vec![Object::default(); usize::from(OBJECTS)],
        start_number: 0,
        secured: LogPosition(0),
    };
    for _ in 0..10 {
        if let Err(End::Broken(text)) = play.live() {
            return Err(text);
        }
        play.disk.clear_faults();
        if play.random.chance(60) { play.disk.power_loss() } else { play.disk.restart() }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_happens_acknowledged_commits_come_back_whole_and_in_order() {
        for seed in 0..500 {
            if let Err(text) = play(seed) {
                panic!("seed {seed}: {text}");
            }
        }
    }

    #[test]
    fn a_failure_at_each_operation_is_final_and_loses_nothing_acknowledged() {
        for fault in [Fault::NoSpace, Fault::InputOutput, Fault::ShortWrite, Fault::PowerLoss] {
            for step in 1..1000 {
                if !script_with_fault(step, fault) {
                    assert!(step > 40, "the script is too short to mean anything");
                    break;
                }
            }
        }
    }

    /// Appends and syncs until the fault strikes; `false` if it never did.
    fn script_with_fault(step: u64, fault: Fault) -> bool {
        let disk = SimulatedDisk::new(step);
        let options = LogOptions { segment_bytes: 16 * 1024, ..LogOptions::default() };
        let open = || LogScan::open(Arc::new(disk.clone()), Path::new(DIR), options.clone());
        let begin = || -> Result<StartedLog, LogError> {
            let mut scan = open()?;
            scan.secure_tail()?;
            scan.finish()
        };
        let mut log = begin().expect("disk is well").log;
        disk.fail_at(disk.operations() + step, fault);
        let (mut chain, mut acknowledged) = (0, 0);
        let mut failure = None;
        for sequence in 1..150 {
            let encoded = encode_in_parts(&commit(0, sequence, 1), chain, PART_BYTES);
            chain = encoded.chain;
            match log.append(&mut [encoded]).and_then(|_| log.sync()) {
                Ok(_) => acknowledged = sequence,
                Err(error) => {
                    failure = Some(error.to_string());
                    break;
                }
            }
        }
        if let Some(text) = &failure {
            assert_eq!(&log.sync().expect_err("final").to_string(), text);
            assert_eq!(&log.append(&mut []).expect_err("final").to_string(), text);
        }
        disk.clear_faults();
        disk.power_loss();
        let scan = open().unwrap_or_else(|error| panic!("{fault:?} at {step}: {error}"));
        let found = scan.summary().get(&key(0)).map_or(0, |tail| tail.sequence.0);
        let attempted = acknowledged + u64::from(failure.is_some());
        assert!((acknowledged..=attempted).contains(&found), "{fault:?} at {step}: {found} {acknowledged}");
        failure.is_some()
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let operations = |seed| {
            let disk = SimulatedDisk::new(seed);
            let mut play = Play {
                disk: disk.clone(),
                random: Seeded::new(seed),
                objects: vec![Object::default(); usize::from(OBJECTS)],
                start_number: 0,
                secured: LogPosition(0),
            };
            drop(play.live());
            disk.operations()
        };
        assert_eq!(operations(7), operations(7));
    }

    #[test]
    fn each_planted_fault_is_noticed() {
        let visible = [
            Mutation::SkipLogSync,
            Mutation::SkipSealSync,
            Mutation::SkipSegmentDirSync,
            Mutation::SkipControlSync,
            Mutation::SkipControlDirSync,
            Mutation::RecycleBeforeControl,
            Mutation::IgnorePins,
            Mutation::SkipTailRewrite,
            Mutation::AcceptStalePosition,
        ];
        let mut unseen = Vec::new();
        for mutation in visible {
            plant(Some(mutation));
            let found = (0..2000).find_map(|seed| play(seed).err().map(|text| (seed, text)));
            plant(None);
            match found {
                Some((seed, text)) => println!("{mutation:?}: seed {seed}: {text}"),
                None => unseen.push(mutation),
            }
        }
        assert!(unseen.is_empty(), "no seed noticed {unseen:?}");
    }
}
