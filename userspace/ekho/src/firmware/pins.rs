// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pins on bpffs: they let firmware outlive the tool.
//!
//! ```text
//! <root>/<dev>/link          the link: firmware stays attached while it is there
//! <root>/<dev>/maps/<name>   each map that the firmware's author declared
//! ```
//!
//! Where another device of that name (in another network namespace, or before it was
//! renamed) has its pins there, it is `<root>/<dev>%<netns>-<ifindex>`.
//!
//! Whoever makes or removes them locks the root that they are below, so that others see all of
//! them or none: maps without a link are what is left by a process that was killed. Maps beside a
//! link that attaches need no lock: nobody takes those for stale. The lock is one of the
//! directory, with `flock`: it is the same in each mount namespace that has this bpffs, and it ends
//! with its process. A root that is made here is its owner's only, as whoever can read a directory
//! can lock it.
//!
//! `<dev>` is the device's name when the firmware was loaded. A device may be
//! renamed since, so what belongs to firmware is found by the link's id and never
//! by name alone. bpffs reserves dots in names: `eth0.5` is stored as `eth0%2E5`.

use std::fs;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statfs::{statfs, BPF_FS_MAGIC};

use crate::error::{Error, Result};
use crate::kernel::bpf::{self, LinkInfo, Map, Pinned};
use crate::kernel::{mounts, netns};

/// Where pins go by default.
pub const DEFAULT_ROOT: &str = "/sys/fs/bpf/ekho";

/// How often a pin or a lock is tried whose directory vanishes.
const PIN_TRIES: u32 = 16;
const LINK: &str = "link";
const MAPS: &str = "maps";
/// How deep bpffs is searched for pins that aren't where they were put.
const SEARCH_DEPTH: usize = 8;

/// The pins below one root.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

impl Default for Pins {
    fn default() -> Self {
        Self::new(DEFAULT_ROOT)
    }
}

/// Pins that are removed again unless they are kept: undoes a load that failed.
#[derive(Debug, Default)]
pub struct Transaction {
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

impl Transaction {
    /// Makes a directory and its missing parents.
    fn directory(&mut self, path: &Path) -> Result<()> {
        let failed = |source| Error::Pin {
            path: path.to_owned(),
            source,
        };
        if path.is_dir() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.directory(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => self.directories.push(path.to_owned()),
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(failed(err)),
        }
        Ok(())
    }

    /// Pins an object.
    pub fn pin(&mut self, object: BorrowedFd<'_>, path: &Path) -> Result<()> {
        let mut tries = 0;
        let pinned = loop {
            tries += 1;
            let made = path
                .parent()
                .map_or(Ok(()), |parent| self.directory(parent));
            // Whoever unloads the last firmware removes the root, perhaps just now.
            let is_gone =
                |source: &io::Error| source.kind() == io::ErrorKind::NotFound && tries < PIN_TRIES;
            match made {
                Err(Error::Pin { source, .. }) if is_gone(&source) => continue,
                result => result?,
            }
            match bpf::pin(object, path) {
                Err(source) if is_gone(&source) => continue,
                result => break result,
            }
        };
        pinned.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::PinOccupied {
                path: path.to_owned(),
                by: describe(path),
            },
            _ => Error::Pin {
                path: path.to_owned(),
                source,
            },
        })?;
        self.files.push(path.to_owned());
        Ok(())
    }

    /// Keeps the pins.
    pub fn keep(mut self) {
        self.files.clear();
        self.directories.clear();
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        for file in self.files.drain(..).rev() {
            let _ = fs::remove_file(file);
        }
        for directory in self.directories.drain(..).rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// The lock of a root, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    /// The root and its parents, where they were missing. Those that are empty go before the
    /// lock does.
    _directories: Transaction,
    _flock: Flock<fs::File>,
}

