//! What log rotation and operators do to files, as scenes.

use std::fs::{self, File, OpenOptions, rename};
use std::os::unix::fs::{FileExt as _, symlink};

use super::*;
use crate::tail::MAX_LINE_BYTES;

fn rig() -> Rig {
    Rig::new("access.log", From::End, Envelope::Plain)
}

/// A reader that has seen the file `one`.
fn started() -> Rig {
    let mut rig = rig();
    rig.poll();
    append(&rig.path("access.log"), "one\n");
    assert_eq!(rig.poll(), ["one"]);
    rig
}

#[test]
fn the_first_start_begins_at_the_end_or_at_the_start() {
    for (from, expected) in [(From::End, vec!["new"]), (From::Start, vec!["old", "new"])] {
        let mut rig = Rig::new("access.log", from, Envelope::Plain);
        append(&rig.path("access.log"), "old\n");
        let mut found = rig.poll();
        append(&rig.path("access.log"), "new\n");
        found.extend(rig.poll());
        assert_eq!(found, expected, "{from:?}");
    }
}

#[test]
fn a_line_half_written_at_the_first_start_comes_whole() {
    let mut rig = rig();
    append(&rig.path("access.log"), "old\nha");
    assert!(rig.poll().is_empty());
    append(&rig.path("access.log"), "lf\n");
    assert_eq!(rig.poll(), ["half"]);
}

#[test]
fn a_file_that_comes_later_is_read_from_its_start() {
    let mut rig = rig();
    assert!(rig.poll().is_empty());
    assert!(!rig.is_up());
    assert!(rig.status.problem().unwrap().ends_with("access.log does not exist yet"));
    append(&rig.path("access.log"), "one\ntw");
    assert_eq!(rig.poll(), ["one"]);
    assert!(rig.is_up());
    assert_eq!(rig.status.problem(), None);
    assert_eq!(rig.status.unread_bytes.load(Relaxed), 2);
    append(&rig.path("access.log"), "o\n");
    assert_eq!(rig.poll(), ["two"]);
}

#[test]
fn logrotate_create_with_a_gateway_that_reopens_late() {
    let mut rig = started();
    rename(rig.path("access.log"), rig.path("access.log.1")).unwrap();
    File::create(rig.path("access.log")).unwrap();
    append(&rig.path("access.log.1"), "two\n");
    assert_eq!(rig.poll(), ["two"]);
    append(&rig.path("access.log"), "four\n");
    append(&rig.path("access.log.1"), "three\n");
    assert_eq!(rig.poll(), ["three", "four"]);
    assert_eq!(rig.status.rotations.load(Relaxed), 1);

    append(&rig.path("access.log.1"), "no end");
    assert!(rig.poll().is_empty());
    rig.later(Duration::from_secs(59));
    assert!(rig.poll().is_empty());
    rig.later(Duration::from_secs(1));
    assert_eq!(rig.poll(), ["no end (cut)"]);
    assert_eq!(rig.status.open.load(Relaxed), 1);
}

#[test]
fn an_old_file_is_kept_while_its_successor_is_empty() {
    let mut rig = started();
    rename(rig.path("access.log"), rig.path("access.log.1")).unwrap();
    File::create(rig.path("access.log")).unwrap();
    rig.poll();
    rig.later(Duration::from_secs(86_400));
    assert!(rig.poll().is_empty());
    append(&rig.path("access.log.1"), "two\n");
    assert_eq!(rig.poll(), ["two"]);
}

#[test]
fn copy_and_truncate_loses_nothing_that_was_copied() {
    for gateway_appends in [true, false] {
        let mut rig = started();
        let log = OpenOptions::new()
            .write(true)
            .append(gateway_appends)
            .open(rig.path("access.log"))
            .unwrap();
        log.write_all_at(b"two\n", 4).unwrap();
        fs::copy(rig.path("access.log"), rig.path("access.log.1")).unwrap();
        log.set_len(0).unwrap();
        log.write_all_at(b"three\n", 8).unwrap();
        assert_eq!(rig.poll(), ["two", "three"]);
        assert_eq!(rig.status.rotations.load(Relaxed), 1);
    }
}

#[test]
fn a_hole_of_a_terabyte_costs_nothing() {
    let mut rig = started();
    let log = OpenOptions::new().write(true).open(rig.path("access.log")).unwrap();
    log.set_len(0).unwrap();
    log.write_all_at(b"two\n", 1 << 40).unwrap();
    assert_eq!(rig.poll(), ["two"]);
}

