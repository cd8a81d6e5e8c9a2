//! What a later part of a recording needs of those before it, since each part can be read by itself: names, facts, and
//! processes.

use std::collections::VecDeque;

/// Bytes that are kept of it, at most; what came first goes first.
const MOST: usize = 4 << 20;

/// Frames that are written again at the beginning of each part.
#[derive(Debug)]
pub(super) struct Context {
    frames: VecDeque<(u8, Vec<u8>)>,
    bytes: usize,
    most: usize,
}

impl Context {
    /// Of parts that are to have so many bytes.
    pub(super) fn new(part: Option<u64>) -> Self {
        let most = part.and_then(|bytes| usize::try_from(bytes / 2).ok()).map_or(MOST, |half| half.min(MOST));
        Self { frames: VecDeque::new(), bytes: 0, most }
    }

    /// Keeps a frame.
    pub(super) fn keep(&mut self, tag: u8, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.frames.push_back((tag, bytes.to_vec()));
        while self.bytes > self.most
            && let Some((_, oldest)) = self.frames.pop_front()
        {
            self.bytes -= oldest.len();
        }
    }

    /// All that is kept, the oldest first.
    pub(super) fn frames(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.frames.iter().map(|(tag, bytes)| (*tag, &bytes[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_came_last_within_a_bound() {
        let mut context = Context::new(Some(64 << 10));
        for number in 0..64_u8 {
            context.keep(number, &[number; 1 << 10]);
        }
        let kept: Vec<_> = context.frames().map(|(tag, _)| tag).collect();
        assert_eq!(kept, (32..64).collect::<Vec<_>>());
        assert_eq!(context.bytes, 32 << 10);
    }
}
