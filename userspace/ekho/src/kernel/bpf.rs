// SPDX-License-Identifier: MIT OR Apache-2.0

//! bpf(2) calls that libbpf-rs doesn't wrap, or wraps without the errno.
//!
//! All `unsafe` of this crate is here. Every function is one system call
//! through libbpf-sys; errors keep the kernel's errno, which callers translate.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{c_int, c_void, CStr, CString};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

use libbpf_rs::libbpf_sys;
use libbpf_rs::{AsRawLibbpf as _, Object, OpenMapMut, OpenObject};

/// Length of a kernel object's name without its NUL.
pub const NAME_LEN: usize = 15;

/// `BPF_MAP_TYPE_HASH`.
pub const MAP_TYPE_HASH: u32 = libbpf_sys::BPF_MAP_TYPE_HASH;
/// `BPF_MAP_TYPE_LRU_HASH`.
pub const MAP_TYPE_LRU_HASH: u32 = libbpf_sys::BPF_MAP_TYPE_LRU_HASH;

fn check(ret: i32) -> io::Result<i32> {
    if ret < 0 {
        Err(io::Error::from_raw_os_error(-ret))
    } else {
        Ok(ret)
    }
}

/// Takes over a descriptor that libbpf just returned.
fn owned(ret: i32) -> io::Result<OwnedFd> {
    let fd = check(ret)?;
    // SAFETY: libbpf returned a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::from_raw_os_error(nix::libc::EINVAL))
}

/// A kernel name, which is NUL-terminated unless it fills its field.
fn name(field: &[std::os::raw::c_char]) -> String {
    let bytes: Vec<u8> = field
        .iter()
        .map(|byte| *byte as u8)
        .take_while(|byte| *byte != 0)
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is known of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapInfo {
    /// Id of the map.
    pub id: u32,
    /// Name, cut at [`NAME_LEN`] bytes by the kernel.
    pub name: String,
    /// `BPF_MAP_TYPE_*`.
    pub kind: u32,
    /// Key size in bytes.
    pub key_size: u32,
    /// Value size in bytes.
    pub value_size: u32,
    /// Maximum number of entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
}

/// What is known of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramInfo {
    /// Id of the program.
    pub id: u32,
    /// Name, cut at [`NAME_LEN`] bytes by the kernel.
    pub name: String,
    /// Hash of the program's instructions.
    pub tag: [u8; 8],
    /// Bytes of machine code; 0 when not compiled.
    pub jited_len: u32,
    /// Instructions that the verifier walked.
    pub verified_insns: u32,
    /// Times the program ran, when `kernel.bpf_stats_enabled` is set.
    pub run_count: u64,
    /// Time spent in it in ns, when `kernel.bpf_stats_enabled` is set.
    pub run_time_ns: u64,
    /// Ids of the maps that it uses.
    pub map_ids: Vec<u32>,
}

/// What is known of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Id of the link.
    pub id: u32,
    /// Id of the struct_ops map it holds, 0 once it is detached; `None` for a
    /// link of another type.
    pub map_id: Option<u32>,
}

/// What a file on bpffs is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// A link.
    Link(LinkInfo),
    /// A map.
    Map(MapInfo),
    /// A program.
    Program(ProgramInfo),
    /// Something else.
    Other,
}

/// Opens a program by id (`CAP_SYS_ADMIN`).
pub fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: plain system call without pointers.
    owned(unsafe { libbpf_sys::bpf_prog_get_fd_by_id(id) })
}

/// Opens a link by id (`CAP_SYS_ADMIN`).
pub fn link_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: plain system call without pointers.
    owned(unsafe { libbpf_sys::bpf_link_get_fd_by_id(id) })
}

/// Reads what the kernel knows of a map.
pub fn map_info(fd: BorrowedFd<'_>) -> io::Result<MapInfo> {
    let mut info = libbpf_sys::bpf_map_info::default();
    let mut len = size_of::<libbpf_sys::bpf_map_info>() as u32;
    // SAFETY: `info` is `len` bytes of plain data that outlives the call.
    check(unsafe { libbpf_sys::bpf_map_get_info_by_fd(fd.as_raw_fd(), &mut info, &mut len) })?;
    Ok(MapInfo {
        id: info.id,
        name: name(&info.name),
        kind: info.type_,
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.map_flags,
    })
}

