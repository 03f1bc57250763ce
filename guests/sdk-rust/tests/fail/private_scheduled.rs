//! A handler of named alarms that is not public would never run.
use durabo::{Context, ScheduleInfo};

pub struct Clock;

#[durabo::object]
impl Clock {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    fn scheduled(&self, _info: ScheduleInfo) {}
}

durabo::export!(Clock);

fn main() {}
