use std::path::PathBuf;

use super::*;

/// Pretends that a search just ended, with this namespace found by this file.
fn after_a_search(inode: u32, name: &str, file: &str) -> Namespaces {
    let found = Found { name: name.into(), file: PathBuf::from(file) };
    Namespaces { last: Some((Instant::now(), [(inode, found)].into())), ..Namespaces::default() }
}

/// Of no known socket or process, now.
fn at(inode: u32) -> Sighting {
    Sighting { inode, mono_ns: mono_now(), ..Sighting::default() }
}

/// Makes what is known due for a check.
fn expire(namespaces: &mut Namespaces, inode: u32) {
    namespaces.known.get_mut(&inode).unwrap().wait = Duration::ZERO;
}

/// A namespace of a thread that ends with the closure, so that it is not the initial one; needs root.
fn in_new_namespace(test: impl FnOnce(u32, &str) + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_err() {
                return;
            }
            let file = format!("/proc/self/task/{}/ns/net", nix::unistd::gettid());
            let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&file).unwrap());
            test(u32::try_from(inode).unwrap(), &file);
        });
    });
}

#[test]
fn a_name_is_told_once_and_checked_by_its_file() {
    in_new_namespace(|inode, file| {
        let mut namespaces = after_a_search(inode, "blue", file);
        let mut told = Vec::new();
        for _ in 0..3 {
            assert_eq!(namespaces.name(&at(inode), |name| told.push(name.map(str::to_owned))).as_deref(), Some("blue"));
            expire(&mut namespaces, inode);
        }
        assert_eq!(told, [Some("blue".to_owned())]);
    });
}

#[test]
fn a_name_goes_with_its_file() {
    in_new_namespace(|inode, file| {
        let mut namespaces = after_a_search(inode, "blue", file);
        assert_eq!(namespaces.name(&at(inode), |_| {}).as_deref(), Some("blue"));
        namespaces.known.get_mut(&inode).unwrap().found.as_mut().unwrap().file = "/no/such/file".into();
        assert_eq!(namespaces.name(&at(inode), |_| {}).as_deref(), Some("blue"), "not yet due for a check");
        let before = at(inode);
        let known = Sighting { cookie: 7, ..before };
        assert_eq!(namespaces.name(&known, |_| {}).as_deref(), Some("blue"));
        let past = namespaces.known.get_mut(&inode).unwrap().past.as_mut().unwrap();
        past.verified_ns = before.mono_ns;
        expire(&mut namespaces, inode);
        namespaces.last = None;
        let mut told = Vec::new();
        let mut tell = |name: Option<&str>| told.push(name.map(str::to_owned));
        // Nobody was seen who keeps the namespace, so its inode may be another's by now.
        assert_eq!(namespaces.name(&at(inode), &mut tell), None);
        assert_eq!(namespaces.name(&before, &mut tell).as_deref(), Some("blue"), "it happened before");
        let later = Sighting { cookie: 7, ..at(inode) };
        assert_eq!(namespaces.name(&later, &mut tell).as_deref(), Some("blue"), "the socket was there before");
        assert_eq!(namespaces.name(&Sighting { cookie: 8, ..later }, &mut tell), None, "that one was not");
        assert_eq!(told, [None, Some("blue".to_owned()), None], "each answer that is another");
    });
}

#[test]
fn a_process_that_was_there_and_is_keeps_the_name() {
    in_new_namespace(|inode, file| {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let mut namespaces = after_a_search(inode, "blue", file);
        let its = Sighting { pid: child.id(), ..at(inode) };
        assert_eq!(namespaces.name(&its, |_| {}).as_deref(), Some("blue"));
        let lose = |namespaces: &mut Namespaces| {
            namespaces.known.get_mut(&inode).unwrap().found = None;
            expire(namespaces, inode);
            namespaces.last = Some((Instant::now(), HashMap::new()));
        };
        lose(&mut namespaces);
        assert_eq!(namespaces.name(&at(inode), |_| {}).as_deref(), Some("blue"), "of anybody there");
        child.kill().unwrap();
        child.wait().unwrap();
        lose(&mut namespaces);
        assert_eq!(namespaces.name(&Sighting { mono_ns: u64::MAX, ..at(inode) }, |_| {}), None);
    });
}

#[test]
fn a_name_that_comes_late_is_found_and_a_lasting_miss_waits_longer() {
    in_new_namespace(|inode, file| {
        let mut namespaces = after_a_search(1, "other", "/no/such/file");
        let wait = |namespaces: &Namespaces| namespaces.known.peek(&inode).unwrap().wait;
        assert_eq!(namespaces.name(&at(inode), |_| unreachable!()), None);
        assert_eq!(wait(&namespaces), BELIEVED);
        namespaces.known.get_mut(&inode).unwrap().checked -= BELIEVED;
        assert_eq!(namespaces.name(&at(inode), |_| unreachable!()), None);
        assert_eq!(wait(&namespaces), 2 * BELIEVED);
        let mut late = after_a_search(inode, "late", file);
        late.known = std::mem::replace(&mut namespaces.known, LruCache::new(KEPT));
        expire(&mut late, inode);
        assert_eq!(late.name(&at(inode), |_| {}).as_deref(), Some("late"));
    });
}

#[test]
fn the_initial_namespace_has_no_name() {
    for inode in scan::initial().into_iter().chain([scan::INITIAL]) {
        let mut namespaces = after_a_search(inode, "host", "/proc/1/ns/net");
        assert_eq!(namespaces.name(&at(inode), |_| unreachable!()), None);
    }
}
