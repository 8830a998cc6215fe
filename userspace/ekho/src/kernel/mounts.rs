// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether what is mounted outlives this process.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::stat::{major, minor};

/// Whether this process is in another mount namespace than the first process, as after
/// `ip netns exec`. False where that can't be found out.
pub fn has_own_namespace() -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    match (namespace("self"), namespace("1")) {
        (Some(own), Some(first)) => own != first,
        _ => false,
    }
}

/// Whether the file system at `path` is mounted in this process' mount namespace and not
/// where the first process is, so that it may go with this namespace.
pub fn is_private(path: &Path) -> bool {
    let (Ok(metadata), Ok(table)) = (fs::metadata(path), fs::read_to_string("/proc/1/mountinfo"))
    else {
        return false;
    };
    has_own_namespace() && !has_device(&table, metadata.dev())
}

/// Whether a file system with this device number is in a table of mounts (proc(5)).
fn has_device(mountinfo: &str, device: u64) -> bool {
    let wanted = format!("{}:{}", major(device), minor(device));
    mountinfo
        .lines()
        .any(|line| line.split(' ').nth(2) == Some(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::makedev;

    #[test]
    fn file_systems_are_found_by_their_device() {
        let table = "25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
                     31 25 0:27 / /sys/fs/bpf rw shared:12 - bpf bpf rw,mode=700\n";
        assert!(has_device(table, makedev(0, 27)));
        assert!(!has_device(table, makedev(0, 2)));
        assert!(!has_device("", makedev(0, 27)));
    }

    #[test]
    fn the_root_of_this_process_is_not_private() {
        // A test may run in a container, whose first process has the same mounts.
        assert!(!is_private(Path::new("/proc")) || has_own_namespace());
    }
}
