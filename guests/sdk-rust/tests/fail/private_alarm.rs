//! A handler of the alarm that is not public would never run.
use durabo::{AlarmInfo, Context};

pub struct Clock;

#[durabo::object]
impl Clock {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    async fn alarm(&self, _info: AlarmInfo) {}
}

durabo::export!(Clock);

fn main() {}
