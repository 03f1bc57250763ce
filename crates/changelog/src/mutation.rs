//! Planted faults: each takes out one sync, wait or order that durability rests on.
//!
//! The power-loss simulation plants one at a time and must notice each: a fault that no seed finds
//! means that the simulation is blind there. Without the feature `simulation` nothing can be planted
//! and every check is a constant.

/// Makes the faults and the lists of them: each is in the list under which it stands and in no other.
macro_rules! mutations {
    ($($(#[$about:meta])* $list:ident { $($(#[$what:meta])* $fault:ident,)* })*) => {
        /// One fault. The text says what is left out.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Mutation {
            $($($(#[$what])* $fault,)*)*
        }

        impl Mutation {
            $($(#[$about])* pub const $list: &'static [Mutation] = &[$(Mutation::$fault),*];)*
        }
    };
}

mutations! {
    /// Every fault of durability.
    OF_DURABILITY {
        /// The log is not synced before commits count as durable (invariant 1).
        SkipLogSync,
        /// Commits are acknowledged before the log's sync instead of after it (invariant 1).
        AcknowledgeBeforeSync,
        /// The old segment is not synced before the next one is written (invariant 1).
        SkipSealSync,
        /// The folder is not synced after a segment got its name (invariant 4).
        SkipSegmentDirSync,
        /// The control file's content is not synced before its rename (invariant 4).
        SkipControlSync,
        /// The folder is not synced after the control file's rename (invariant 4).
        SkipControlDirSync,
        /// Segments are recycled before the control file that gives them up is durable.
        RecycleBeforeControl,
        /// Segments are recycled although an object still needs them.
        IgnorePins,
        /// Recovery does not write the accepted tail into a fresh synced segment (invariant 8).
        SkipTailRewrite,
        /// A record is accepted wherever it stands, as if recycled segments held nothing old.
        AcceptStalePosition,
        /// WAL pages go to the object's file before their records are durable (invariant 2).
        CheckpointBeforeDurable,
        /// Differences go on after a checkpoint as if the page had been logged whole (invariant 3).
        KeepDifferenceBase,
        /// The object's file is not synced before its checkpoint record (invariant 4).
        SkipFileSync,
        /// The folder is not synced after an object's file was made (invariant 4).
        SkipFileDirSync,
        /// The checkpoint record is written before the file is synced (invariant 4).
        CheckpointRecordBeforeSync,
        /// The object index is not synced before checkpoint records rely on it (invariant 4).
        SkipIndexSync,
        /// Under relaxed durability a checkpoint record is not synced before the log it covers is given up.
        SkipCheckpointRecordSync,
        /// Recovery does not sync the object files it wrote before it moves the control position.
        SkipRecoverySync,
    }

    /// Every fault that shows only when `delete-all` is called.
    OF_WIPES {
        /// The object's file is emptied when the guest asks for it, and not when the record is durable (invariant 12).
        WipeFileAtOnce,
        /// A wipe stays although its turn is undone (invariant 12).
        KeepUndoneWipe,
        /// Recovery passes over the record of a wipe.
        SkipWipeInRecovery,
        /// Differences go on over a wipe as if pages from before it counted.
        KeepImagesOverWipe,
    }

    /// Every fault that shows only while the disk is full.
    OF_FULL_DISK {
        /// Commits go into the log although no segment is prepared for them.
        CommitBeyondRoom,
        /// Commits are acknowledged although the segment for them could not be prepared.
        AcknowledgeUnprepared,
        /// A copy of the WAL that found no space counts as done.
        TakeFullForCopied,
        /// A transaction of the object index that found no space counts as done.
        TakeFullForIndexed,
        /// A disk that was full counts as full for ever.
        StayShort,
    }

    /// Every fault that shows only when a commit does not come into the log.
    OF_OUTCOMES {
        /// The WAL is not cut when a commit did not come into the log (invariant 6).
        KeepFailedFrames,
        /// Records behind one that did not come into the log come into it all the same (invariant 6).
        KeepLaterRecords,
        /// An object is started although the outcome of a commit is open (invariant 7).
        StartBeforeKnown,
    }

    /// Every fault by which an alarm is forgotten, or runs after it was deleted.
    OF_ALARMS {
        /// A commit's record says that the alarm is as before.
        OmitAlarmChange,
        /// A checkpoint leaves the alarm in the object index as it was.
        KeepIndexedAlarm,
        /// Recovery does not look at what records say of alarms.
        ForgetAlarmInRecovery,
        /// A commit that changes the alarm is not told to the schedule.
        ScheduleUntold,
        /// An alarm that is stored runs whatever its time is.
        RunEarly,
    }

    /// Every fault by which a named alarm is forgotten, runs at another time, or although it was deleted.
    OF_NAMED_ALARMS {
        /// An object is to be woken for its alarm alone.
        LeaveEntriesOut,
        /// Setting an entry exactly as it stands begins it anew (SC-7).
        SetSameAnew,
        /// The end of a run is stored for its entry although that was set anew meanwhile (SC-12).
        SettleReplacedEntry,
        /// The end of a run is not stored (SC-18).
        KeepEntryThatRan,
        /// A repeating entry goes on behind the time that it ran for, also if that is long past (SC-13).
        RepeatWhatWasMissed,
    }

    /// Every fault by which an event of a socket is lost or comes at the wrong time, or a frame does.
    OF_SOCKETS {
        /// Frames leave without a look at the output gate (OG-3).
        ReleaseFramesAtOnce,
        /// A closing frame whose turn was undone counts as sent.
        KeepUndoneClose,
        /// The object is called for an event of a socket while it handles another one of it (WS-15).
        CallWhileHandled,
        /// What has come while an event was handled waits until something else comes (WS-15).
        ForgetWhatCameMeanwhile,
        /// Sockets are cut when their object traps (D7).
        CutAtTrap,
        /// Calls of sockets fail with what waits when a section is broken (D7).
        FailCallsOfSockets,
        /// An object that comes back into memory does not find its sockets (WS-29).
        LeaveSocketsBehind,
    }

    /// Every fault of an object's gates.
    OF_GATES {
        /// The mailbox's branch looks at the input gate before the turn end and not when it is polled (T7).
        ReadGateEarly,
        /// What leaves takes the position of the newest commit although a turn is open (T5).
        IgnoreOpenTurn,
        /// What a discarded turn had asked to send stays in the gate (OG-6).
        KeepDiscardedEffects,
        /// An import does not look at the section gate after its wait (T8).
        SkipSectionAfterWait,
        /// A section opens at once, with guest code still on its way that does not belong to it (T6).
        OpenSectionEarly,
        /// The end of a turn commits what a transaction over waits has written so far (TX-5).
        CommitOpenTransaction,
        /// A transaction over waits outlives its section (TX-5).
        KeepTransactionOfLeftSection,
    }
}

/// Whether this fault is planted in the present thread.
#[cfg(not(any(test, feature = "simulation")))]
#[inline(always)]
pub const fn is_planted(_mutation: Mutation) -> bool {
    false
}

#[cfg(any(test, feature = "simulation"))]
pub use planted::{is_planted, plant};

#[cfg(any(test, feature = "simulation"))]
mod planted {
    use super::Mutation;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Whether this fault is planted in the present thread.
    pub fn is_planted(mutation: Mutation) -> bool {
        PLANTED.get() == Some(mutation)
    }

    /// Plants a fault in the present thread, or takes it away.
    pub fn plant(mutation: Option<Mutation>) {
        PLANTED.set(mutation);
    }
}
