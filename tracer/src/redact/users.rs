//! What stands for users: numbers in the order in which they are seen.

use std::collections::HashMap;

/// The number that stands for the first one is the next: above all that Linux distributions give to users.
const NOBODY: u32 = 4_000_000_000;
/// Users that are told apart. Further ones are as if unknown.
const MOST: u32 = 1 << 16;
/// The kernel's "no user".
const UNKNOWN: u32 = u32::MAX;
/// Its name and its number are the same everywhere.
const ROOT: u32 = 0;

#[derive(Default)]
pub(super) struct Users(HashMap<u32, u32>);

impl Users {
    /// What stands for a user's id.
    pub(super) fn mask(&mut self, uid: u32) -> u32 {
        if uid == ROOT || uid == UNKNOWN {
            return uid;
        }
        let next = self.0.len() as u32 + 1;
        match self.0.get(&uid) {
            Some(masked) => *masked,
            None if next > MOST => UNKNOWN,
            None => *self.0.entry(uid).or_insert(NOBODY + next),
        }
    }
}

/// What stands for the name of the user whom this id stands for.
pub(super) fn name(masked: u32) -> String {
    match masked {
        ROOT => "root".to_owned(),
        _ => format!("user-{}", masked.saturating_sub(NOBODY)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_stay_apart_and_root_is_root() {
        let mut users = Users::default();
        let masked = [1000, 33, 1000, 4_000_000_001, ROOT, UNKNOWN].map(|uid| users.mask(uid));
        assert_eq!(masked, [NOBODY + 1, NOBODY + 2, NOBODY + 1, NOBODY + 3, ROOT, UNKNOWN]);
        assert_eq!((name(masked[1]), name(ROOT)), ("user-2".to_owned(), "root".to_owned()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut users = Users::default();
        let all: Vec<_> = (1..=2 * MOST).map(|uid| users.mask(uid)).collect();
        assert_eq!(users.0.len(), MOST as usize);
        assert!(all[..MOST as usize].iter().all(|uid| *uid != UNKNOWN));
        assert!(all[MOST as usize..].iter().all(|uid| *uid == UNKNOWN));
    }
}