/// Reads what the kernel knows of a program.
pub fn program_info(fd: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    let mut map_ids = vec![0u32; 64];
    loop {
        let mut info = libbpf_sys::bpf_prog_info {
            nr_map_ids: map_ids.len() as u32,
            map_ids: map_ids.as_mut_ptr() as u64,
            ..Default::default()
        };
        let mut len = size_of::<libbpf_sys::bpf_prog_info>() as u32;
        // SAFETY: `info` is `len` bytes of plain data, its `map_ids` points to
        // `nr_map_ids` words, and both outlive the call.
        check(unsafe { libbpf_sys::bpf_prog_get_info_by_fd(fd.as_raw_fd(), &mut info, &mut len) })?;
        let used = info.nr_map_ids as usize;
        if used > map_ids.len() {
            map_ids.resize(used, 0);
            continue;
        }
        map_ids.truncate(used);
        return Ok(ProgramInfo {
            id: info.id,
            name: name(&info.name),
            tag: info.tag,
            jited_len: info.jited_prog_len,
            verified_insns: info.verified_insns,
            run_count: info.run_cnt,
            run_time_ns: info.run_time_ns,
            map_ids,
        });
    }
}

/// Reads what the kernel knows of a link.
pub fn link_info(fd: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = libbpf_sys::bpf_link_info::default();
    let mut len = size_of::<libbpf_sys::bpf_link_info>() as u32;
    // SAFETY: `info` is `len` bytes of plain data that outlives the call.
    check(unsafe { libbpf_sys::bpf_link_get_info_by_fd(fd.as_raw_fd(), &mut info, &mut len) })?;
    let map_id = if info.type_ == libbpf_sys::BPF_LINK_TYPE_STRUCT_OPS {
        // SAFETY: the type says that the kernel filled this member of the union,
        // and any bits are a valid u32.
        Some(unsafe { info.__bindgen_anon_1.struct_ops.map_id })
    } else {
        None
    };
    Ok(LinkInfo {
        id: info.id,
        map_id,
    })
}

/// When [`Map::update`] may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// Create or overwrite.
    Any,
    /// Only overwrite; `ENOENT` without such a key.
    Existing,
}

/// An open map, with what is known of it.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    info: MapInfo,
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Map {
    /// Takes over a map's descriptor.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let info = map_info(fd.as_fd())?;
        Ok(Self { fd, info })
    }

    /// Opens a map by id (`CAP_SYS_ADMIN`).
    pub fn by_id(id: u32) -> io::Result<Self> {
        // SAFETY: plain system call without pointers.
        Self::new(owned(unsafe { libbpf_sys::bpf_map_get_fd_by_id(id) })?)
    }

    /// What the kernel says of the map.
    pub fn info(&self) -> &MapInfo {
        &self.info
    }

    /// `EINVAL` unless the kernel would read and write exactly these sizes.
    fn check_sizes(&self, key: usize, value: usize) -> io::Result<()> {
        let per_cpu = matches!(
            self.info.kind,
            libbpf_sys::BPF_MAP_TYPE_PERCPU_HASH
                | libbpf_sys::BPF_MAP_TYPE_PERCPU_ARRAY
                | libbpf_sys::BPF_MAP_TYPE_LRU_PERCPU_HASH
                | libbpf_sys::BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE
        );
        if per_cpu || key != self.info.key_size as usize || value != self.info.value_size as usize {
            return Err(io::Error::from_raw_os_error(nix::libc::EINVAL));
        }
        Ok(())
    }

    /// Reads the value of a key; `None` without such a key.
    pub fn lookup(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0u8; self.info.value_size as usize];
        self.check_sizes(key.len(), value.len())?;
        // SAFETY: key and value have the map's sizes, and outlive the call.
        let ret = unsafe {
            libbpf_sys::bpf_map_lookup_elem(
                self.fd.as_raw_fd(),
                key.as_ptr().cast(),
                value.as_mut_ptr().cast(),
            )
        };
        match check(ret) {
            Ok(_) => Ok(Some(value)),
            Err(err) if err.raw_os_error() == Some(nix::libc::ENOENT) => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// Writes the value of a key.
    pub fn update(&self, key: &[u8], value: &[u8], mode: UpdateMode) -> io::Result<()> {
        self.check_sizes(key.len(), value.len())?;
        let flags = match mode {
            UpdateMode::Any => libbpf_sys::BPF_ANY,
            UpdateMode::Existing => libbpf_sys::BPF_EXIST,
        };
        // SAFETY: key and value have the map's sizes, and outlive the call.
        check(unsafe {
            libbpf_sys::bpf_map_update_elem(
                self.fd.as_raw_fd(),
                key.as_ptr().cast(),
                value.as_ptr().cast(),
                u64::from(flags),
            )
        })?;
        Ok(())
    }
}