/// Waits for the lock of a directory; `None` if there is none, or if whoever had the lock removed it.
fn try_lock(path: &Path) -> io::Result<Option<Flock<fs::File>>> {
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let mut file = match fs::File::open(path) {
        Err(error) if is_gone(&error) => return Ok(None),
        opened => opened?,
    };
    let flock = loop {
        match Flock::lock(file, FlockArg::LockExclusive) {
            Ok(flock) => break flock,
            Err((unlocked, Errno::EINTR)) => file = unlocked,
            Err((_, errno)) => return Err(errno.into()),
        }
    };
    let locked = flock.metadata()?;
    match fs::metadata(path) {
        Ok(now) if (now.dev(), now.ino()) == (locked.dev(), locked.ino()) => Ok(Some(flock)),
        Ok(_) => Ok(None),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits for the lock of a directory; `None` if there is none.
fn lock_existing(path: &Path) -> io::Result<Option<Flock<fs::File>>> {
    for _ in 0..PIN_TRIES {
        if let Some(flock) = try_lock(path)? {
            return Ok(Some(flock));
        }
        if !path.exists() {
            return Ok(None);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// What is pinned at a path, or isn't a pin at all.
fn pinned(path: &Path) -> Option<Pinned> {
    let fd = bpf::open_pin(path).ok()?;
    Some(bpf::identify(fd.as_fd()))
}

/// What occupies a path, in words.
fn describe(path: &Path) -> String {
    match pinned(path) {
        Some(Pinned::Link(LinkInfo {
            map_id: Some(0), ..
        })) => "a link that is detached".into(),
        Some(Pinned::Link(link)) => format!("link {}, which is attached", link.id),
        Some(Pinned::Map(map)) => format!("map `{}`, id {}", map.name, map.id),
        Some(Pinned::Program(program)) => format!("program `{}`, id {}", program.name, program.id),
        Some(Pinned::Other) | None if path.is_dir() => "a directory".into(),
        Some(Pinned::Other) | None => "something else".into(),
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// A name that bpffs accepts.
fn file_name(dev: &str) -> String {
    dev.replace('%', "%25").replace('.', "%2E")
}

/// Makes room for new pins in a directory.
///
/// Pins of a link that is detached (its device went away) are removed, which
/// the result tells; anything else that is in the way is an error.
fn make_room(directory: &Path) -> Result<bool> {
    if !directory.exists() {
        return Ok(false);
    }
    let occupied = |path: PathBuf| {
        if let Some(Pinned::Link(link)) = pinned(&path) {
            return Err(Error::PinInUse {
                path,
                link: link.id,
                owner: None,
            });
        }
        Err(Error::PinOccupied {
            by: describe(&path),
            path,
        })
    };
    if !directory.is_dir() {
        return occupied(directory.to_owned());
    }
    for path in entries(directory) {
        let stale = match path.file_name().and_then(|name| name.to_str()) {
            Some(LINK) => matches!(
                pinned(&path),
                Some(Pinned::Link(LinkInfo {
                    map_id: Some(0),
                    ..
                }))
            ),
            Some(MAPS) if path.is_dir() => match entries(&path)
                .into_iter()
                .find(|map| !matches!(pinned(map), Some(Pinned::Map(_))))
            {
                Some(other) => return occupied(other),
                None => true,
            },
            _ => false,
        };
        if !stale {
            return occupied(path);
        }
    }
    remove_layout(&directory.join(LINK));
    Ok(true)
}

impl Pins {
    /// The pins below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Fails unless the root is on a bpffs, or can be made there, which doesn't go with this
    /// process' mount namespace.
    pub fn check(&self) -> Result<()> {
        let existing = self.root.ancestors().find(|path| path.exists());
        let is_bpffs = existing
            .and_then(|path| statfs(path).ok())
            .is_some_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC);
        let is_private = existing.is_some_and(mounts::is_private);
        if is_bpffs && !is_private {
            return Ok(());
        }
        let path = self.root.clone();
        let exec_netns = mounts::has_own_namespace()
            .then(netns::current_name)
            .flatten();
        Err(if is_bpffs {
            Error::PrivateBpffs { path, exec_netns }
        } else {
            Error::NoBpffs { path, exec_netns }
        })
    }

    /// Locks the root, and makes it if it is missing.
    fn lock(&self) -> Result<Lock> {
        let failed = |source| Error::Pin {
            path: self.root.clone(),
            source,
        };
        // What was made is removed under the lock only: it may be another's by now.
        let mut directories = Transaction::default();
        for _ in 0..PIN_TRIES {
            match directories.directory(&self.root) {
                // A parent was removed just now.
                Err(Error::Pin { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    continue
                }
                made => made?,
            }
            if let Some(flock) = try_lock(&self.root).map_err(failed)? {
                return Ok(Lock {
                    _directories: directories,
                    _flock: flock,
                });
            }
        }
        directories.keep();
        Err(failed(io::ErrorKind::NotFound.into()))
    }

    fn device(&self, dev: &str) -> PathBuf {
        self.root.join(file_name(dev))
    }

    /// Where the link of a device's firmware is pinned.
    pub fn link_path(&self, dev: &str) -> PathBuf {
        self.device(dev).join(LINK)
    }

    /// Makes room for the pins of a device, or tells what is in the way.
    pub fn prepare(&self, dev: &str, ifindex: u32) -> Result<()> {
        let _lock = self.lock()?;
        self.place(dev, ifindex).map(drop)
    }

    /// Finds the directory for new pins of a device, and makes room there. The root is locked.
    fn place(&self, dev: &str, ifindex: u32) -> Result<PathBuf> {
        let plain = self.device(dev);
        match make_room(&plain) {
            Ok(_) => Ok(plain),
            // By firmware of another device: this one has none.
            Err(Error::PinInUse { .. }) => {
                let own = self.own_place(dev, netns::current()?, ifindex);
                make_room(&own)?;
                Ok(own)
            }
            Err(error) => Err(error),
        }
    }

    /// Where pins of a device go whose name is another's as well.
    fn own_place(&self, dev: &str, netns: u64, ifindex: u32) -> PathBuf {
        self.root
            .join(format!("{}%{netns}-{ifindex}", file_name(dev)))
    }

    /// Removes the pins of a link that is detached, as its device went away; false if there
    /// are none, or others.
    pub fn remove_stale(&self, dev: &str) -> bool {
        let Ok(Some(_lock)) = lock_existing(&self.root) else {
            return false;
        };
        make_room(&self.device(dev)).unwrap_or(false)
    }

    /// Pins a link and the maps of a device's firmware: all of them or none.
    pub fn create<'maps>(
        &self,
        dev: &str,
        ifindex: u32,
        link: BorrowedFd<'_>,
        maps: impl IntoIterator<Item = &'maps (String, Map)>,
    ) -> Result<PathBuf> {
        let _lock = self.lock()?;
        // Not where there was room before: firmware of another device may be there by now.
        let directory = self.place(dev, ifindex)?;
        let mut transaction = Transaction::default();
        for (name, map) in maps {
            transaction.pin(map.as_fd(), &directory.join(MAPS).join(name))?;
        }
        let path = directory.join(LINK);
        transaction.pin(link, &path)?;
        transaction.keep();
        Ok(path)
    }

    /// All paths at which a link is pinned, on any bpffs, the root's first.
    pub fn find_link(&self, id: u32) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut roots = vec![self.root.clone()];
        roots.extend(bpffs_mounts());
        for root in roots {
            walk(&root, 0, &mut |path| {
                if is_link(&path, id) && !found.contains(&path) {
                    found.push(path);
                }
            });
        }
        found
    }

    /// Removes a pinned link and the maps that were pinned with it, unless another link is there
    /// by now; returns what was removed.
    pub fn remove(&self, link: &Path, id: u32) -> Vec<PathBuf> {
        let Ok(_lock) = lock_of(link) else {
            // They are stale, so the next load or unload of the device removes them.
            return Vec::new();
        };
        if !is_link(link, id) {
            return Vec::new();
        }
        let removed = remove_layout(link);
        if root_of(link) == Some(self.root()) {
            // Only when it is empty, and not where a filesystem is mounted.
            let _ = fs::remove_dir(&self.root);
        }
        removed
    }
}

/// Whether a link is pinned at a path.
fn is_link(path: &Path, id: u32) -> bool {
    matches!(pinned(path), Some(Pinned::Link(info)) if info.id == id)
}

/// The root that a link is below, when it is in this module's layout.
fn root_of(link: &Path) -> Option<&Path> {
    if link.file_name()? != LINK {
        return None;
    }
    link.parent()?.parent()
}

/// Locks that; `None` if the link isn't in this module's layout, where no load looks for it.
fn lock_of(link: &Path) -> io::Result<Option<Flock<fs::File>>> {
    match root_of(link) {
        Some(root) => lock_existing(root),
        None => Ok(None),
    }
}

/// Removes the pins of those of a link's maps that are in use no more, unless another link is
/// there by now.
pub fn remove_maps(link: &Path, id: u32, is_unused: impl Fn(&str) -> bool) {
    let Ok(_lock) = lock_of(link) else {
        return;
    };
    if !is_link(link, id) {
        return;
    }
    for (name, path) in maps_of(link) {
        if is_unused(&name) {
            let _ = fs::remove_file(path);
        }
    }
}

/// The directory with a link's maps, when the link is in this module's layout.
fn maps_beside(link: &Path) -> Option<PathBuf> {
    (link.file_name()? == LINK)
        .then(|| link.with_file_name(MAPS))
        .filter(|maps| maps.is_dir())
}

/// Maps pinned with a link, by full name.
pub fn maps_of(link: &Path) -> Vec<(String, PathBuf)> {
    let Some(directory) = maps_beside(link) else {
        return Vec::new();
    };
    entries(&directory)
        .into_iter()
        .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)))
        .collect()
}

/// Where a map of a link's firmware is to be pinned; `None` when the link isn't
/// in this module's layout.
pub fn map_path(link: &Path, map: &str) -> Option<PathBuf> {
    (link.file_name()? == LINK).then(|| link.with_file_name(MAPS).join(map))
}

fn remove_layout(link: &Path) -> Vec<PathBuf> {
    let mut removed = Vec::new();
    // Maps may have no link any more; where the link can't be removed they stay with it.
    match fs::remove_file(link) {
        Ok(()) => removed.push(link.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return removed,
    }
    if let Some(directory) = maps_beside(link) {
        for map in entries(&directory) {
            if matches!(pinned(&map), Some(Pinned::Map(_))) && fs::remove_file(&map).is_ok() {
                removed.push(map);
            }
        }
        let _ = fs::remove_dir(&directory);
    }
    if link.file_name().is_some_and(|name| name == LINK) {
        if let Some(parent) = link.parent() {
            let _ = fs::remove_dir(parent);
        }
    }
    removed
}

/// Calls `visit` with each file below a directory.
fn walk(directory: &Path, depth: usize, visit: &mut impl FnMut(PathBuf)) {
    if depth > SEARCH_DEPTH {
        return;
    }
    for path in entries(directory) {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            walk(&path, depth + 1, visit);
        } else if metadata.is_file() {
            visit(path);
        }
    }
}

/// Where a bpffs is mounted.
fn bpffs_mounts() -> Vec<PathBuf> {
    mounts_in(&fs::read_to_string("/proc/self/mounts").unwrap_or_default())
}

fn mounts_in(table: &str) -> Vec<PathBuf> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let path = fields.next()?;
            // Blanks in paths are octal; nothing else matters on a bpffs.
            (fields.next()? == "bpf").then(|| path.replace("\\040", " ").into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn dots_are_escaped_because_bpffs_reserves_them() {
        let pins = Pins::default();
        assert_eq!(
            pins.link_path("eth0.5"),
            Path::new("/sys/fs/bpf/ekho/eth0%2E5/link")
        );
        assert_eq!(file_name("a%2E"), "a%252E");
    }

    #[test]
    fn another_filesystem_is_not_a_bpffs() {
        let directory = tempfile::tempdir().unwrap();
        let error = Pins::new(directory.path().join("deep/er"))
            .check()
            .unwrap_err();
        assert_eq!(error.id(), "no-bpffs");
    }

    #[test]
    fn every_bpffs_is_searched() {
        let table = "\
sysfs /sys sysfs rw 0 0
bpf /sys/fs/bpf bpf rw,nosuid 0 0
none /mnt/two\\040words bpf rw 0 0
";
        assert_eq!(
            mounts_in(table),
            [Path::new("/sys/fs/bpf"), Path::new("/mnt/two words")]
        );
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("ek0"), b"").unwrap();
        let pins = Pins::new(directory.path());
        assert_eq!(pins.place("ek0", 1).unwrap_err().id(), "pin-occupied");
        assert_eq!(pins.place("ek1", 1).unwrap(), directory.path().join("ek1"));
        assert!(!pins.remove_stale("ek1"));
    }

    #[test]
    fn a_lock_is_of_the_root_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let pins = Pins::new(directory.path().join("a/b"));
        let lock = pins.lock().unwrap();
        let waits = {
            let pins = pins.clone();
            thread::spawn(move || {
                let _lock = pins.lock().unwrap();
                pins.root().is_dir()
            })
        };
        let waiter = format!(":{} ", fs::metadata(pins.root()).unwrap().ino());
        let is_waiting = |line: &str| line.contains("-> FLOCK") && line.contains(&waiter);
        let end = Instant::now() + Duration::from_secs(20);
        while !fs::read_to_string("/proc/locks")
            .unwrap()
            .lines()
            .any(is_waiting)
        {
            assert!(Instant::now() < end, "nobody waits for the lock");
            thread::sleep(Duration::from_millis(1));
        }
        // Takes the root along, whose lock the other gets.
        drop(lock);
        assert!(waits.join().unwrap());
        assert!(!directory.path().join("a").exists());
    }

    #[test]
    fn a_failed_transaction_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        {
            let mut transaction = Transaction::default();
            transaction.directory(&path).unwrap();
            assert!(path.is_dir());
        }
        assert!(!directory.path().join("a").exists());
        assert!(directory.path().exists());

        let mut transaction = Transaction::default();
        transaction.directory(&path).unwrap();
        transaction.keep();
        assert!(path.is_dir());
    }

    #[test]
    fn only_the_own_layout_has_maps_beside_a_link() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("maps")).unwrap();
        assert!(maps_beside(&directory.path().join("link")).is_some());
        assert!(maps_beside(&directory.path().join("other")).is_none());
        assert_eq!(
            map_path(Path::new("/x/link"), "m").unwrap(),
            Path::new("/x/maps/m")
        );
        assert_eq!(map_path(Path::new("/x/other"), "m"), None);
    }
}
