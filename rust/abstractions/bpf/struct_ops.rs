// SPDX-License-Identifier: GPL-2.0-only

//! BPF `struct_ops` types: tables of functions that BPF programs implement.
//!
//! The table's C structure, its stubs and its verifier operations have to be C, as the kernel finds
//! them through BTF. What the kernel calls when a table comes and goes is [`StructOps`].
//!
//! C header: [`include/linux/bpf.h`](srctree/include/linux/bpf.h); the kernel's side is
//! `kernel/bpf/bpf_struct_ops.c`.
//!
//! ```text
//!              map_update_elem            link_create          link_update
//!   user's  ─────────────────────▶ table ─────────────▶ in use ───────────▶ in use (new table)
//!   table    check_member per op,         reg()           │      update()
//!            init_member per field,                       │ unreg(): link detached or closed
//!            validate()                                   ▼
//!                                                       freed
//! ```
//!
//! `reg`, `update` and a detach run under the kernel's one `update_mutex` for all struct_ops, which
//! makes it the outermost lock; the `unreg` of a link that is closed runs without it. So a path
//! that holds a lock which `reg` takes must not detach a link: it leaves that to a work item.

use crate::bindings;
use core::{
    ffi::{
        c_int,
        c_void, //
    },
    marker::PhantomData,
    ptr::NonNull,
};
use kernel::{
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::Opaque, //
};

/// A type of table and its life.
pub(crate) trait StructOps: Sized + 'static {
    /// The name of the C structure.
    const NAME: &'static CStr;

    /// The C structure.
    type Table: 'static;

    /// The C parts of the type.
    fn parts() -> Parts;

    /// Takes over the data member at `offset` of the table that user space wrote, after checking
    /// it. Returns false for members that aren't known: the kernel insists on zeros there.
    fn init_member(table: &mut Self::Table, user: &Self::Table, offset: usize) -> Result<bool>;

    /// Checks the table as a whole.
    fn validate(table: &Self::Table) -> Result;

    /// The table is to be used from now on, until `link` goes. Process context, `update_mutex`.
    fn reg(table: TableRef<Self::Table>, link: &Link) -> Result;

    /// The table of `link` isn't to be used any more. Process context. The same link may have been
    /// given up before.
    fn unreg(link: &Link);

    /// `table` replaces the table of `link`, which isn't to be used any more after the return.
    /// Process context, `update_mutex`.
    fn update(table: TableRef<Self::Table>, link: &Link) -> Result;
}

/// What C provides for a type.
pub(crate) struct Parts {
    /// A table of stubs: one function of the right prototype for each op.
    pub(crate) cfi_stubs: *mut c_void,
    /// What programs of the type may do.
    pub(crate) verifier_ops: *const bindings::bpf_verifier_ops,
    /// The macro `register_bpf_struct_ops()` with the type's name.
    pub(crate) register: unsafe extern "C" fn(*mut bindings::bpf_struct_ops) -> c_int,
}

/// A table that BPF programs back, and that is kept for as long as this lives, whatever becomes of
/// its link.
///
/// # Invariants
///
/// It points at the table of a struct_ops map that is complete, and owns a reference to the map,
/// which owns the programs.
pub(crate) struct TableRef<T>(NonNull<T>);

// SAFETY: A table is read-only, and may be read and called from any thread.
unsafe impl<T> Send for TableRef<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for TableRef<T> {}

impl<T> TableRef<T> {
    /// # Safety
    ///
    /// `kdata` must be what `bpf_struct_ops::reg` or `update` was given, for the length of that
    /// call, and the type's C structure be `T`.
    unsafe fn new(kdata: *mut c_void) -> Result<Self> {
        let table = NonNull::new(kdata.cast()).ok_or(EINVAL)?;
        // SAFETY: By the requirements of this function.
        if !unsafe { bindings::bpf_struct_ops_get(kdata) } {
            return Err(ENOENT);
        }
        // INVARIANT: Just taken; a table that is registered or replaces one is complete.
        Ok(Self(table))
    }
}

impl<T> core::ops::Deref for TableRef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: Valid, by the type invariants, and not written to once it is complete.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for TableRef<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. Any context: the kernel leaves the rest to a worker.
        unsafe { bindings::bpf_struct_ops_put(self.0.as_ptr().cast()) };
    }
}

/// A BPF link: `struct bpf_link`.
#[repr(transparent)]
pub(crate) struct Link(Opaque<bindings::bpf_link>);

