//! Each input of the corpus passes: well-formed ones, those that led the fuzzer to other code, and those that found a
//! fault once. `UPDATE_CORPUS=1 cargo test -p tracer-fuzz` writes the well-formed ones anew.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tracer_fuzz::{TARGETS, Target};

/// What the corpus may take in the repository.
const MOST: u64 = 2 << 20;

fn inputs(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    files
}

/// Plays what there is, and tells which input a failure is of.
fn play(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    if std::env::var_os("UPDATE_CORPUS").is_some() {
        fs::create_dir_all(target.corpus()).unwrap();
        for (name, bytes) in (target.seeds)() {
            fs::write(target.corpus().join(name), bytes).unwrap();
        }
    }
    let Target { check, .. } = target;
    let all = inputs(&target.corpus());
    for file in &all {
        println!("{}", file.display());
        check(&fs::read(file).unwrap());
    }
    for (name, bytes) in (target.seeds)() {
        println!("the seed {name}");
        check(&bytes);
        assert!(all.iter().any(|file| file.ends_with(&name)), "{name} is missing: UPDATE_CORPUS=1 writes it");
    }
}

#[test]
fn btf() {
    play("btf");
}

#[test]
fn filters() {
    play("filters");
}

#[test]
fn pipeline() {
    play("pipeline");
}

#[test]
fn proc() {
    play("proc");
}

#[test]
fn recording() {
    play("recording");
}

#[test]
fn records() {
    play("records");
}

#[test]
fn it_stays_small() {
    let sizes = TARGETS.iter().flat_map(|target| inputs(&target.corpus())).map(|file| file.metadata().unwrap().len());
    assert!(sizes.sum::<u64>() < MOST);
}
