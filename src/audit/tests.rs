//! What becomes of lines when the disk is full, and when it no longer is.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;

/// A log on a disk that takes nothing: `/dev/full` answers every write with "no space left".
struct FullDisk {
    folder: tempfile::TempDir,
    audit: Audit,
}

impl FullDisk {
    fn with(on_failure: OnFailure) -> Self {
        let folder = tempfile::tempdir().unwrap();
        symlink("/dev/full", folder.path().join(FILE_NAME)).unwrap();
        let audit = Audit::open(folder.path(), Settings { on_failure, ..Settings::default() }).unwrap();
        Self { folder, audit }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(FILE_NAME)
    }

    fn has_room_again(&self) {
        std::fs::remove_file(self.path()).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path()).unwrap();
        text.lines().map(|line| line.split('|').nth(5).unwrap().to_owned()).collect()
    }
}

fn line(name: &str) -> Line<'_> {
    Line {
        request_id: "1",
        address: None,
        user: "u",
        principal: "p",
        entity_name: name,
        change: Change::Created,
        entity: Entity::Token,
        data: json!({"padding": "x".repeat(1000)}),
    }
}

#[test]
fn lines_that_could_not_be_written_are_written_in_order_once_there_is_room() {
    let disk = FullDisk::with(OnFailure::Refuse);
    assert_eq!(disk.audit.admit_write(), Ok(()), "nothing has failed yet");
    assert_eq!(disk.audit.record(&line("a")), Recorded::Kept(1));
    assert_eq!(disk.audit.record(&line("b")), Recorded::Kept(2));
    assert_eq!(disk.audit.admit_write(), Err(Refused));
    assert_eq!(disk.audit.admit_kept(), Ok(()));
    disk.has_room_again();
    assert_eq!(disk.audit.admit_write(), Ok(()));
    assert_eq!(disk.audit.record(&line("c")), Recorded::Written);
    assert_eq!((disk.names(), disk.audit.waiting()), (vec!["a".into(), "b".into(), "c".into()], 0));
}

#[test]
fn memory_for_lines_is_bounded_and_what_is_missing_is_counted() {
    for on_failure in [OnFailure::Refuse, OnFailure::Continue] {
        let disk = FullDisk::with(on_failure);
        let kept =
            (0..KEPT_BYTES_MAX).take_while(|_| disk.audit.record(&line("a")) != Recorded::LeftOut).count();
        assert!((1000..10_000).contains(&kept), "{kept}");
        assert_eq!(disk.audit.record(&line("b")), Recorded::LeftOut);
        let refused = if on_failure == OnFailure::Refuse { Err(Refused) } else { Ok(()) };
        assert_eq!((disk.audit.admit_write(), disk.audit.admit_kept()), (refused, refused));
        disk.has_room_again();
        assert_eq!(disk.audit.admit_kept(), Ok(()));
        assert_eq!(disk.audit.record(&line("c")), Recorded::Written);
        let names = disk.names();
        assert_eq!(names.len(), kept + 2, "those kept, one that counts the two left out, and the new one");
        assert_eq!(names[kept..], [FILE_NAME, "c"]);
        let text = std::fs::read_to_string(disk.path()).unwrap();
        assert!(text.contains("|D|AUD|{\"removed\":{\"lines\":2}}\n"));
    }
}

#[test]
fn who_wants_to_go_on_is_never_refused() {
    let disk = FullDisk::with(OnFailure::Continue);
    assert_eq!(disk.audit.record(&line("a")), Recorded::Kept(1));
    assert_eq!((disk.audit.admit_write(), disk.audit.admit_kept()), (Ok(()), Ok(())));
}

#[tokio::test]
async fn what_waits_is_written_without_a_request() {
    let disk = FullDisk::with(OnFailure::Refuse);
    disk.audit.record(&line("a"));
    disk.has_room_again();
    let written = async {
        while disk.audit.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        () = disk.audit.clone().keep_trying() => {}
        () = written => assert_eq!(disk.names(), ["a"]),
        () = tokio::time::sleep(Duration::from_mins(1)) => panic!("it still waits"),
    }
}

#[test]
fn what_waits_is_written_when_the_node_stops() {
    let disk = FullDisk::with(OnFailure::Refuse);
    disk.audit.record(&line("a"));
    let trying = disk.audit.clone().keep_trying();
    disk.has_room_again();
    drop(trying);
    assert_eq!(disk.names(), ["a"]);
}
