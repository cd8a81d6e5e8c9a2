//! The machine that the numbers are of.

use std::{fs, thread};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Kernel, processor and memory.
pub(super) struct Machine {
    kernel: String,
    processor: String,
    cores: usize,
    memory_mib: u64,
}

impl Machine {
    pub(super) fn this() -> Result<Self> {
        let name = nix::sys::utsname::uname().context("the kernel does not tell its release")?;
        let processors = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        let memory = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
        let kib = value(&memory, "MemTotal").and_then(|kib| kib.trim_end_matches(" kB").parse::<u64>().ok());
        Ok(Self {
            kernel: name.release().to_string_lossy().into_owned(),
            processor: value(&processors, "model name").unwrap_or("unknown").to_owned(),
            cores: thread::available_parallelism()?.get(),
            memory_mib: kib.unwrap_or(0) / 1024,
        })
    }

    pub(super) fn to_json(&self) -> Value {
        let Self { kernel, processor, cores, memory_mib } = self;
        json!({ "kernel": kernel, "processor": processor, "cores": cores, "memory_mib": memory_mib })
    }

    pub(super) fn in_words(&self) -> String {
        let Self { kernel, processor, cores, memory_mib } = self;
        format!("Linux {kernel}, {cores} cores of {processor}, {memory_mib} MiB")
    }
}

/// The first `NAME : VALUE` of that name.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_processor_speaks_for_all() {
        let text = "processor\t: 0\nmodel name\t: Fast CPU @ 3:2\n\nprocessor\t: 1\nmodel name\t: Other\n";
        assert_eq!(value(text, "model name"), Some("Fast CPU @ 3:2"));
        assert_eq!(value("MemTotal:       24683520 kB\n", "MemTotal"), Some("24683520 kB"));
        assert_eq!(value(text, "flags"), None);
    }
}
