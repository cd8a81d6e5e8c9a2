use super::*;
use crate::{
    pipeline::enrich::host_facts::masked,
    redact::{Key, Redactor, Secret},
};

const ID: &str = "4f1c9b07d2aa63e85f0e7b1d94c6a8325be0d7f96c13ab48e2570f9d6b3ca181";
const INNER: &str = "09ab54fe77c1d3826e0f45ba9c8d172365fe80ba4d9c17e2a6350b8fd4e7c92d";
const POD: &str = "7d4424e6-bb13-42f4-a47a-45a4828bf54d";
const POD_OF_FILE: &str = "187bff14cccb94f179e943eacce55bb3";

/// `ID`, `INNER`, `POD`, `POD_` (escaped) and `FILE` stand for the constants.
fn path(template: &str) -> String {
    let path = template.replace("INNER", INNER).replace("ID", ID).replace("FILE", POD_OF_FILE);
    path.replace("POD_", &POD.replace('-', "_")).replace("POD", POD)
}

fn of(template: &str) -> Option<Container> {
    Container::of_path(&path(template))
}

#[track_caller]
fn assert_is(template: &str, runtime: Runtime, id: &str, pod: Option<&str>) {
    let expected = Container { runtime, id: id.into(), pod: pod.map(Into::into) };
    assert_eq!(of(template), Some(expected.clone()), "{template}");
    let mut redactor = Redactor::new(&[Secret::User].into(), Key::of([0; 16]));
    let masked = masked::path(path(template), &mut redactor);
    assert_eq!(Container::of_path(&masked), Some(expected), "{masked}: containers are no users");
}

#[test]
fn containers_of_a_host() {
    for (path, runtime) in [
        ("/docker/ID", Runtime::Docker),
        ("/system.slice/docker-ID.scope", Runtime::Docker),
        ("/system.slice/docker-ID.scope/init.scope", Runtime::Docker),
        ("/../docker-ID.scope", Runtime::Docker),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", Runtime::Docker),
        ("/default/ID", Runtime::Containerd),
        ("/system.slice/nerdctl-ID.scope", Runtime::Containerd),
        ("/machine.slice/libpod-ID.scope", Runtime::Podman),
        ("/machine.slice/libpod-ID.scope/container", Runtime::Podman),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container", Runtime::Podman),
        ("/machine.slice/machine-libpod_pod_INNER.slice/libpod-ID.scope/container", Runtime::Podman),
        ("/system.slice/web.service/libpod-payload-ID", Runtime::Podman),
        ("/libpod_parent/libpod-ID", Runtime::Podman),
    ] {
        assert_is(path, runtime, ID, None);
    }
}

#[test]
fn containers_of_pods() {
    for (path, runtime) in [
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_.slice/cri-containerd-ID.scope",
            Runtime::Containerd,
        ),
        ("/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope", Runtime::Crio),
        ("/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope/container", Runtime::Crio),
        ("/kubepods/besteffort/podPOD/crio-ID", Runtime::Crio),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podPOD_.slice/docker-ID.scope",
            Runtime::Docker,
        ),
        ("/kubepods/burstable/podPOD/ID", Runtime::Kubernetes),
        ("/kubepods/podPOD/ID", Runtime::Kubernetes),
        ("/system.slice/containerd.service/kubepods-burstable-podPOD_.slice:cri-containerd:ID", Runtime::Containerd),
        ("/kubelet/kubepods/besteffort/podPOD/ID", Runtime::Kubernetes),
    ] {
        assert_is(path, runtime, ID, Some(POD));
    }
    let of_file = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podFILE.slice/cri-containerd-ID.scope";
    assert_is(of_file, Runtime::Containerd, ID, Some(POD_OF_FILE));
}

#[test]
fn the_innermost_container_wins() {
    let kind = "/system.slice/docker-ID.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
        kubelet-kubepods-burstable-podPOD_.slice/cri-containerd-INNER.scope";
    assert_is(kind, Runtime::Containerd, INNER, Some(POD));
    assert_is("/docker/ID/kubelet/kubepods/burstable/podPOD/INNER", Runtime::Kubernetes, INNER, Some(POD));
    assert_is("/docker/ID/system.slice/kubelet.service", Runtime::Docker, ID, None);
    assert_is("/docker/ID/docker/INNER", Runtime::Docker, INNER, None);
    assert_is("/lxc.payload.build/system.slice/docker-ID.scope", Runtime::Docker, ID, None);
    assert_is("/kubepods/burstable/podPOD/ID/docker/INNER", Runtime::Docker, INNER, Some(POD));
}

#[test]
fn containers_with_names() {
    assert_is("/lxc/web-1", Runtime::Lxc, "web-1", None);
    assert_is("/lxc/101/ns/system.slice/ssh.service", Runtime::Lxc, "101", None);
    assert_is("/lxc.payload/web", Runtime::Lxc, "web", None);
    assert_is("/lxc.payload.web-1/init.scope", Runtime::Lxc, "web-1", None);
    assert_is(r"/machine.slice/machine-lxc\x2d812\x2dweb.scope", Runtime::Lxc, "web", None);
    let nspawn = Runtime::SystemdNspawn;
    assert_is("/machine.slice/systemd-nspawn@build.service/payload/init.scope", nspawn, "build", None);
    assert_is(r"/machine.slice/systemd-nspawn@my\x2dbox.service/payload", nspawn, "my-box", None);
    assert_is(r"/machine.slice/machine-my\x2dbox.scope/payload", nspawn, "my-box", None);
    assert_is(r"/machine.slice/machine-a\x2.scope", nspawn, r"a\x2", None);
}

#[test]
fn what_is_no_container() {
    for path in [
        "",
        "/",
        "/init.scope",
        "/user.slice/user-1000.slice/session-3.scope",
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.example.Editor-4242.scope",
        "/system.slice/docker.service",
        "/system.slice/containerd.service",
        "/system.slice/kubelet.service",
        "/docker",
        "/docker/buildkit",
        "/system.slice/docker-4f1c9b07d2aa.scope",
        "/machine.slice/libpod-conmon-ID.scope",
        "/kubepods.slice/kubepods-podPOD_.slice",
        "/kubepods.slice/kubepods-podPOD_.slice/crio-conmon-ID.scope",
        "/kubepods/burstable/podPOD",
        "/lxc.monitor.web",
        "/lxc",
        "/machine.slice/machine-my.scope/supervisor",
        "/machine.slice/systemd-nspawn@build.service/supervisor",
        r"/machine.slice/machine-qemu\x2d3\x2dweb.scope/libvirt/emulator",
        "/builds/ID",
    ] {
        assert_eq!(of(path), None, "{path}");
    }
}

#[test]
fn names_are_those_of_json() {
    for runtime in [
        Runtime::Docker,
        Runtime::Containerd,
        Runtime::Podman,
        Runtime::Crio,
        Runtime::Lxc,
        Runtime::SystemdNspawn,
        Runtime::Kubernetes,
    ] {
        assert_eq!(serde_json::to_value(runtime).unwrap(), runtime.name());
    }
}

#[test]
fn ids_are_short_and_names_whole() {
    assert_eq!(of("/docker/ID").unwrap().short(), "docker:4f1c9b07d2aa");
    assert_eq!(of("/lxc/a-rather-long-name").unwrap().short(), "lxc:a-rather-long-name");
}