#[test]
fn copies_are_not_read_twice_where_a_pattern_matches_them() {
    let mut rig = Rig::new("access.log*", From::End, Envelope::Plain);
    rig.poll();
    append(&rig.path("access.log"), "one\n");
    assert_eq!(rig.poll(), ["one"]);
    append(&rig.path("access.log"), "two\n");
    fs::write(rig.path("access.log.1"), "").unwrap();
    assert_eq!(rig.poll(), ["two"]);
    append(&rig.path("access.log.1"), "one\n");
    assert!(rig.poll().is_empty(), "half a copy");
    append(&rig.path("access.log.1"), "two\n");
    assert!(rig.poll().is_empty(), "a whole copy");
    fs::write(rig.path("access.log"), "three\n").unwrap();
    assert_eq!(rig.poll(), ["three"]);
    rename(rig.path("access.log"), rig.path("access.log.2")).unwrap();
    append(&rig.path("access.log"), "four\n");
    append(&rig.path("access.log.2"), "late\n");
    assert_eq!(rig.poll(), ["late", "four"]);
    rig.restart();
    assert!(rig.poll().is_empty());
}

#[test]
fn deleting_a_log_loses_nothing_its_gateway_still_writes() {
    let mut rig = started();
    let mut log = OpenOptions::new().append(true).open(rig.path("access.log")).unwrap();
    fs::remove_file(rig.path("access.log")).unwrap();
    log.write_all(b"two\n").unwrap();
    assert_eq!(rig.poll(), ["two"]);
    assert!(!rig.is_up());
    append(&rig.path("access.log"), "three\n");
    log.write_all(b"between\n").unwrap();
    assert_eq!(rig.poll(), ["between", "three"]);
    rig.later(Duration::from_secs(60));
    rig.poll();
    assert_eq!(rig.status.open.load(Relaxed), 1);
}

#[test]
fn a_switched_link_is_a_rotation() {
    let mut rig = rig();
    symlink("access-1.log", rig.path("access.log")).unwrap();
    append(&rig.path("access-1.log"), "");
    rig.poll();
    append(&rig.path("access-1.log"), "one\n");
    symlink("access-2.log", rig.path("new")).unwrap();
    append(&rig.path("access-2.log"), "two\n");
    rename(rig.path("new"), rig.path("access.log")).unwrap();
    assert_eq!(rig.poll(), ["one", "two"]);
}

#[test]
fn a_restart_neither_repeats_nor_loses() {
    let mut rig = started();
    append(&rig.path("access.log"), "two\npart");
    assert_eq!(rig.poll(), ["two"]);
    rig.restart();
    append(&rig.path("access.log"), "ial\nthree\n");
    assert_eq!(rig.poll(), ["partial", "three"]);
    rig.restart();
    assert!(rig.poll().is_empty());
}

#[test]
fn rotations_while_stopped_are_read_in_their_order() {
    let mut rig = started();
    rig.restart();
    append(&rig.path("access.log"), "two\n");
    rename(rig.path("access.log"), rig.path("access.log.2")).unwrap();
    append(&rig.path("access.log.1"), "three\n");
    append(&rig.path("access.log"), "four\n");
    assert_eq!(rig.poll(), ["two", "three", "four"]);
}

/// As gzip does: packed beside it, then removed.
fn pack(from: &Path, to: &Path) {
    let mut packed = flate2::write::GzEncoder::new(File::create(to).unwrap(), flate2::Compression::fast());
    packed.write_all(&fs::read(from).unwrap()).unwrap();
    packed.finish().unwrap();
    fs::remove_file(from).unwrap();
}

#[test]
fn a_rotation_that_was_packed_while_stopped_is_read_on() {
    for packed in ["access.log.1.gz", "access.log.2.gz", "access.log-20261120.gz"] {
        let mut rig = started();
        append(&rig.path("access.log"), "two\nno end");
        fs::write(rig.path("other"), "on\nand another text\n").unwrap();
        rig.follower.save();
        pack(&rig.path("other"), &rig.path("access.log.7.gz"));
        pack(&rig.path("access.log"), &rig.path(packed));
        append(&rig.path("access.log"), "three\n");
        rig.crash();
        assert_eq!(rig.poll(), ["two", "no end (cut)", "three"], "{packed}");
        assert_eq!(rig.status.rotations.load(Relaxed), 1);
        rig.restart();
        append(&rig.path("access.log"), "four\n");
        assert_eq!(rig.poll(), ["four"], "{packed}");
    }
}

#[test]
fn what_was_packed_is_read_on_from_wherever_it_was_left() {
    let mut rig = started();
    let lines: Vec<String> = (0..40_000).map(|number| format!("{number:0100}")).collect();
    rig.follower.save();
    append(&rig.path("access.log"), lines.join("\n") + "\n");
    pack(&rig.path("access.log"), &rig.path("access.log.1.gz"));
    append(&rig.path("access.log"), "last\n");
    let mut found = Vec::new();
    let mut turns = 0;
    while found.last().is_none_or(|last| last != "last") {
        rig.crash();
        rig.follower.note(rig.now, true, &mut rig.buffer);
        // Each run passes over what the ones before it have read.
        for _ in 0..=turns {
            rig.follower.read(rig.now, &mut rig.buffer);
        }
        rig.follower.save();
        found.extend(rig.taken.take());
        turns += 1;
        assert!(turns < 20, "{} lines", found.len());
    }
    assert!(turns > 2, "{turns}");
    assert_eq!(found[..found.len() - 1], lines);
}