impl Link {
    /// # Safety
    ///
    /// `ptr` must point at a link that isn't freed for `'a`.
    unsafe fn from_raw<'a>(ptr: *mut bindings::bpf_link) -> &'a Self {
        // CAST: `Self` is a transparent wrapper.
        // SAFETY: By the requirements of this function.
        unsafe { &*ptr.cast() }
    }

    /// What names the link as long as it lives.
    pub(crate) fn key(&self) -> LinkKey {
        LinkKey(self.0.get())
    }
}

/// A link's address, without a claim that it still exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkKey(*mut bindings::bpf_link);

// SAFETY: Only compared, or used under the requirements of the methods.
unsafe impl Send for LinkKey {}
// SAFETY: As above.
unsafe impl Sync for LinkKey {}

impl LinkKey {
    /// Takes a reference, unless the link is being freed.
    ///
    /// # Safety
    ///
    /// `unreg` must not have returned for the link, nor be able to while this runs.
    pub(crate) unsafe fn get(self) -> Option<OwnedLink> {
        // SAFETY: The link isn't freed before `unreg` returns.
        let link = unsafe { bindings::bpf_link_inc_not_zero(self.0) };
        // It returns an error pointer if there was no reference left.
        kernel::error::from_err_ptr(link)
            .ok()
            .and_then(NonNull::new)
            .map(OwnedLink)
    }

    /// The id by which user space knows the link; 0 as long as user space doesn't.
    ///
    /// # Safety
    ///
    /// As for [`Self::get`].
    pub(crate) unsafe fn id(self) -> u32 {
        // SAFETY: The link isn't freed before `unreg` returns.
        unsafe { (&raw const (*self.0).id).read_volatile() }
    }

    /// The id of the map that holds its table; 0 while it is being attached.
    ///
    /// # Safety
    ///
    /// As for [`Self::get`].
    pub(crate) unsafe fn map_id(self) -> u32 {
        // SAFETY: The link isn't freed before `unreg` returns; the kernel reads its map under RCU.
        unsafe { bindings::ekho_helper_link_map_id(self.0) }
    }
}

/// A reference to a link.
///
/// # Invariants
///
/// Owns one reference.
pub(crate) struct OwnedLink(NonNull<bindings::bpf_link>);

// SAFETY: Links may be used and let go of from any thread.
unsafe impl Send for OwnedLink {}
// SAFETY: As above.
unsafe impl Sync for OwnedLink {}

impl OwnedLink {
    /// Makes the link let go of its table: `unreg` is called, and who polls the link is told.
    /// Process context; takes `update_mutex`.
    pub(crate) fn detach(&self) {
        let link = self.0.as_ptr();
        // SAFETY: The link is alive; its operations are static.
        if let Some(detach) = unsafe { (*(*link).ops).detach } {
            // SAFETY: The link is alive, and `update_mutex` isn't held, as the caller promises.
            // Fails for links that can't be detached only, which struct_ops ones can.
            let _ = unsafe { detach(link) };
        }
    }
}

impl Drop for OwnedLink {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::bpf_link_put(self.0.as_ptr()) };
    }
}

/// Storage of a type's descriptor; the kernel uses it until the module is gone.
pub(crate) struct Descriptor<T: StructOps> {
    st_ops: Opaque<bindings::bpf_struct_ops>,
    registered: Atomic<bool>,
    _t: PhantomData<T>,
}

// SAFETY: Written by `register` before the kernel sees it, and by the kernel after.
unsafe impl<T: StructOps> Sync for Descriptor<T> {}

/// Set once a descriptor's `init` ran: one type a module is all there can be so far.
static BTF_SEEN: Atomic<bool> = Atomic::new(false);

impl<T: StructOps> Descriptor<T> {
    /// An empty descriptor, for a static.
    pub(crate) const fn new() -> Self {
        Self {
            st_ops: Opaque::zeroed(),
            registered: Atomic::new(false),
            _t: PhantomData,
        }
    }

