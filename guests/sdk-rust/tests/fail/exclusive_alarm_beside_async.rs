//! A run of the alarm would change the object behind a method that waits.
use durabo::{AlarmInfo, Context};

pub struct Clock(u32);

#[durabo::object]
impl Clock {
    pub fn new(_ctx: Context) -> Self {
        Self(0)
    }
    pub async fn wait(&self) {}
    pub fn alarm(&mut self, info: AlarmInfo) {
        self.0 = info.retry_count;
    }
}

durabo::export!(Clock);

fn main() {}