/// A ring buffer that is read here. libbpf-rs's wrapper loses the errno of failures.
pub struct Ring {
    ring: NonNull<libbpf_sys::ring_buffer>,
    /// Where `keep_sample` puts samples: `ring` has its address, so it stays where it is.
    samples: Box<RefCell<VecDeque<Vec<u8>>>>,
    /// The kernel forgets who waits for a map that nobody has open.
    _map: Map,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

/// Keeps a sample; called by libbpf while [`Ring::take`] runs.
///
/// # Safety
///
/// `samples` is what [`Ring::by_id`] gave to libbpf, and `data` has `size` bytes.
unsafe extern "C" fn keep_sample(
    samples: *mut c_void,
    data: *mut c_void,
    size: libbpf_sys::size_t,
) -> c_int {
    // SAFETY: `samples` is the address of a queue that lives as long as the ring buffer.
    let samples = unsafe { &*samples.cast::<RefCell<VecDeque<Vec<u8>>>>() };
    // SAFETY: libbpf hands over a whole sample, which stays there during the call.
    let sample = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size as usize) };
    samples.borrow_mut().push_back(sample.to_vec());
    0
}

impl Ring {
    /// Opens a ring buffer by the id of its map (`CAP_SYS_ADMIN`).
    pub fn by_id(id: u32) -> io::Result<Self> {
        let map = Map::by_id(id)?;
        let samples = Box::new(RefCell::new(VecDeque::new()));
        let context = std::ptr::from_ref(&*samples).cast_mut().cast();
        // SAFETY: the map is open, `context` is what `keep_sample` expects, and options are optional.
        let ring = unsafe {
            libbpf_sys::ring_buffer__new(
                map.as_fd().as_raw_fd(),
                Some(keep_sample),
                context,
                std::ptr::null(),
            )
        };
        // libbpf returns NULL and sets errno.
        let ring = NonNull::new(ring).ok_or_else(io::Error::last_os_error)?;
        Ok(Self {
            ring,
            samples,
            _map: map,
        })
    }

    /// Takes up to `max` samples, without waiting.
    pub fn take(&self, max: usize) -> io::Result<Vec<Vec<u8>>> {
        // SAFETY: the ring buffer lives as long as `self`, which isn't shared between threads.
        check(unsafe { libbpf_sys::ring_buffer__consume_n(self.ring.as_ptr(), max as _) })?;
        Ok(self.samples.borrow_mut().drain(..).collect())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: it came from `ring_buffer__new`, and is freed once.
        unsafe { libbpf_sys::ring_buffer__free(self.ring.as_ptr()) }
    }
}

impl AsFd for Ring {
    /// Readable when there are samples.
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring buffer lives as long as `self`.
        let fd = unsafe { libbpf_sys::ring_buffer__epoll_fd(self.ring.as_ptr()) };
        // SAFETY: the descriptor is open for as long as the ring buffer, which the result borrows.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }
}

/// Attaches a struct_ops map that has its value.
pub fn link_create(map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: no options; the descriptor is open for the call.
    owned(unsafe {
        libbpf_sys::bpf_link_create(
            map.as_raw_fd(),
            0,
            libbpf_sys::BPF_STRUCT_OPS,
            std::ptr::null(),
        )
    })
}

/// Swaps the map behind a link from `old` to `new`, atomically; `EPERM` when the
/// link doesn't hold `old` (any more).
pub fn link_update(
    link: BorrowedFd<'_>,
    new: BorrowedFd<'_>,
    old: BorrowedFd<'_>,
) -> io::Result<()> {
    let opts = libbpf_sys::bpf_link_update_opts {
        sz: size_of::<libbpf_sys::bpf_link_update_opts>() as _,
        flags: libbpf_sys::BPF_F_REPLACE,
        old_map_fd: old.as_raw_fd() as u32,
        ..Default::default()
    };
    // SAFETY: `opts` says its own size and outlives the call; the descriptors are open.
    check(unsafe { libbpf_sys::bpf_link_update(link.as_raw_fd(), new.as_raw_fd(), &opts) })?;
    Ok(())
}

/// Detaches a link at once, pinned or not.
pub fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: plain system call without pointers on an open descriptor.
    check(unsafe { libbpf_sys::bpf_link_detach(link.as_raw_fd()) })?;
    Ok(())
}

/// Pins a map or link at a path on bpffs.
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: `path` is a C string that outlives the call.
    check(unsafe { libbpf_sys::bpf_obj_pin(object.as_raw_fd(), path.as_ptr()) })?;
    Ok(())
}

/// Opens what is pinned at a path on bpffs.
pub fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: `path` is a C string that outlives the call.
    owned(unsafe { libbpf_sys::bpf_obj_get(path.as_ptr()) })
}

