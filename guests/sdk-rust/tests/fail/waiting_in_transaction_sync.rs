//! A closure that waits would end its turn: `transaction_sync` takes none (B-17).
use durabo::{Context, Failure, timer};

pub async fn pay(ctx: Context) -> Result<(), Failure> {
    ctx.storage().transaction_sync(async || {
        timer::sleep(std::time::Duration::from_millis(1)).await;
        ctx.kv().put("paid", &true)
    })
}

fn main() {}
