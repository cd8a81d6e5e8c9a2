//! What `tracer doctor` says on the kernels that are tested: a change of the plan shows as a difference.
//!
//! To renew a file: `cargo xtask vm run NAME -- tracer doctor | tail -n +2 > tracer/tests/golden/doctor/NAME.txt`

use crate::report::run;

/// By series, for Debian's cloud kernels; all but the first line, which has the release.
const EXPECTED: [(&str, &str); 5] = [
    ("5.10", include_str!("../golden/doctor/5.10.txt")),
    ("6.1", include_str!("../golden/doctor/6.1.txt")),
    ("6.12", include_str!("../golden/doctor/6.12.txt")),
    ("6.18", include_str!("../golden/doctor/6.18.txt")),
    ("7.3", include_str!("../golden/doctor/7.3.txt")),
];

#[test]
#[ignore = "needs root"]
fn the_plan_is_as_reviewed() {
    let uname = nix::sys::utsname::uname().unwrap();
    let release = uname.release().to_string_lossy();
    let expected = EXPECTED
        .iter()
        .find(|(series, _)| release.ends_with("-cloud-amd64") && release.starts_with(&format!("{series}.")));
    let Some((series, expected)) = expected else {
        println!("not compared: there is no record for Linux {release}");
        return;
    };
    let output = String::from_utf8(run(&["doctor"]).stdout).unwrap();
    let (_, shown) = output.split_once('\n').unwrap();
    assert_eq!(shown.trim_end(), expected.trim_end(), "doctor on {series} has changed; it now says\n{shown}");
}