/// Says what a descriptor from [`open_pin`] is.
pub fn identify(fd: BorrowedFd<'_>) -> Pinned {
    // The kinds are told apart by the name of the anonymous inode: asking a map
    // for link information would read one structure as another.
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let target = std::fs::read_link(path).unwrap_or_default();
    let pinned = match target.to_str() {
        Some(text) if text.contains("bpf-map") => map_info(fd).map(Pinned::Map),
        Some(text) if text.contains("bpf-prog") => program_info(fd).map(Pinned::Program),
        Some(text) if text.contains("bpf_link") || text.contains("bpf-link") => {
            link_info(fd).map(Pinned::Link)
        }
        _ => Ok(Pinned::Other),
    };
    pinned.unwrap_or(Pinned::Other)
}

/// Loads an opened object, keeping the kernel's errno on failure.
pub fn load(object: OpenObject) -> io::Result<Object> {
    // SAFETY: the pointer is valid as long as `object` lives.
    check(unsafe { libbpf_sys::bpf_object__load(object.as_libbpf_object().as_ptr()) })?;
    // SAFETY: the object has just been loaded, and ownership moves on.
    Ok(unsafe { Object::from_ptr(object.take_ptr()) })
}

/// Makes libbpf pin nothing by itself, whatever the object's maps ask for.
pub fn forbid_auto_pins(object: &mut OpenObject) -> io::Result<()> {
    for map in object.maps_mut() {
        // SAFETY: the map belongs to `object`, which is borrowed for the call.
        check(unsafe {
            libbpf_sys::bpf_map__set_pin_path(map.as_libbpf_object().as_ptr(), std::ptr::null())
        })?;
    }
    Ok(())
}

/// Makes libbpf leave a map out when it loads the object.
pub fn leave_out(map: &mut OpenMapMut<'_>) -> io::Result<()> {
    // SAFETY: the map belongs to an object that is borrowed for the call.
    check(unsafe { libbpf_sys::bpf_map__set_autocreate(map.as_libbpf_object().as_ptr(), false) })?;
    Ok(())
}

/// Makes libbpf use an open map in place of a new one.
pub fn reuse(map: &mut OpenMapMut<'_>, open: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the map belongs to an object that is borrowed for the call; libbpf duplicates
    // the descriptor.
    check(unsafe {
        libbpf_sys::bpf_map__reuse_fd(map.as_libbpf_object().as_ptr(), open.as_raw_fd())
    })?;
    Ok(())
}

/// Whether libbpf made a map itself (`.bss`, `.rodata`, …) rather than the author.
pub fn is_internal(map: &libbpf_rs::OpenMap<'_>) -> bool {
    // SAFETY: the map belongs to an object that is borrowed for the call.
    unsafe { libbpf_sys::bpf_map__is_internal(map.as_libbpf_object().as_ptr()) }
}

/// The descriptor of the program to which a struct_ops member points, after the
/// object was loaded.
///
/// `pointer` is the content of the member as [`libbpf_rs::OpenMap::initial_value`]
/// shows it: libbpf stores a `struct bpf_program *` there.
pub fn program_fd(object: &Object, pointer: u64) -> Option<RawFd> {
    object
        .progs()
        .find(|program| program.as_libbpf_object().as_ptr() as u64 == pointer)
        .map(|program| {
            // SAFETY: the program belongs to `object`, which is borrowed for the call.
            unsafe { libbpf_sys::bpf_program__fd(program.as_libbpf_object().as_ptr()) }
        })
        .filter(|fd| *fd >= 0)
}

/// Text of a libbpf map type number, or the number.
pub fn map_type_name(kind: u32) -> String {
    // SAFETY: returns a static string, or NULL for an unknown number.
    let text = unsafe { libbpf_sys::libbpf_bpf_map_type_str(kind) };
    if text.is_null() {
        return format!("type {kind}");
    }
    // SAFETY: a static C string.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_types_have_the_names_of_bpftool() {
        assert_eq!(map_type_name(MAP_TYPE_HASH), "hash");
        assert_eq!(map_type_name(9999), "type 9999");
    }

    #[test]
    fn kernel_names_may_fill_their_field() {
        assert_eq!(name(&[b'a' as _; 16]), "a".repeat(16));
        assert_eq!(name(&[b'a' as _, 0, b'b' as _]), "a");
    }

    #[test]
    fn errors_keep_the_errno() {
        let error = open_pin(Path::new("/nonexistent/pin")).unwrap_err();
        assert!(error.raw_os_error().is_some());
        // No such map, or no privilege to ask.
        for error in [
            Ring::by_id(u32::MAX - 1).unwrap_err(),
            Map::by_id(u32::MAX - 1).unwrap_err(),
        ] {
            assert!(error.raw_os_error().is_some(), "{error:?}");
        }
    }
}