#[test]
fn a_packed_file_of_another_text_is_not_read() {
    for text in ["one\ntw", "on", "other\nlines\n"] {
        let mut rig = started();
        append(&rig.path("access.log"), "two\n");
        assert_eq!(rig.poll(), ["two"]);
        rig.follower.save();
        fs::remove_file(rig.path("access.log")).unwrap();
        fs::write(rig.path("text"), text).unwrap();
        pack(&rig.path("text"), &rig.path("access.log.1.gz"));
        append(&rig.path("access.log"), "three\n");
        rig.crash();
        assert_eq!(rig.poll(), ["three"], "{text}");
    }
}

#[test]
fn truncation_while_stopped_is_seen() {
    let mut rig = started();
    rig.restart();
    append(&rig.path("access.log"), "two\n");
    fs::copy(rig.path("access.log"), rig.path("access.log.1")).unwrap();
    fs::write(rig.path("access.log"), "three and more\n").unwrap();
    assert_eq!(rig.poll(), ["two", "three and more"]);
}

#[test]
fn torn_positions_begin_anew_at_the_end() {
    let mut rig = started();
    rig.restart();
    let positions = rig.directory.path().join("storage/positions");
    let file = fs::read_dir(&positions).unwrap().next().unwrap().unwrap().path();
    let text = fs::read(&file).unwrap();
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    rig.crash();
    assert!(rig.poll().is_empty());
    append(&rig.path("access.log"), "two\n");
    assert_eq!(rig.poll(), ["two"]);
}

#[test]
fn what_is_no_readable_file_is_named_and_tried_again() {
    let mut rig = rig();
    fs::create_dir(rig.path("access.log")).unwrap();
    rig.poll();
    assert!(rig.status.problem().unwrap().contains("it is no regular file"));
    fs::remove_dir(rig.path("access.log")).unwrap();
    symlink("access.log", rig.path("access.log")).unwrap();
    rig.poll();
    assert!(
        rig.status.problem().unwrap().contains("symbolic link"),
        "{:?}",
        rig.status.problem()
    );
    fs::remove_file(rig.path("access.log")).unwrap();
    append(&rig.path("access.log"), "one\n");
    assert_eq!(rig.poll(), ["one"]);
    assert!(rig.is_up());
}

#[test]
fn endless_lines_and_binary_are_skipped_and_counted() {
    let mut rig = started();
    let piece = vec![b'x'; 1024 * 1024];
    for _ in 0..100 {
        append(&rig.path("access.log"), &piece);
    }
    let found = rig.poll();
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("TooLong: xxx") && found[0].len() < 200);
    rig.restart();
    append(&rig.path("access.log"), "still\nnext\nbi\0n\x1b[31mary\nlast\n");
    assert_eq!(rig.poll(), ["next", "Binary: bi\\x00n\\x1b[31mary", "last"]);
    assert_eq!(rig.status.too_long.load(Relaxed), 1);
    assert_eq!(rig.status.binary.load(Relaxed), 1);
    let most = "y".repeat(MAX_LINE_BYTES);
    append(&rig.path("access.log"), format!("{most}\n"));
    assert_eq!(rig.poll(), [most]);
}

#[test]
fn what_is_written_after_the_look_waits_for_the_next() {
    let mut rig = Rig::new("a.log", From::Start, Envelope::Plain);
    append(&rig.path("a.log"), "seen\n");
    rig.follower.note(rig.now, true, &mut rig.buffer);
    append(&rig.path("a.log"), "later\n");
    assert!(!rig.follower.read(rig.now, &mut rig.buffer));
    assert_eq!(rig.taken.take(), ["seen"]);
    assert_eq!(rig.poll(), ["later"]);
}

#[test]
fn a_huge_file_takes_turns() {
    let mut rig = Rig::new("*.log", From::Start, Envelope::Plain);
    append(&rig.path("a.log"), "line\n".repeat(1_000_000));
    append(&rig.path("b.log"), "other\n");
    rig.follower.note(rig.now, true, &mut rig.buffer);
    assert!(rig.follower.read(rig.now, &mut rig.buffer), "more is left");
    let first = rig.taken.take();
    assert!(first.len() < 500_000 && first.contains(&"other".to_owned()));
    assert!(rig.status.unread_bytes.load(Relaxed) > 0);
    assert_eq!(first.len() + rig.poll().len(), 1_000_001);
    assert_eq!(rig.status.unread_bytes.load(Relaxed), 0);
}

#[test]
fn parts_of_container_lines_outlive_a_restart() {
    let mut rig = Rig::new("*.log", From::Start, Envelope::Cri);
    let log = rig.path("0.log");
    append(&log, "2016-10-06T00:17:09.669794202Z stdout P one \n");
    append(&log, "2016-10-06T00:17:09.669794203Z stderr F other\n");
    assert_eq!(rig.poll(), ["other"]);
    rig.restart();
    append(&log, "2016-10-06T00:17:09.669794204Z stdout F line\n");
    assert_eq!(rig.poll(), ["one line"]);
}
