//! Bounds of memory and time by the size of what is read.

use std::time::Duration;

use crate::{memory, proportional::cpu_time};

/// What reading so many bytes may take.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Bytes of memory at a time, for nothing.
    pub fixed: usize,
    /// And for each byte that is read.
    pub per_byte: usize,
}

/// Time for nothing, and for each byte: some thousand times what it takes, on a machine that does much else.
const FIXED: Duration = Duration::from_secs(5);
const PER_BYTE: Duration = Duration::from_micros(200);

impl Limit {
    /// Insists on it.
    pub fn hold<T>(self, bytes: usize, work: impl FnOnce() -> T) -> T {
        let start = cpu_time();
        let (result, taken) = memory::taken(work);
        let most = self.fixed + bytes * self.per_byte;
        assert!(taken <= most, "{bytes} bytes took {taken} bytes of memory at a time, which may be {most}");
        let (time, longest) = (cpu_time() - start, FIXED + PER_BYTE * u32::try_from(bytes).unwrap_or(u32::MAX));
        assert!(time <= longest, "{bytes} bytes took {time:?}, which may be {longest:?}");
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { fixed: 100, per_byte: 2 };

    #[test]
    fn what_is_within_the_bound_passes() {
        assert_eq!(LIMIT.hold(50, || vec![0u8; 200].len()), 200);
    }

    #[test]
    #[should_panic(expected = "of memory")]
    fn what_takes_more_is_told() {
        LIMIT.hold(50, || vec![0u8; 201].len());
    }
}
