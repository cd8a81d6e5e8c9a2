//! Containers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
pub struct Container {
    /// What runs it.
    pub runtime: Runtime,
    /// Its id: 64 hex digits, or a name if the runtime has names only.
    pub id: String,
    /// The uid of its Kubernetes pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
}

/// What runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    /// Docker.
    Docker,
    /// containerd, for Kubernetes or nerdctl.
    Containerd,
    /// Podman.
    Podman,
    /// CRI-O.
    #[serde(rename = "cri-o")]
    Crio,
    /// LXC, LXD, Incus, or libvirt's.
    Lxc,
    /// systemd-nspawn, or another that registers with systemd-machined.
    SystemdNspawn,
    /// One of Kubernetes' that the path does not tell.
    Kubernetes,
}
