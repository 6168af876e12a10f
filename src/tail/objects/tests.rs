//! Objects as they come, whole, late, half and broken.

use std::io::Write as _;
use std::time::UNIX_EPOCH;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::tail::Envelope;
use crate::tail::tests::Taken;

struct Rig {
    directory: tempfile::TempDir,
    store: Arc<Store>,
    taken: Taken,
    status: Arc<Status>,
    objects: Objects,
}

impl Rig {
    fn new() -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(None).unwrap());
        let (taken, status) = (Taken::default(), Arc::new(Status::default()));
        let objects = objects(&directory, &store, &taken, &status);
        Rig {
            directory,
            store,
            taken,
            status,
            objects,
        }
    }

    fn restart(&mut self) {
        self.objects.save();
        self.objects = objects(&self.directory, &self.store, &self.taken, &self.status);
    }

    /// Drops an object that was last written so many seconds after the epoch.
    fn put(&self, name: &str, bytes: &[u8], written: u64) {
        let path = self.directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        let written = UNIX_EPOCH + Duration::from_secs(written);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(written)
            .unwrap();
    }

    fn poll(&mut self) -> Vec<String> {
        let mut buffer = vec![0; CHUNK_BYTES];
        while self.objects.poll(&mut buffer) {}
        self.taken.take()
    }
}

fn objects(directory: &tempfile::TempDir, store: &Arc<Store>, taken: &Taken, status: &Arc<Status>) -> Objects {
    let sink = Sink::new(Box::new(taken.clone()), Arc::clone(status), Envelope::Plain);
    let pattern = directory.path().join("*").to_str().unwrap().to_owned();
    Objects::new("edge/drop".into(), pattern, sink, Arc::clone(store))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn each_object_is_read_once_in_the_order_of_time() {
    let mut rig = Rig::new();
    rig.put("b.gz", &gzip("one\ntwo"), 1);
    rig.put("a.gz", &[gzip("three\n"), gzip("four\n")].concat(), 2);
    rig.put("plain.log", b"five\n", 3);
    assert_eq!(rig.poll(), ["one", "two", "three", "four", "five"]);
    assert!(rig.poll().is_empty());
    rig.put("a.gz", &[gzip("three\n"), gzip("four\n")].concat(), 9);
    rig.restart();
    assert!(rig.poll().is_empty(), "the same again");
    rig.put("c.gz", &gzip("six\n"), 4);
    assert_eq!(rig.poll(), ["six"]);
    assert!(rig.status.up.load(Relaxed));
}

#[test]
fn half_an_object_is_read_on_when_the_rest_came() {
    let mut rig = Rig::new();
    let text: String = (0..50_000).map(|number| format!("line {number}\n")).collect();
    let whole = gzip(&text);
    let mut found = Vec::new();
    for (written, part) in [(1, 7), (2, whole.len() / 3), (3, whole.len() - 5), (4, whole.len())] {
        rig.put("a.gz", &whole[..part], written);
        found.extend(rig.poll());
        rig.restart();
    }
    assert_eq!(found, text.lines().collect::<Vec<_>>());
    assert_eq!(rig.status.dropped.load(Relaxed), 0);
}

#[test]
fn a_broken_object_is_reported_once() {
    let mut rig = Rig::new();
    rig.put("a.gz", b"this is no gzip", 1);
    rig.put("b.gz", &gzip("one\n"), 2);
    assert_eq!(rig.poll(), ["one"]);
    for _ in 0..3 {
        assert!(rig.poll().is_empty());
        assert_eq!(rig.status.dropped.load(Relaxed), 1);
        rig.restart();
    }
}

#[test]
fn what_is_gone_is_forgotten_and_a_missing_folder_is_named() {
    let mut rig = Rig::new();
    rig.put("a.gz", &gzip("one\n"), 1);
    rig.poll();
    fs::remove_file(rig.directory.path().join("a.gz")).unwrap();
    rig.poll();
    assert!(rig.objects.saved.known.is_empty());
    fs::remove_dir(rig.directory.path()).unwrap();
    rig.poll();
    assert!(rig.status.problem().unwrap().starts_with("the folder of "));
    assert!(!rig.status.up.load(Relaxed));
}
