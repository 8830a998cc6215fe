// SPDX-License-Identifier: MIT OR Apache-2.0

//! Network namespaces, by the names that `ip netns` gives.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{setns, CloneFlags};

use super::capability::{Capabilities, Capability};
use crate::error::{Error, Result};

const NAMES: &str = "/run/netns";

/// That there is no network namespace with this name.
fn missing(name: &str) -> impl FnOnce(io::Error) -> Error + use<'_> {
    move |source| Error::NoNetns {
        name: name.to_owned(),
        source,
    }
}

/// Opens a network namespace, without entering it.
///
/// `name` is a name of `ip netns`, or a path with a slash in it (`/proc/PID/ns/net`).
pub fn open(name: &str) -> Result<File> {
    let path = if name.contains('/') {
        PathBuf::from(name)
    } else {
        Path::new(NAMES).join(name)
    };
    File::open(path).map_err(missing(name))
}

/// Has this thread enter a network namespace that was opened by this name.
fn set(file: &File, name: &str) -> Result<()> {
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
        nix::errno::Errno::EPERM if !Capabilities::current().has(Capability::SysAdmin) => {
            Error::Capabilities {
                action: "entering a network namespace",
                missing: vec![Capability::SysAdmin],
            }
        }
        nix::errno::Errno::EPERM => Error::NotPermitted {
            action: format!("enter network namespace `{name}`"),
            source: errno.into(),
        },
        errno => missing(name)(errno.into()),
    })
}

/// Enters a network namespace, and nothing but it: mounts stay, so that bpffs remains
/// reachable (unlike after `ip netns exec`).
///
/// `name` is as for [`open`]. Must be called before threads are started.
pub fn enter(name: &str) -> Result<()> {
    set(&open(name)?, name)
}

/// Does something in a network namespace that was opened by this name, while this thread stays
/// where it is.
pub fn within<T: Send>(
    file: &File,
    name: &str,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    thread::scope(|scope| {
        scope
            .spawn(|| {
                set(file, name)?;
                work()
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The inode number that identifies the network namespace of this process.
pub fn current() -> Result<u64> {
    let path = "/proc/thread-self/ns/net";
    let metadata = fs::metadata(path).map_err(Error::io(format!("can't read {path}")))?;
    Ok(metadata.ino())
}

/// The name that `ip netns` gives to the network namespace of this process.
pub fn current_name() -> Option<String> {
    names().remove(&current().ok()?)
}

/// Names of network namespaces by inode number.
pub fn names() -> HashMap<u64, String> {
    names_in(Path::new(NAMES))
}

fn names_in(directory: &Path) -> HashMap<u64, String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return HashMap::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let inode = fs::metadata(entry.path()).ok()?.ino();
            Some((inode, entry.file_name().into_string().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_namespace_has_a_number() {
        assert_ne!(current().unwrap(), 0);
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let error = enter("no-such-namespace").unwrap_err();
        assert!(error
            .to_string()
            .starts_with("there is no network namespace `no-such-namespace`"));
    }

    #[test]
    fn what_is_done_within_a_namespace_leaves_this_thread_where_it_is() {
        let path = "/proc/thread-self/ns/net";
        let here = current().unwrap();
        let file = open(path).unwrap();
        match within(&file, path, current) {
            Ok(there) => assert_eq!(there, here),
            // Who may not enter a namespace may not enter its own one either.
            Err(error) => assert_eq!(error.class(), crate::error::Class::Privilege),
        }
        let file = File::open("/dev/null").unwrap();
        let error = within(&file, "/dev/null", current).unwrap_err();
        assert!(["no-netns", "capabilities", "not-permitted"].contains(&error.id()));
        assert_eq!(current().unwrap(), here);
    }

    #[test]
    fn names_are_found_by_inode() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("blue"), b"").unwrap();
        let inode = fs::metadata(directory.path().join("blue")).unwrap().ino();
        assert_eq!(names_in(directory.path())[&inode], "blue");
        assert!(names_in(Path::new("/nonexistent")).is_empty());
    }
}
