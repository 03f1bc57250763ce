//! Programs for events that call, hold sections, are stopped in their midst and go on after their reply,
//! with what must be true of their numbers afterwards.
//!
//! Each act that writes or calls is noted in the model, so that what got out can be held against it.

use durabo_changelog::seeded::Seeded;

use crate::act::Act;
use crate::fake_guest::BLOCKING;
use crate::model::Model;

/// The objects of a run; the last cannot suspend.
pub const OBJECTS: [u64; 4] = [0, 1, 2, BLOCKING + 3];

/// Makes one program after the other.
pub struct Programs<'a> {
    /// Chooses.
    pub random: &'a mut Seeded,
    /// Is told.
    pub model: &'a mut Model,
}

/// What a program has done in its present turn.
#[derive(Default)]
struct Turn {
    /// Numbers written, and numbers that calls are to write elsewhere.
    undone_by_trap: Vec<u64>,
}

impl Programs<'_> {
    /// A program for `object`.
    pub fn next(&mut self, object: u64) -> Vec<Act> {
        let mut acts = Vec::new();
        let mut turn = Turn::default();
        let mut newest = None;
        let mut awaits = false;
        for _ in 0..self.random.below(4) + 1 {
            match self.random.below(14) {
                0..=3 => newest = Some(self.write(object, &mut acts, &mut turn)),
                4 | 5 => {
                    self.call(object, newest, &mut acts, &mut turn);
                    awaits = true;
                }
                6 => acts.push(Act::Suspend),
                7 => {
                    let wait = self.wait();
                    self.end_turn(wait, &mut acts, &mut turn);
                }
                8 if awaits => self.end_turn(Act::Await, &mut acts, &mut turn),
                8 => acts.push(Act::GiveUp),
                9 | 10 => self.section(object, &mut acts, &mut turn),
                11 | 12 => self.transaction(object, newest, &mut acts, &mut turn),
                _ => acts.push(Act::Reply),
            }
        }
        match self.random.below(8) {
            0 => {
                turn.undone_by_trap.iter().for_each(|number| self.model.forbid(*number));
                acts.push(if self.random.chance(50) { Act::Trap } else { Act::Abort });
            }
            1 => acts.push(Act::Fail),
            _ => {}
        }
        acts
    }

    fn end_turn(&mut self, act: Act, acts: &mut Vec<Act>, turn: &mut Turn) {
        acts.push(act);
        *turn = Turn::default();
    }

    fn write(&mut self, object: u64, acts: &mut Vec<Act>, turn: &mut Turn) -> u64 {
        let number = self.model.new_number(object);
        acts.push(Act::Write(number, self.random.below(200) as usize));
        turn.undone_by_trap.push(number);
        number
    }

    /// A call that writes elsewhere: what it writes shows that what was written before it was durable.
    fn call(&mut self, object: u64, newest: Option<u64>, acts: &mut Vec<Act>, turn: &mut Turn) {
        let target = OBJECTS[self.random.below(OBJECTS.len() as u64) as usize];
        let number = self.model.new_number(target);
        let mut inner = vec![Act::Write(number, 10)];
        if self.random.chance(30) {
            inner.push(Act::Wait);
        }
        acts.push(Act::Call(target, inner));
        // A call that nothing was written before depends on nothing that could be undone.
        if !turn.undone_by_trap.is_empty() {
            turn.undone_by_trap.push(number);
        }
        if let Some(newest) = newest {
            self.model.shows((target, number), (object, newest));
        }
    }

    /// Writes around waits, with nothing of others in between.
    fn section(&mut self, object: u64, acts: &mut Vec<Act>, turn: &mut Turn) {
        self.end_turn(Act::Enter, acts, turn);
        let mut numbers = vec![self.write(object, acts, turn)];
        for _ in 0..self.random.below(2) + 1 {
            let wait = self.wait();
            self.end_turn(wait, acts, turn);
        }
        numbers.push(self.write(object, acts, turn));
        acts.push(Act::Leave);
        self.model.together(object, numbers);
    }

    /// Writes around waits, all or nothing, with a call or a transaction within it in between.
    fn transaction(&mut self, object: u64, newest: Option<u64>, acts: &mut Vec<Act>, turn: &mut Turn) {
        acts.extend([Act::Enter, Act::Begin]);
        // What begins commits what was written before, and none of the rest is a turn's.
        let mut within = Turn::default();
        let mut numbers = vec![self.write(object, acts, &mut within)];
        for _ in 0..self.random.below(3) {
            match self.random.below(4) {
                0 => {
                    let keeps = self.random.chance(50);
                    acts.extend([Act::Enter, Act::Begin]);
                    let number = self.write(object, acts, &mut within);
                    acts.extend([self.wait(), if keeps { Act::Commit } else { Act::RollBack }, Act::Leave]);
                    if keeps { numbers.push(number) } else { self.model.forbid(number) }
                }
                // It waits for what was committed before the transaction alone (TX-13), and nothing undoes it.
                1 => {
                    let mut nobody = Turn::default();
                    self.call(object, newest, acts, &mut nobody);
                    acts.push(Act::Await);
                }
                _ => acts.push(self.wait()),
            }
            numbers.push(self.write(object, acts, &mut within));
        }
        match self.random.below(4) {
            0 => acts.push(Act::RollBack),
            // Left open, it goes with its section.
            1 => {}
            _ => {
                acts.push(Act::Commit);
                self.model.whole(object, std::mem::take(&mut numbers));
            }
        }
        numbers.into_iter().for_each(|number| self.model.forbid(number));
        acts.push(Act::Leave);
        *turn = Turn::default();
    }

    fn wait(&mut self) -> Act {
        if self.random.chance(20) { Act::Wait } else { Act::Pause(self.random.below(12)) }
    }
}
