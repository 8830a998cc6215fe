// SPDX-License-Identifier: GPL-2.0-only

//! Text files in debugfs that can be read and written, and that hold their module while they are
//! open.
//!
//! `kernel::debugfs` gives its files no owner (7.2): closing one after the module has been removed
//! calls into memory that is gone. With an owner, removal fails with EBUSY instead.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use core::{
    ffi::c_void,
    fmt,
    ptr, //
};
use kernel::{
    bindings,
    ffi::c_int,
    prelude::*,
    seq_file::SeqFile,
    types::Opaque,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

/// What writes a file's text. Process context.
pub(crate) type Show = fn(&mut fmt::Formatter<'_>) -> fmt::Result;

/// What takes the text of one `write(2)`. Process context.
pub(crate) type Take = fn(&str) -> Result;

/// A file.
pub(crate) struct File {
    pub(crate) name: &'static CStr,
    pub(crate) show: Show,
    /// None if it can only be read.
    pub(crate) take: Option<Take>,
}

/// Bytes that can be written at once.
const WRITE_MAX: usize = 4096;

/// A directory with files, removed when dropped.
///
/// # Invariants
///
/// `dir` is what `debugfs_create_dir()` returned: a directory of this object's own, or an error
/// pointer, which debugfs takes for "not there".
#[pin_data(PinnedDrop)]
pub(crate) struct Files {
    dir: *mut bindings::dentry,
    #[pin]
    operations: Opaque<bindings::file_operations>,
}

// SAFETY: A directory in debugfs may be removed from any thread.
unsafe impl Send for Files {}
// SAFETY: There is nothing to do with a `&Files`.
unsafe impl Sync for Files {}

impl Files {
    /// Makes a directory at the root of debugfs with `files`, for root only. Where debugfs is off,
    /// does nothing. Process context.
    pub(crate) fn new(
        name: &'static CStr,
        files: &'static [File],
        owner: &'static ThisModule,
    ) -> impl PinInit<Self, Error> {
        // SAFETY: The name is a string; no parent means the root.
        let dir = unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), ptr::null_mut()) };
        try_pin_init!(&this in Self {
            dir,
            operations <- Opaque::ffi_init(|slot: *mut bindings::file_operations| {
                let operations = bindings::file_operations {
                    owner: owner.as_ptr(),
                    open: Some(open),
                    read: Some(bindings::seq_read),
                    write: Some(write),
                    llseek: Some(bindings::seq_lseek),
                    release: Some(bindings::single_release),
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(operations) };
            }),
            _: {
                for file in files {
                    // SAFETY: The name is a string, `dir` came from debugfs, and the operations
                    // are pinned until `drop` has removed the files. `open` expects a `File`.
                    unsafe {
                        bindings::debugfs_create_file_full(
                            file.name.as_char_ptr(),
                            if file.take.is_some() { 0o600 } else { 0o400 },
                            *dir,
                            ptr::from_ref(file).cast_mut().cast(),
                            ptr::null(),
                            (*this.as_ptr()).operations.get(),
                        )
                    };
                }
            },
        } ? Error)
    }
}

/// # Safety
///
/// To be called as `open` of a file whose private data is a static [`File`].
unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The inode is that of the file.
    unsafe { bindings::single_open(file, Some(show), (*inode).i_private) }
}

/// # Safety
///
/// To be called by `seq_read` for a file that [`open`] opened.
unsafe extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    struct Text(&'static File);

    impl fmt::Display for Text {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (self.0.show)(f)
        }
    }

    // SAFETY: `single_open` keeps the private data that it got, which is a `File`.
    let text = Text(unsafe { &*(*seq).private.cast() });
    // SAFETY: The file is open for as long as this runs.
    unsafe { SeqFile::from_raw(seq) }.call_printf(format_args!("{text}"));
    0
}

/// # Safety
///
/// To be called as `write` of a file that [`open`] opened.
unsafe extern "C" fn write(
    file: *mut bindings::file,
    from: *const kernel::ffi::c_char,
    len: usize,
    _offset: *mut bindings::loff_t,
) -> isize {
    // SAFETY: `single_open` made the private data of the open file a `struct seq_file`, and keeps
    // in it what it got, which is a `File`.
    let entry: &'static File = unsafe {
        &*(*(*file).private_data.cast::<bindings::seq_file>())
            .private
            .cast()
    };
    let result = (|| {
        let take = entry.take.ok_or(EINVAL)?;
        if len > WRITE_MAX {
            return Err(E2BIG);
        }
        let mut text = KVec::new();
        UserSlice::new(UserPtr::from_ptr(from.cast_mut().cast()), len)
            .read_all(&mut text, GFP_KERNEL)?;
        take(core::str::from_utf8(&text).map_err(|_| EINVAL)?)
    })();
    match result {
        Ok(()) => len as isize,
        Err(error) => error.to_errno() as isize,
    }
}

#[pinned_drop]
impl PinnedDrop for Files {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants. Waits for readers, and takes the files along.
        unsafe { bindings::debugfs_remove(self.dir) };
    }
}
