//! Opens a control group by its id, with open_by_handle_at(2): needs `CAP_DAC_READ_SEARCH`.

use std::{
    fs::{self, File},
    mem::size_of,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::PathBuf,
};

/// `FILEID_KERNFS` (include/linux/exportfs.h), since Linux 5.5: the handle is the node's id.
const FILEID_KERNFS: libc::c_int = 0xfe;

/// `struct file_handle` with the bytes that `kernfs_fh_to_dentry` (fs/kernfs/mount.c) expects. The kernel
/// copies them to an aligned place.
#[repr(C)]
struct Handle {
    bytes: libc::c_uint,
    kind: libc::c_int,
    id: [u8; size_of::<u64>()],
}

const _: () = assert!(size_of::<Handle>() == size_of::<libc::file_handle>() + size_of::<u64>());

/// The directory of the group with this id; `mount` is any file of the unified hierarchy.
pub(super) fn open(mount: &File, id: u64) -> Option<OwnedFd> {
    let mut handle = Handle { bytes: size_of::<u64>() as libc::c_uint, kind: FILEID_KERNFS, id: id.to_ne_bytes() };
    // O_PATH: only to be named.
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: the handle starts with the members of `file_handle` and has `bytes` bytes after them, which the
    // kernel reads during the call only.
    let fd = unsafe { libc::open_by_handle_at(mount.as_raw_fd(), (&raw mut handle).cast(), flags) };
    // SAFETY: a call that succeeds returns a descriptor that is nobody else's.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Where an open directory is.
pub(super) fn path(directory: &OwnedFd) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).ok()?;
    // It may have been removed just now; the name is still right.
    let path = path.into_os_string().into_string().ok()?;
    Some(path.strip_suffix(" (deleted)").unwrap_or(&path).into())
}
