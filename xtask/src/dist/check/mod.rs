//! Whether what is given away works where it is installed: in a Debian that has nothing else, as root.

mod deb;
mod image;
mod root;
mod rpm;

use anyhow::{Result, bail};

use super::release::Release;
use crate::{apt, privilege, workspace::Workspace};

/// Installs each package, runs it, removes it, and runs the image.
pub(crate) fn installed(workspace: &Workspace, release: &Release) -> Result<()> {
    if !apt::is_here() {
        bail!("packages are installed into a Debian that mmdebstrap makes, for which this system lacks apt");
    }
    if !privilege::is_root() {
        bail!("packages are installed into another root directory: run this as root");
    }
    deb::check(workspace, release)?;
    println!("the .deb installs, runs and leaves nothing behind");
    rpm::check(workspace, release)?;
    println!("the .rpm installs, runs and leaves nothing behind");
    image::check(workspace, release)?;
    println!("the image runs with the documented capabilities");
    Ok(())
}
