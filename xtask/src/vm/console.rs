//! The guest's console: lines made of whatever arrives.

/// Output whose last line may still grow.
#[derive(Default)]
pub(super) struct Console {
    unfinished: Vec<u8>,
}

impl Console {
    pub(super) fn add(&mut self, chunk: &[u8], mut on_line: impl FnMut(&str)) {
        self.unfinished.extend_from_slice(chunk);
        while let Some(end) = self.unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unfinished.drain(..=end).collect();
            // The console is a terminal, and ends its lines as terminals do.
            on_line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
        }
    }

    /// What has no end yet: of a machine that hangs, the very line that tells where.
    pub(super) fn flush(&mut self, on_line: &mut dyn FnMut(&str)) {
        if !self.unfinished.is_empty() {
            on_line(&String::from_utf8_lossy(&self.unfinished));
            self.unfinished.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_made_of_whatever_arrives() {
        let mut console = Console::default();
        let mut lines = Vec::new();
        for chunk in ["one\r", "\ntwo\nthr", "ee"] {
            console.add(chunk.as_bytes(), |line| lines.push(line.to_owned()));
        }
        console.flush(&mut |line| lines.push(line.to_owned()));
        assert_eq!(lines, ["one", "two", "three"]);
    }
}
