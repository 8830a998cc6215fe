// SPDX-License-Identifier: GPL-2.0-only

//! Files in debugfs that show text, and hold their module while they are open.
//!
//! `kernel::debugfs` gives its files no owner (7.2): closing one after the module has been removed
//! calls into memory that is gone. With an owner, removal says EBUSY instead.
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
    types::Opaque, //
};

/// What writes a file's text. Process context.
pub(crate) type Show = fn(&mut fmt::Formatter<'_>) -> fmt::Result;

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
    /// Makes a directory at the root of debugfs, with a read-only file for each name. Where debugfs
    /// is off, does nothing. Process context.
    pub(crate) fn new(
        name: &'static CStr,
        files: &'static [(&'static CStr, Show)],
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
                    llseek: Some(bindings::seq_lseek),
                    release: Some(bindings::single_release),
                    ..pin_init::zeroed()
                };
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(operations) };
            }),
            _: {
                for (name, show) in files {
                    // SAFETY: The name is a string, `dir` came from debugfs, and the operations
                    // are pinned until `drop` has removed the files. `open` expects a `Show`.
                    unsafe {
                        bindings::debugfs_create_file_full(
                            name.as_char_ptr(),
                            0o400,
                            *dir,
                            (*show as *mut c_void).cast(),
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
/// To be called as `open` of a file whose private data is a [`Show`].
unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: The inode is that of the file.
    unsafe { bindings::single_open(file, Some(show), (*inode).i_private) }
}

/// # Safety
///
/// To be called by `seq_read` for a file that [`open`] opened.
unsafe extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    struct Text(Show);

    impl fmt::Display for Text {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (self.0)(f)
        }
    }

    // SAFETY: `single_open` keeps the private data that it got, which is a `Show`.
    let text = Text(unsafe { core::mem::transmute::<*mut c_void, Show>((*seq).private) });
    // SAFETY: The file is open for as long as this runs.
    unsafe { SeqFile::from_raw(seq) }.call_printf(format_args!("{text}"));
    0
}

#[pinned_drop]
impl PinnedDrop for Files {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariants. Waits for readers, and takes the files along.
        unsafe { bindings::debugfs_remove(self.dir) };
    }
}
