//! An apt with lists and a configuration of its own: it needs no root, leaves the machine's alone, and may know other suites
//! and another processor.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{arch::Arch, process, store};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt that keeps all it has in one directory.
pub(crate) struct Private {
    directory: PathBuf,
    options: Vec<String>,
}

impl Private {
    /// `source`: the address of an archive, a suite and its parts, instead of all that the machine's own apt knows.
    pub(crate) fn configure(directory: &Path, arch: Arch, source: Option<&str>) -> Result<Self> {
        let failed = || format!("cannot set up {}", directory.display());
        for name in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(directory.join(name)).with_context(failed)?;
        }
        // Nothing of that processor is installed.
        let status = directory.join("state/status");
        fs::write(&status, "").with_context(failed)?;
        let set = |name, path: &Path| format!("{name}={}", path.display());
        let mut options = vec![
            set("Dir::State", &directory.join("state")),
            set("Dir::State::Status", &status),
            set("Dir::Cache", &directory.join("cache")),
            format!("APT::Architecture={}", arch.debian()),
            format!("APT::Architectures={}", arch.debian()),
            // Translations of descriptions, and a user that may not write here.
            "Acquire::Languages=none".to_owned(),
            "APT::Sandbox::User=root".to_owned(),
        ];
        if let Some(source) = source {
            if !Path::new(KEYRING).exists() {
                bail!("Debian's keys are not here: install the package debian-archive-keyring");
            }
            let sources = directory.join("sources.list");
            fs::write(&sources, format!("deb [signed-by={KEYRING}] {source}\n")).with_context(failed)?;
            options.push(set("Dir::Etc::SourceList", &sources));
            options.push(set("Dir::Etc::SourceParts", Path::new("/dev/null")));
        }
        Ok(Self { directory: directory.to_owned(), options })
    }

    /// Runs one of apt's programs.
    pub(crate) fn capture(&self, program: &str, args: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        process::capture(command.args(args).current_dir(&self.directory).env("LC_ALL", "C"))
    }

    /// Fetches packages, unpacks them into a directory, and removes all that is this apt's.
    pub(crate) fn unpack(self, packages: &[&str], into: &Path) -> Result<()> {
        self.capture("apt-get", &[&["download", "--quiet"], packages].concat())?;
        super::unpack_all(&self.directory, into)?;
        store::remove(&self.directory)
    }
}
