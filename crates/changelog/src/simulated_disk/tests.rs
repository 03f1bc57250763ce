//! What the simulated disk loses with the power, tears and refuses, so that a test of others can rely on it.
//! Each loss is looked for under many seeds, since the disk chooses.

use super::*;

fn disk(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    disk.create_dir_all(Path::new("/d")).expect("folder");
    disk
}

fn put(disk: &SimulatedDisk, name: &str, bytes: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.open(&Path::new("/d").join(name), OpenMode::Create)?;
    file.write_all_at(bytes, 0)?;
    Ok(file)
}

#[test]
fn what_was_synced_with_its_name_survives_a_power_loss() {
    for seed in 0..50 {
        let disk = disk(seed);
        put(&disk, "a", b"hello").expect("write").sync_data().expect("sync");
        disk.sync_dir(Path::new("/d")).expect("sync");
        put(&disk, "b", b"lost?").expect("write");
        disk.power_loss();
        let file = disk.open(Path::new("/d/a"), OpenMode::Existing).expect("there");
        let mut bytes = [0; 9];
        assert_eq!(file.read_at(&mut bytes, 0).expect("read"), 5);
        assert_eq!(&bytes[..5], b"hello");
    }
}

#[test]
fn a_process_kill_keeps_the_writes_but_not_the_handles() {
    let disk = disk(1);
    let file = put(&disk, "a", b"hello").expect("write");
    disk.process_kill();
    assert!(file.read_at(&mut [0], 0).is_err());
    let again = disk.open(Path::new("/d/a"), OpenMode::Existing).expect("there");
    assert_eq!(again.len().expect("length"), 5);
}

#[test]
fn another_thread_may_come_in_before_an_operation() {
    let disk = disk(1);
    let file = put(&disk, "a", b"first").expect("write");
    let (other, seen) = (disk.clone(), file.clone());
    disk.interrupt_at(disk.operations() + 1, move || {
        let mut bytes = [0; 5];
        assert_eq!((seen.read_at(&mut bytes, 0).expect("read"), &bytes), (5, b"first"));
        put(&other, "b", b"between").expect("write");
    });
    file.write_all_at(b"later", 0).expect("write");
    assert!(disk.exists(Path::new("/d/b")).expect("look"));
}

#[test]
fn faults_strike_at_their_operation_and_power_stays_off_until_the_restart() {
    let disk = disk(1);
    disk.fail_at(disk.operations() + 2, Fault::NoSpace);
    assert_eq!(put(&disk, "a", b"x").expect_err("no space").raw_os_error(), Some(ENOSPC));
    disk.fail_at(disk.operations() + 1, Fault::PowerLoss);
    assert!(put(&disk, "a", b"x").is_err());
    assert!(disk.list(Path::new("/d")).is_err() && disk.is_off());
    disk.restart();
    assert!(disk.list(Path::new("/d")).is_ok());
}

#[test]
fn a_full_disk_refuses_growth_until_there_is_space_and_nothing_else() {
    let disk = disk(1);
    let file = put(&disk, "a", b"hello").expect("write");
    disk.set_capacity(Some(disk.used() + NEW_FILE_BYTES));
    assert_eq!(disk.space(Path::new("/d")).expect("look").free, NEW_FILE_BYTES);
    file.write_all_at(&[7; 5000], 2).expect_err("beyond the capacity");
    let mut bytes = [0; 5];
    assert_eq!(file.read_at(&mut bytes, 0).expect("read"), 5);
    assert_eq!(bytes, [b'h', b'e', 7, 7, 7]);
    file.write_all_at(&[7; 100], 0).expect("there is room for this");
    put(&disk, "b", b"x").expect_err("no room for one more");
    disk.remove(Path::new("/d/a")).expect("needs no space");
    put(&disk, "b", b"x").expect("room again");
}

#[test]
fn a_disk_filled_at_an_operation_stays_full_until_space_is_made() {
    let disk = disk(1);
    disk.fill_at(disk.growths() + 2);
    let file = disk.open(Path::new("/d/a"), OpenMode::Create).expect("the first");
    assert!(disk.space(Path::new("/d")).expect("look").free > 0);
    assert_eq!(file.write_all_at(b"x", 0).expect_err("full").raw_os_error(), Some(ENOSPC));
    assert_eq!(disk.space(Path::new("/d")).expect("look").free, 0);
    disk.remove(Path::new("/d/a")).expect("needs no space");
    assert!(disk.create_dir_all(Path::new("/d/e")).is_err());
    disk.make_space();
    put(&disk, "b", b"x").expect("space");
}
