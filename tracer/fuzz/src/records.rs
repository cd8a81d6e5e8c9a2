//! Records, one after the other.

use tracer::pipeline::decode::{self, Body, Decoded, Error};
use tracer_ebpf::record::{RST_FRAMES, STATE_FRAMES};

use crate::limit::Limit;

/// A record is read at a time, and has an array of what its kernel stack is.
const LIMIT: Limit = Limit { fixed: 64 << 10, per_byte: 0 };

/// Any bytes are records, or an error for each that is none.
pub fn check(bytes: &[u8]) {
    LIMIT.hold(bytes.len(), || {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[one(rest).min(rest.len())..];
        }
    });
}

/// Reads the first one; how long it is.
fn one(bytes: &[u8]) -> usize {
    match decode::decode(bytes) {
        Ok(Decoded { record, also }) => {
            assert!(record.stack.len() <= RST_FRAMES.max(STATE_FRAMES));
            let size = usize::from(record.header().size);
            assert!(size <= bytes.len(), "a record is within what was read");
            if let Some(also) = also {
                assert!(matches!(record.body, Body::State(_)) && matches!(also.body, Body::Open(_) | Body::Close(_)));
                assert_eq!(record.header().mono_ns, also.header().mono_ns, "they are of one moment");
            }
            size.max(1)
        }
        Err(Error::Truncated { got, .. }) => {
            assert_eq!(got, bytes.len());
            1
        }
        Err(Error::UnknownKind(_)) => 1,
    }
}
