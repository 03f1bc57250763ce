//! x
#![allow(clippy::all, missing_docs)]
use std::{path::{Path,PathBuf}, sync::{Arc,Mutex}, time::{Duration, Instant}};
use durabo_changelog::{disk::{Disk,RealDisk}, scan::{LogScan, StartedLog}, segment::{Durability, LogOptions}};
use durabo_model::{failure::Failure, limits::ObjectLimits, name::ClassName, object::*, object_id::NamespaceKey, time::*};
use durabo_objects::{committer::*, directory::*, node::*, placement::SingleNode, upkeep::*, event::*};
use durabo_storage::object_index::ObjectIndex;
use durabo_runtime::{engine::*, component_cache::*, deployed::*, env_bindings::*, guest::WasmLoader};
struct C; impl Clock for C { fn now(&self) -> Timestamp { Timestamp(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64) } }
struct One(DeployedClass); impl DeployedClasses for One { fn deployed(&self, _: NamespaceNumber) -> Result<DeployedClass, Failure> { Ok(self.0.clone()) } }
fn text(s: &str) -> Vec<u8> { let mut v = if s.len() < 24 { vec![0x60 | s.len() as u8] } else { vec![0x78, s.len() as u8] }; v.extend(s.as_bytes()); v }
fn arr(items: &[Vec<u8>]) -> Vec<u8> { let mut v = vec![0x80 | items.len() as u8]; for i in items { v.extend(i) } v }
fn int(n: u16) -> Vec<u8> { let mut v = vec![0x19]; v.extend(n.to_be_bytes()); v }
#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let (class, wasm) = (std::env::args().nth(1).unwrap(), std::env::args().nth(2).unwrap());
    let dir = tempfile::tempdir().unwrap(); let root = dir.path().to_owned();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let log_dir = root.join("log"); std::fs::create_dir_all(&log_dir).unwrap(); std::fs::create_dir_all(root.join("o/1")).unwrap(); std::fs::create_dir_all(root.join("code")).unwrap();
    let mut scan = LogScan::open(disk.clone(), &log_dir, LogOptions::default()).unwrap();
    let index = ObjectIndex::open(disk.clone(), &root.join("index.sqlite")).unwrap();
    scan.secure_tail().unwrap();
    let StartedLog { log, pool, control, start_number } = scan.finish().unwrap();
    let (commits, jobs) = (CommitQueue::default(), UpkeepQueue::default());
    let pins = LogPins::new(log.durable());
    let r2 = root.clone();
    let limits = ObjectLimits { cpu_per_event: Duration::from_millis(500), idle_after: Duration::from_secs(2), ..ObjectLimits::default() };
    let node = Arc::new(Node { limits, durability: Durability::Strict, clock: Arc::new(C), disk, object_path: Box::new(move |k: &ObjectKey| -> PathBuf { r2.join("o").join(k.namespace.to_string()).join(format!("{}.sqlite", k.id)) }), commits: commits.clone(), upkeep: jobs.clone(), pins: pins.clone(), index: Arc::new(Mutex::new(index)), counters: Counters::new(start_number) });
    let engine = GuestEngine::start(&EngineConfig::default()).unwrap();
    let cache = ComponentCache::new(&engine, root.join("code")).unwrap();
    let bytes = std::fs::read(Path::new(&wasm)).unwrap();
    let t = Instant::now();
    let component = match cache.add(&bytes) { Ok(c) => c, Err(e) => { println!("REFUSED {e}"); return } };
    println!("compiled in {:?}; suspends {} handlers {:?}; classes {:?}", t.elapsed(), component.facts().suspends, component.handlers(), component.facts().description.classes.iter().map(|c| c.name.as_str()).collect::<Vec<_>>());
    let bindings = Arc::new(EnvBindings::new([("GREETING".to_owned(), EnvBinding::Text("hi".into()))]));
    let deployed = DeployedClass { class: ClassName::new(class.clone()).unwrap(), deployment: 1, component, bindings };
    let directory = Directory::new(node.clone(), Arc::new(WasmLoader::new(engine, Arc::new(One(deployed)))), Box::new(SingleNode), tokio::runtime::Handle::current());
    let asked = directory.clone();
    let upkeep = Upkeep { queue: jobs, commits: commits.clone(), pins: pins.clone(), pool, control, index: node.index.clone(), log_bytes_target: 1 << 24, request_checkpoint: Box::new(move |k| asked.request_checkpoint(k)) };
    let committer = Committer::new(log, commits, pins);
    std::thread::spawn(move || committer.run().unwrap()); std::thread::spawn(move || upkeep.run().unwrap());
    let address = |n: &str| ObjectAddress { key: ObjectKey { namespace: NamespaceNumber(1), id: NamespaceKey::new("k").id_from_name(n) }, class: ClassName::new(class.clone()).unwrap(), name: Some(n.to_owned()) };
    let call = async |m: &str, args: Vec<u8>| { let t = Instant::now(); let r = directory.deliver(address("a"), Event::Rpc { method: m.to_owned(), args: args.into() }, None).await; println!("{m}: {} [{:?}]", match r { Ok(Reply::Rpc(b)) => format!("ok {:02x?} {:?}", &b[..b.len().min(60)], String::from_utf8_lossy(&b[..b.len().min(60)])), Ok(o) => format!("{o:?}"), Err(f) => format!("ERR {:?} {} remote={} reset={}: {}", f.kind, f.code, f.flags.remote, f.flags.object_reset, f.message) }, t.elapsed()); };
    let fetch = async |path: &str| { let t = Instant::now(); let r = directory.deliver(address("a"), Event::Fetch(HttpRequest { method: "GET".into(), url: format!("http://x{path}"), headers: vec![], body: Default::default() }), None).await; println!("fetch {path}: {r:?} [{:?}]", t.elapsed()); };
    match class.as_str() {
        "Counter" => { for _ in 0..3 { call("increment", arr(&[])).await; } fetch("/").await; call("nope", arr(&[])).await;
            let t = Instant::now(); let n = 20000; for _ in 0..n { directory.deliver(address("a"), Event::Rpc { method: "increment".into(), args: vec![0x80].into() }, None).await.unwrap(); } println!("{n} sequential increments {:?} each", t.elapsed() / n);
            let t = Instant::now(); let mut set = tokio::task::JoinSet::new(); for _ in 0..64 { let (d, a) = (directory.clone(), address("a")); set.spawn(async move { for _ in 0..500 { d.deliver(a.clone(), Event::Rpc { method: "increment".into(), args: vec![0x80].into() }, None).await.unwrap(); } }); } while set.join_next().await.is_some() {} println!("32000 increments by 64: {:?} each", t.elapsed() / 32000);
            call("increment", arr(&[])).await;
            tokio::time::sleep(Duration::from_secs(4)).await; println!("live {:?}", directory.live_objects().len()); call("increment", arr(&[])).await; }
        "Faults" => { for m in ["ping","spin","traces","spin_in_sql","ping","allocate","ping","recurse","ping"] { call(m, arr(&[])).await; } call("panic", arr(&[text("my panic text")])).await; for m in ["trap","traces","garbage"] { call(m, arr(&[])).await; } call("noise", arr(&[int(3)])).await; fetch("/").await; fetch("/status/99").await; fetch("/status/204").await; fetch("/panic").await; fetch("/").await;
            call("spin-in-sql", arr(&[])).await; call("spinInSql", arr(&[])).await; }
        "Lifecycle" => { call("identity", arr(&[])).await; call("write", arr(&[text("a")])).await; call("write_await_write_trap", arr(&[text("b"), text("c")])).await; call("write_then_fail", arr(&[text("d")])).await; call("write_then_panic", arr(&[text("e")])).await; call("abort_with", arr(&[text("my reason")])).await; call("write_then_abort", arr(&[text("g"), vec![0xf6]])).await; call("keys", arr(&[])).await; call("starts", arr(&[])).await; call("fail_start", arr(&[vec![0xf5]])).await; call("abort_with", arr(&[vec![0xf6]])).await; call("keys", arr(&[])).await; call("keys", arr(&[])).await; fetch("/status/99").await; fetch("/status/201?header=x-a:b&body=tea").await; fetch("/fail/xx").await;
            }
        "Gates" => { call("increment", arr(&[])).await; let t = Instant::now(); tokio::join!(call("increment_over_wait", arr(&[int(100)])), call("increment", arr(&[])), call("increment_over_wait", arr(&[int(100)]))); println!("all {:?}", t.elapsed()); call("read", arr(&[])).await; call("event", arr(&[])).await; call("event_id", arr(&[])).await; }
        _ => { fetch("/").await; }
    }
    println!("{} live", directory.live_objects().len()); std::process::exit(0);
}
