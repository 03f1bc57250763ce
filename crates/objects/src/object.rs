//! The life of one object in memory: one task that owns its context and, while there is work, its
//! instance.
//!
//! Nothing else touches either. An object that has nothing to do first drops its instance, which is its
//! hibernation, and later leaves memory: then the task ends, as it does when the node stops. Everything
//! committed is in the object's file by then.

use std::sync::Arc;
use std::time::Duration;

use durabo_model::error_code::ErrorCode;
use durabo_model::failure::Failure;
use durabo_model::object::ObjectIdentity;
use tracing::{error, info};

use crate::back_off::BackOff;
use crate::context::{ObjectContext, ResetOf, Waited};
use crate::control::Control;
use crate::guest::{GuestExit, GuestLoader};
use crate::mailbox::MailboxReceiver;
use crate::node::Node;
use crate::outbound::Post;
use crate::registry::Registration;
use crate::retry::Retry;

/// Longest pause before an object that is out of service is tried again.
const SERVICE_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What the task of an object starts with.
pub(crate) struct ObjectTask {
    pub node: Arc<Node>,
    pub loader: Arc<dyn GuestLoader>,
    pub identity: ObjectIdentity,
    pub mailbox: MailboxReceiver,
    pub control: Arc<Control>,
    pub post: Arc<dyn Post>,
    pub registration: Registration,
}

impl ObjectTask {
    /// Runs until the object leaves memory.
    pub(crate) async fn run(self) {
        let Self { node, loader, identity, mailbox, control, post, registration } = self;
        let id = identity.key.id;
        match ObjectContext::open(node, identity, mailbox, control, post) {
            Ok(context) => live(context, &*loader, &registration).await,
            Err(refused) => {
                let (mut mailbox, failure) = *refused;
                error!(object = %id, %failure, "object cannot start");
                // Nothing of it is in memory, so the next event may try again.
                while let Err(back) = registration.leave(mailbox, |mailbox| !mailbox.is_empty()) {
                    mailbox = back;
                    if let Some(delivery) = mailbox.try_take() {
                        delivery.refuse(failure.clone());
                    }
                }
            }
        }
    }
}

async fn live(mut context: Box<ObjectContext>, loader: &dyn GuestLoader, registration: &Registration) {
    let mut back_off = BackOff::default();
    loop {
        let waited = context.wait_for_event().await;
        let settled = match waited {
            Err(failure) => Err(failure),
            Ok(Waited::Event) => {
                let wait = back_off.wait(context.limits());
                if !wait.is_zero() {
                    context.wait_out(wait).await;
                }
                let (back, exit) = run_instance(context, loader).await;
                context = back;
                match exit {
                    // Reads must not wait for the disk, and there may be one behind each write.
                    GuestExit::Reset(_) if context.lacked_space() => {}
                    GuestExit::Reset(_) => back_off.broke(context.has_answered()),
                    GuestExit::Idle | GuestExit::Retired => back_off.went_well(),
                }
                match exit {
                    GuestExit::Idle => context.hibernate().await.map(|()| false),
                    GuestExit::Retired => context.reload().await.map(|()| false),
                    GuestExit::Reset(failure) => reset(&mut context, failure).await.map(|()| false),
                }
            }
            Ok(Waited::Apart(what)) => match context.serve_apart(what) {
                Ok(()) => Ok(false),
                Err(failure) => context.reset(ResetOf::Apart, failure).await.map(|()| false),
            },
            Ok(Waited::Idle) => context.settle().await,
            Ok(Waited::Broken) => context.reload().await.map(|()| false),
            Ok(Waited::Stopping) => {
                context.fail_waiting(&stopping());
                match context.settle().await {
                    // The change log has all of it; the next start applies it.
                    Ok(false) if !context.has_event() => return,
                    settled => settled,
                }
            }
        };
        let done = match settled {
            Ok(true) => match registration.leave(context, |context| context.has_event()) {
                Ok(()) => return,
                Err(back) => {
                    context = back;
                    Ok(())
                }
            },
            Ok(false) => Ok(()),
            // By a commit that failed when no instance was there any more.
            Err(_) if context.is_broken() => context.reload().await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = done {
            match return_to_service(context, failure, registration).await {
                Some(back) => context = back,
                None => return,
            }
        }
    }
}

/// Resets the object. An instance that could not even start fails the event that asked for it (LC-3).
async fn reset(context: &mut ObjectContext, failure: Failure) -> Result<(), Failure> {
    let identity = context.identity();
    info!(class = identity.class.as_str(), object = %identity.key.id, %failure, "object was reset");
    context.reset(ResetOf::Instance, failure).await
}

/// Makes an instance and runs it until it stops. A guest that cannot be made fails the event that
/// asked for it; the next one tries again.
async fn run_instance(
    context: Box<ObjectContext>,
    loader: &dyn GuestLoader,
) -> (Box<ObjectContext>, GuestExit) {
    let (gate, control, counted) = (context.input_gate(), context.control(), context.count_instance());
    match loader.load(context) {
        Ok(mut guest) => {
            control.set_has_instance(true);
            let exit = guest.run().await;
            control.set_has_instance(false);
            // Dropping the guest leaves its sections.
            let is_in_section = gate.is_closed();
            let mut context = guest.into_context();
            drop(counted);
            context.set_ended_in_section(is_in_section);
            assert!(context.has_database(), "BUG: a guest ended without the object's database");
            context.end_transactions();
            let exit = match exit {
                // What a reset instance wrote since is undone.
                GuestExit::Reset(_) => exit,
                // Of the run of an alarm something may be left to store.
                GuestExit::Idle | GuestExit::Retired => {
                    context.end_turn().map_or_else(GuestExit::Reset, |()| exit)
                }
            };
            (context, exit)
        }
        Err(refused) => {
            let (mut context, failure) = *refused;
            context.fail_next(failure);
            (context, GuestExit::Retired)
        }
    }
}

/// Refuses events while what is committed cannot be brought into the file, since a new start would see an
/// old state, and tries that again and again. Gives the context back once it can serve; `None` if it has
/// left because the node stops. The change log has it all, and the node's next start applies it.
async fn return_to_service(
    mut context: Box<ObjectContext>,
    mut failure: Failure,
    registration: &Registration,
) -> Option<Box<ObjectContext>> {
    let id = context.identity().key.id;
    let mut retry = Retry::new(SERVICE_PAUSE_MAX);
    loop {
        let is_open = context.has_open_outcome();
        let until = match is_open {
            true => "it is known what became of its commits",
            // Nothing can be promised any more once the log has failed.
            false if context.is_broken_for_good() => "the node is started again",
            false => "this succeeds",
        };
        error!(object = %id, %failure, "object is out of service until {until}");
        let text = format!("{}; the object is out of service until {until}", failure.message);
        let mut refusal = Failure::new(ErrorCode::StorageFailed, text).of_object(id);
        refusal.flags.retryable = is_open;
        let goes_on = match is_open {
            true => context.refuse_while_open(&refusal).await,
            false => context.refuse_for_now(&refusal, retry.failed()).await,
        };
        if !goes_on {
            break;
        }
        match context.reload().await {
            Ok(()) => {
                info!(object = %id, "object is in service again");
                return Some(context);
            }
            Err(again) => failure = again,
        }
    }
    loop {
        context.fail_waiting(&stopping());
        context = registration.leave(context, |context| context.has_event()).err()?;
    }
}

fn stopping() -> Failure {
    Failure::new(ErrorCode::Stopping, "the node is stopping; try again later")
}
