//! A recording in several files, so that a long run can be kept within bounds.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{config::Rotation, host::new_file::Making};

/// The files, one after the other: FILE.0001, FILE.0002, ...
#[derive(Debug)]
pub(super) struct Parts {
    path: PathBuf,
    making: Making,
    keep: usize,
    count: u32,
    made: VecDeque<PathBuf>,
}

impl Parts {
    pub(super) fn new(path: &Path, making: Making, rotation: Rotation) -> Self {
        let keep = rotation.keep.unwrap_or(usize::MAX);
        Self { path: path.to_owned(), making, keep, count: 0, made: VecDeque::new() }
    }

    /// Makes the next one, and removes the oldest if there are too many then.
    pub(super) fn next(&mut self) -> io::Result<File> {
        self.count += 1;
        let path = name(&self.path, self.count);
        let file = self.making.create(&path)?;
        self.made.push_back(path);
        while self.made.len() > self.keep
            && let Some(oldest) = self.made.pop_front()
        {
            // Somebody may have taken it away already.
            if let Err(error) = fs::remove_file(&oldest) {
                log::warn!("cannot remove {}: {error}", oldest.display());
            }
        }
        Ok(file)
    }
}

fn name(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number:04}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace");
        let mut parts = Parts::new(&path, Making::default(), Rotation { keep: Some(2), ..Rotation::default() });
        for _ in 0..5 {
            parts.next().unwrap();
        }
        let mut left: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["trace.0004", "trace.0005"]);
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace");
        fs::write(name(&path, 1), "kept").unwrap();
        let error = Parts::new(&path, Making::default(), Rotation::default()).next().unwrap_err();
        assert!(error.to_string().contains("--force"), "{error}");
    }
}
