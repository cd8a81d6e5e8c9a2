//! The container that a control group belongs to: runtimes put its id into the path.

use crate::event::{Container, Runtime};

impl Runtime {
    /// As events show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Podman => "podman",
            Self::Crio => "cri-o",
            Self::Lxc => "lxc",
            Self::SystemdNspawn => "systemd-nspawn",
            Self::Kubernetes => "kubernetes",
        }
    }
}

impl Container {
    /// The innermost container of a control group's path.
    pub fn of_path(path: &str) -> Option<Self> {
        let parts = path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let (mut innermost, mut pod, mut kubernetes) = (None, None, false);
        for (index, part) in parts.iter().enumerate() {
            kubernetes |= part.contains("kubepods");
            if kubernetes && let Some(uid) = pod_uid(part) {
                pod = Some(uid);
            }
            if let Some((runtime, id)) = at(&parts, index, kubernetes) {
                innermost = Some(Self { runtime, id, pod: pod.clone() });
            }
        }
        innermost
    }

    /// `RUNTIME:ID`, with as much of an id as their tools show; names are whole.
    pub fn short(&self) -> String {
        let id = if is_id(&self.id) { &self.id[..12] } else { &self.id };
        format!("{}:{id}", self.runtime.name())
    }
}

/// The container that this part of a path names, if it names one.
pub(super) fn at(parts: &[&str], index: usize, kubernetes: bool) -> Option<(Runtime, String)> {
    let part = parts[index];
    let parent = index.checked_sub(1).map_or("", |index| parts[index]);
    // systemd-nspawn itself is outside of the container that it runs.
    let supervisor = parts.get(index + 1) == Some(&"supervisor");
    by_id(part, parent, kubernetes).or_else(|| if supervisor { None } else { by_name(part, parent) })
}

/// `PREFIX-ID.scope` (systemd driver), `PREFIX-ID` or a bare ID (cgroupfs driver). `SLICE:PREFIX:ID` is a
/// path for the systemd driver that a runtime without it took literally.
fn by_id(part: &str, parent: &str, kubernetes: bool) -> Option<(Runtime, String)> {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let (prefix, id) = part.rsplit_once(['-', ':']).unwrap_or(("", part));
    if !is_id(id) {
        return None;
    }
    // Monitors (`libpod-conmon-ID`, `crio-conmon-ID`) are outside of the container, so not listed.
    let runtime = match prefix.rsplit(':').next().unwrap_or_default() {
        "docker" => Runtime::Docker,
        "cri-containerd" | "nerdctl" => Runtime::Containerd,
        "libpod" | "libpod-payload" => Runtime::Podman,
        "crio" => Runtime::Crio,
        "" => match parent {
            "docker" => Runtime::Docker,
            // Names of containerd's namespaces.
            "default" | "k8s.io" => Runtime::Containerd,
            _ if kubernetes => Runtime::Kubernetes,
            _ => return None,
        },
        _ => return None,
    };
    Some((runtime, id.to_owned()))
}

fn by_name(part: &str, parent: &str) -> Option<(Runtime, String)> {
    if parent == "lxc" || parent == "lxc.payload" {
        return Some((Runtime::Lxc, part.to_owned()));
    }
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some((Runtime::Lxc, name.to_owned()));
    }
    if let Some(name) = part.strip_prefix("systemd-nspawn@").and_then(|part| part.strip_suffix(".service")) {
        return Some((Runtime::SystemdNspawn, unescape(name)));
    }
    let name = unescape(part.strip_prefix("machine-")?.strip_suffix(".scope")?);
    // libvirt registers `DRIVER-NUMBER-NAME`; what QEMU runs has a kernel of its own.
    match of_libvirt(&name) {
        Some(("qemu", _)) => None,
        Some(("lxc", name)) => Some((Runtime::Lxc, name.to_owned())),
        _ => Some((Runtime::SystemdNspawn, name)),
    }
}

fn of_libvirt(machine: &str) -> Option<(&str, &str)> {
    let (driver, rest) = machine.split_once('-')?;
    let (number, name) = rest.split_once('-')?;
    number.parse::<u32>().is_ok().then_some((driver, name))
}

/// `kubepods-burstable-podUID.slice` with `_` for `-`, which would mean a level (systemd.slice(5)), or
/// `podUID`. Pods that the kubelet reads from files have a uid without dashes.
pub(super) fn pod_uid(part: &str) -> Option<String> {
    let name = part.split(':').next()?;
    let name = name.strip_suffix(".slice").unwrap_or(name);
    let uid = name.strip_prefix("pod").or_else(|| name.rsplit_once("-pod").map(|(_, uid)| uid))?;
    let of_uid = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-' || byte == b'_';
    (uid.len() >= 32 && uid.bytes().all(of_uid)).then(|| uid.replace('_', "-"))
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// `\xNN` of a unit's name (systemd.unit(5)). A lone `-`, which stands for `/` in paths, stays: names of
/// machines have no `/`.
fn unescape(name: &str) -> String {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut plain = Vec::new();
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let mut byte = *first;
        if let [b'x', high, low, after @ ..] = tail
            && byte == b'\\'
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            byte = high << 4 | low;
            rest = after;
        }
        plain.push(byte);
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests;
