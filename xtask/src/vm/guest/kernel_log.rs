//! What the kernel said, which the console does not show.

use std::io;

/// `SYSLOG_ACTION_READ_ALL` of syslog(2).
const READ_ALL: libc::c_int = 3;
/// As much as a kernel keeps, or its end.
const BYTES: usize = 1 << 18;
/// What the kernel says when it is out of memory takes some sixty.
const LINES: usize = 100;

/// The last lines of it.
///
/// # Errors
/// The kernel's.
pub(super) fn tail() -> io::Result<Vec<String>> {
    let mut buffer = vec![0; BYTES];
    let length = libc::c_int::try_from(buffer.len()).map_err(io::Error::other)?;
    // SAFETY: the buffer has that length.
    let length = unsafe { libc::klogctl(READ_ALL, buffer.as_mut_ptr().cast(), length) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    let text = String::from_utf8_lossy(&buffer[..length]);
    let lines: Vec<_> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LINES)..].iter().map(|&line| line.to_owned()).collect())
}
