//! The names that bind the loader to the programs' object: a wrong one would end in a silent fallback to the next way to
//! attach.

use std::collections::BTreeSet;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use tracer_ebpf::{
    arch,
    criteria::{sets, switches},
    globals, layout, maps, programs,
};

/// Where programs are picked.
const USERS: [&str; 3] =
    [include_str!("../probes/plan.rs"), include_str!("../probes/plan/owner.rs"), include_str!("mod.rs")];

/// The programs' object, if this was built with it.
pub(super) fn object() -> Option<object::File<'static>> {
    if super::PROGRAMS.is_empty() {
        println!("not tested: built without the programs (see build.rs)");
        return None;
    }
    Some(object::File::parse(super::PROGRAMS).unwrap())
}

#[test]
fn each_program_of_the_object_is_named_and_each_name_is_a_program() {
    let Some(file) = object() else { return };
    let text = file.section_by_name(".text").unwrap().index();
    let is_program = |symbol: &object::Symbol<'_, '_>| {
        symbol.kind() == SymbolKind::Text && symbol.section_index().is_some_and(|section| section != text)
    };
    let there: BTreeSet<_> =
        file.symbols().filter(is_program).map(|symbol| symbol.name().unwrap().to_owned()).collect();
    let named: BTreeSet<_> = programs::ALL.iter().map(|(_, name)| (*name).to_owned()).collect();
    assert_eq!(there, named);
}

/// The symbols in these sections of the object, but those of the log, which is not ours.
fn symbols_in(file: &object::File<'_>, is_section: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let sections: Vec<_> = file
        .sections()
        .filter(|section| section.name().is_ok_and(&is_section))
        .map(|section| section.index())
        .collect();
    let is_there = |symbol: &object::Symbol<'_, '_>| symbol.section_index().is_some_and(|it| sections.contains(&it));
    let names = file.symbols().filter(|symbol| symbol.is_global() && is_there(symbol));
    names.map(|symbol| symbol.name().unwrap().to_owned()).filter(|name| !name.starts_with("AYA_")).collect()
}

#[test]
fn each_map_that_is_named_is_in_the_object() {
    let Some(file) = object() else { return };
    let there = symbols_in(&file, |section| section.trim_start_matches('.').starts_with("maps"));
    let missing: Vec<_> = maps::ALL.iter().chain(sets::ALL).filter(|name| !there.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} of {there:?}");
}

#[test]
fn each_global_of_the_object_is_named_and_each_name_is_a_global() {
    let Some(file) = object() else { return };
    let there = symbols_in(&file, |section| section.starts_with(".rodata"));
    let offsets: BTreeSet<_> =
        layout::FIELDS.iter().chain(&layout::BITS).chain(layout::SIZES).map(|field| field.global.to_owned()).collect();
    let by_page = arch::BY_PAGE.iter().map(|(name, _)| name);
    let named: BTreeSet<_> =
        globals::ALL.iter().chain(switches::ALL).chain(by_page).map(|name| (*name).to_owned()).collect();
    assert_eq!(there.difference(&offsets).cloned().collect::<BTreeSet<_>>(), named);
}

#[test]
fn each_program_is_picked_somewhere() {
    let is_used = |constant: &str| {
        let path = format!("programs::{constant}");
        USERS.iter().any(|source| source.match_indices(&path).any(|(at, _)| !goes_on(&source[at + path.len()..])))
    };
    let unused: Vec<_> = programs::ALL.iter().filter(|(constant, _)| !is_used(constant)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// A longer name begins with this one.
fn goes_on(rest: &str) -> bool {
    rest.starts_with(|next: char| next == '_' || next.is_ascii_alphanumeric())
}