    /// Makes the type known. It stays so until the module is unloaded, which can't be while a
    /// table or a link of the type exists.
    ///
    /// Fails with [`EBUSY`] if called twice, and with [`ENOEXEC`] if the module has no BTF: the
    /// kernel takes that for success, and the type would just not exist.
    pub(crate) fn register(&'static self, module: &'static ThisModule) -> Result {
        if self.registered.xchg(true, kernel::sync::atomic::Full) {
            return Err(EBUSY);
        }
        let parts = T::parts();
        let st_ops = bindings::bpf_struct_ops {
            verifier_ops: parts.verifier_ops,
            init: Some(Self::init),
            check_member: Some(Self::check_member),
            init_member: Some(Self::init_member),
            reg: Some(Self::reg),
            unreg: Some(Self::unreg),
            update: Some(Self::update),
            validate: Some(Self::validate),
            cfi_stubs: parts.cfi_stubs,
            owner: module.as_ptr().cast(),
            name: T::NAME.as_char_ptr(),
            ..pin_init::zeroed()
        };
        // SAFETY: The descriptor is static, and used by nobody else before it is registered.
        unsafe { self.st_ops.get().write(st_ops) };
        // SAFETY: The descriptor is complete, and lives as long as the module.
        to_result(unsafe { (parts.register)(self.st_ops.get()) })?;
        if !BTF_SEEN.load(Relaxed) {
            return Err(ENOEXEC);
        }
        Ok(())
    }

    /// # Safety
    ///
    /// To be called as `bpf_struct_ops::init`.
    unsafe extern "C" fn init(_btf: *mut bindings::btf) -> c_int {
        BTF_SEEN.store(true, Relaxed);
        0
    }

    /// Refuses sleepable programs: ops may be called in atomic context.
    ///
    /// # Safety
    ///
    /// To be called as `bpf_struct_ops::check_member`.
    unsafe extern "C" fn check_member(
        _type: *const bindings::btf_type,
        _member: *const bindings::btf_member,
        prog: *const bindings::bpf_prog,
    ) -> c_int {
        // SAFETY: The verifier passes the program that it checks.
        if unsafe { (*prog).sleepable() } != 0 {
            return EINVAL.to_errno();
        }
        0
    }

    /// # Safety
    ///
    /// To be called as `bpf_struct_ops::init_member`.
    unsafe extern "C" fn init_member(
        ty: *const bindings::btf_type,
        member: *const bindings::btf_member,
        kdata: *mut c_void,
        udata: *const c_void,
    ) -> c_int {
        // SAFETY: The kernel passes a member of the type.
        let offset = unsafe { bindings::ekho_helper_btf_member_offset(ty, member) };
        // SAFETY: Both point at a `T::Table`; `kdata` is in nobody else's hands yet.
        let (table, user) = unsafe { (&mut *kdata.cast(), &*udata.cast()) };
        from_result(|| T::init_member(table, user, offset as usize).map(c_int::from))
    }

    /// # Safety
    ///
    /// To be called as `bpf_struct_ops::validate`.
    unsafe extern "C" fn validate(kdata: *mut c_void) -> c_int {
        // SAFETY: `kdata` points at a complete table.
        let table = unsafe { &*kdata.cast() };
        from_result(|| T::validate(table).map(|()| 0))
    }

    /// # Safety
    ///
    /// To be called as `bpf_struct_ops::reg`.
    unsafe extern "C" fn reg(kdata: *mut c_void, link: *mut bindings::bpf_link) -> c_int {
        // Maps without BPF_F_LINK have no link, and nobody who could be told that a device went.
        if link.is_null() {
            return -(bindings::EOPNOTSUPP as c_int);
        }
        // SAFETY: The link is alive until `unreg` returns.
        let link = unsafe { Link::from_raw(link) };
        // SAFETY: That is what this is called for.
        from_result(|| T::reg(unsafe { TableRef::new(kdata) }?, link).map(|()| 0))
    }

    /// # Safety
    ///
    /// To be called as `bpf_struct_ops::unreg`.
    unsafe extern "C" fn unreg(_kdata: *mut c_void, link: *mut bindings::bpf_link) {
        if !link.is_null() {
            // SAFETY: The link is alive until `unreg` returns.
            T::unreg(unsafe { Link::from_raw(link) });
        }
    }

    /// # Safety
    ///
    /// To be called as `bpf_struct_ops::update`.
    unsafe extern "C" fn update(
        kdata: *mut c_void,
        _old_kdata: *mut c_void,
        link: *mut bindings::bpf_link,
    ) -> c_int {
        // SAFETY: The link is alive until `unreg` returns.
        let link = unsafe { Link::from_raw(link) };
        // SAFETY: That is what this is called for.
        from_result(|| T::update(unsafe { TableRef::new(kdata) }?, link).map(|()| 0))
    }
}
