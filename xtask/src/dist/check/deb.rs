//! The Debian package.

use anyhow::{Result, bail, ensure};

use super::root::Root;
use crate::{
    dist::{release::Release, tree},
    workspace::Workspace,
};

/// Has bash complete a word as a user's shell would, which finds the completion by the command's name.
const COMPLETE: &str = "\
source /usr/share/bash-completion/bash_completion
_completion_loader tracer || test $? = 124
COMP_WORDS=(tracer demo self) COMP_CWORD=2 COMP_LINE='tracer demo self' COMP_POINT=16
$(complete -p tracer | sed 's/.*-F \\([^ ]*\\).*/\\1/') tracer self demo
echo \"${COMPREPLY[@]}\"";

pub(super) fn check(workspace: &Workspace, release: &Release) -> Result<()> {
    let root = Root::with(workspace, &["man-db", "bash-completion"])?;
    let package = format!("tracer_{}_{}.deb", release.version, release.arch.debian());
    let inside = format!("/tmp/{package}");
    tree::copy(&release.out.join(&package), &root.path(&inside))?;
    let before = root.files("/")?;
    root.run(&["dpkg", "--install", &inside])?;
    works(&root, release)?;
    ensure!(root.run(&["dpkg", "--verify", "tracer"])?.is_empty(), "the installed files differ from the package's");
    root.run(&["dpkg", "--purge", "tracer"])?;
    let left: Vec<_> = root.files("/")?.difference(&before).cloned().collect();
    if !left.is_empty() {
        bail!("removed, the package leaves behind: {}", left.join(", "));
    }
    lint(workspace, &package, release)
}

fn works(root: &Root, release: &Release) -> Result<()> {
    let version = root.run(&["tracer", "--version"])?;
    ensure!(version.trim() == format!("tracer {}", release.version), "the installed binary is {version}");
    root.run(&["tracer", "doctor"])?;
    let demo = root.run(&["tracer", "demo", "--json"])?;
    ensure!(demo.contains("self-connect"), "the demo played nothing:\n{demo}");
    let listed = root.run(&["dpkg", "--listfiles", "tracer"])?;
    let pages: Vec<&str> = listed.lines().filter(|place| place.ends_with(".1.gz")).collect();
    ensure!(pages.len() > 1, "the package has no manual pages:\n{listed}");
    for page in pages {
        // What troff warns of is shown on standard error, and nothing else is.
        let shown = root.run(&["sh", "-c", "man --warnings --local-file \"$1\" 2>&1", "sh", page])?;
        ensure!(shown.contains("EXAMPLES") && !shown.contains("warning"), "{page} is shown as\n{shown}");
    }
    let found = root.run(&["man", "--where", "tracer-demo"])?;
    ensure!(found.contains("tracer-demo.1"), "`man tracer-demo` finds {found}");
    let completed = root.run(&["bash", "-c", COMPLETE])?;
    ensure!(completed.trim() == "self-connect", "bash completes `tracer demo self` to `{}`", completed.trim());
    Ok(())
}

fn lint(workspace: &Workspace, package: &str, release: &Release) -> Result<()> {
    let root = Root::with(workspace, &["lintian"])?;
    let inside = format!("/tmp/{package}");
    tree::copy(&release.out.join(package), &root.path(&inside))?;
    root.run(&["lintian", "--allow-root", "--fail-on", "error,warning", &inside]).map(drop)
}
