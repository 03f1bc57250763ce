//! `alarm` is the handler of the alarm and no method: it takes what is known of the run and gives nothing.
use durabo::{AlarmInfo, Context, Failure};

pub struct Clock;

#[durabo::object]
impl Clock {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    pub fn alarm(&self, _info: AlarmInfo) -> Result<u8, Failure> {
        Ok(1)
    }
}

pub struct Bell;

#[durabo::object]
impl Bell {
    pub fn new(_ctx: Context) -> Self {
        Self
    }
    pub fn alarm(&self, _info: String) {}
}

durabo::export!(Clock, Bell);

fn main() {}
