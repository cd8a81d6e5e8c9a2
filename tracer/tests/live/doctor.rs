//! What `tracer doctor` says on the kernels that are tested: a change of the plan shows as a difference.
//!
//! To renew a file:
//! `cargo xtask vm run NAME -- tracer doctor | tail -n +2 | grep -v '^room ' > tracer/tests/golden/doctor/NAME.txt`
//! (where NAME is one like 6.12/arm64, NAME.txt is in a directory).

use std::os::unix::process::CommandExt;

use nix::sys::resource::{Resource, setrlimit};

use crate::report::tracer;

/// By series and flavour, for Debian's cloud kernels; all but the first line, which has the release.
const EXPECTED: [(&str, &str, &str); 10] = [
    ("5.10", "cloud-amd64", include_str!("../golden/doctor/5.10.txt")),
    ("6.1", "cloud-amd64", include_str!("../golden/doctor/6.1.txt")),
    ("6.12", "cloud-amd64", include_str!("../golden/doctor/6.12.txt")),
    ("6.18", "cloud-amd64", include_str!("../golden/doctor/6.18.txt")),
    ("7.3", "cloud-amd64", include_str!("../golden/doctor/7.3.txt")),
    ("5.10", "cloud-arm64", include_str!("../golden/doctor/5.10/arm64.txt")),
    ("6.1", "cloud-arm64", include_str!("../golden/doctor/6.1/arm64.txt")),
    ("6.12", "cloud-arm64", include_str!("../golden/doctor/6.12/arm64.txt")),
    ("6.18", "cloud-arm64", include_str!("../golden/doctor/6.18/arm64.txt")),
    ("7.3", "cloud-arm64", include_str!("../golden/doctor/7.3/arm64.txt")),
];

#[test]
#[ignore = "needs root"]
fn the_plan_is_as_reviewed_though_little_memory_may_be_locked() {
    let mut command = tracer();
    command.arg("doctor");
    // SAFETY: setrlimit is async-signal-safe and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_MEMLOCK, 64 << 10, 64 << 10)?));
    }
    let output = command.output().unwrap();
    // Before 5.11 the maps would not fit, so that the limit has to be raised.
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let uname = nix::sys::utsname::uname().unwrap();
    let release = uname.release().to_string_lossy();
    let expected = EXPECTED
        .iter()
        .find(|(series, flavour, _)| release.ends_with(flavour) && release.starts_with(&format!("{series}.")));
    let Some((series, flavour, expected)) = expected else {
        println!("not compared: there is no record for Linux {release}");
        return;
    };
    let output = String::from_utf8(output.stdout).unwrap();
    let (_, shown) = output.split_once('\n').unwrap();
    // How much room there is depends on the machine's memory.
    let (room, shown): (Vec<_>, Vec<_>) = shown.lines().partition(|line| line.starts_with("room "));
    assert!(room[0].contains(" sockets and "), "{room:?}");
    let shown = shown.join("\n");
    assert_eq!(
        shown.trim_end(),
        expected.trim_end(),
        "doctor on {series} ({flavour}) has changed; it now says\n{shown}"
    );
}
