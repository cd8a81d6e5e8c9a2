//! The image, under an OCI runtime.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    dist::{image::program, release::Release},
    process,
    workspace::Workspace,
};

/// What the documents say that is needed.
const NEEDED: [&str; 2] = ["CAP_BPF", "CAP_PERFMON"];
/// The page that lists what is known with more; a test of tracer's holds it against the code.
const PAGE: &str = "SECURITY.md";
/// The commands that must end well, each of which says what it does not know for want of capabilities.
const COMMANDS: [&[&str]; 2] = [&["doctor"], &["rst", "--duration", "0.2"]];

pub(super) fn check(workspace: &Workspace, release: &Release) -> Result<()> {
    let umoci = program(workspace, "umoci", "usr/bin/umoci")?;
    let runc = program(workspace, "runc", "usr/sbin/runc")?;
    let scratch = tempfile::tempdir_in(&workspace.target).context("cannot create a directory")?;
    let (layout, bundle) = (scratch.path().join("layout"), scratch.path().join("bundle"));
    fs::create_dir(&layout).with_context(|| format!("cannot create {}", layout.display()))?;
    let archive = release.out.join(format!("{}.oci.tar", release.name()));
    process::capture(Command::new("tar").arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(&layout))?;
    let image = format!("{}:{}", layout.display(), release.version);
    process::capture(Command::new(&umoci).args(["unpack", "--image", &image]).arg(&bundle))?;
    let config = bundle.join("config.json");
    let text = fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))?;
    let original: Value = serde_json::from_str(&text)?;
    let page = fs::read_to_string(workspace.root.join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    // The table before it is of all that a run uses.
    let table = page.lines().skip_while(|line| !line.starts_with("| without |"));
    let helpful = table.filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    let helpful: Vec<&str> = helpful.filter(|word| word.starts_with("CAP_")).collect();
    ensure!(!helpful.is_empty(), "{PAGE} has no table of capabilities");
    let whole = [&NEEDED[..], &helpful].concat();
    for capabilities in [&NEEDED[..], &whole] {
        for (is_host_pid, words) in
            [(true, COMMANDS[0]), (true, COMMANDS[1]), (false, COMMANDS[0]), (false, COMMANDS[1])]
        {
            let changed = configured(original.clone(), words, capabilities, is_host_pid);
            fs::write(&config, changed.to_string()).with_context(|| format!("cannot write {}", config.display()))?;
            let said = run(&runc, &bundle, scratch.path())?;
            let (words, given) = (words.join(" "), capabilities.join(", "));
            // Nobody but the tracer says that, and only where it lacks them.
            let told = helpful.iter().all(|capability| said.contains(&format!("without {capability}")));
            let expected = capabilities.len() == NEEDED.len();
            ensure!(told == expected, "with {given}, host's pids {is_host_pid}, `tracer {words}` says\n{said}");
        }
    }
    Ok(())
}

/// What umoci wrote for the image, with this command, these capabilities only, and a pid namespace or none.
fn configured(mut config: Value, words: &[&str], capabilities: &[&str], is_host_pid: bool) -> Value {
    let process = &mut config["process"];
    process["terminal"] = json!(false);
    let entry = process["args"][0].clone();
    process["args"] = json!([&[entry.as_str().unwrap_or_default()], words].concat());
    for set in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
        process["capabilities"][set] = json!(capabilities);
    }
    if is_host_pid && let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "pid");
    }
    config
}

fn run(runc: &Path, bundle: &Path, scratch: &Path) -> Result<String> {
    let name = format!("tracer-check-{}", std::process::id());
    let mut command = Command::new(runc);
    command.arg("--root").arg(scratch.join("state")).args(["run", "--bundle"]).arg(bundle).arg(name);
    process::capture(&mut command)
}
