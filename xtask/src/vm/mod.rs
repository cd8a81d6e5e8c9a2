//! `vm`: the tracer on other kernels, in virtual machines that have nothing else.
//!
//! A machine is a kernel of Debian's and an initramfs whose `/init` is this program.

mod catalogue;
mod console;
mod emulator;
mod fetch;
mod fleet;
pub(crate) mod guest;
mod initramfs;
mod kernel;
mod libraries;
mod mirror;
mod modules;
mod payload;
mod protocol;
mod qemu;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::{self, ExitCode},
};

use anyhow::{Result, bail};
use clap::Subcommand;

pub(crate) use self::{
    catalogue::{ALL, CI},
    fleet::test,
    qemu::Options,
};
use self::{emulator::Emulator, kernel::Kernel, payload::Payload};
use crate::{arch::Arch, workspace::Workspace};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the kernels: name, whether `all` means it, Debian suite, what is in the cache
    List,
    /// Fetch kernels into the cache
    Fetch {
        /// Kernels, or `all`
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Fetch the newest build, though one is there
        #[arg(long)]
        refresh: bool,
    },
    /// Run the tracer on a kernel, as in `vm run 6.1 -- tracer doctor`
    Run(RunArgs),
}

#[derive(clap::Args)]
struct RunArgs {
    /// The kernel
    #[arg(required_unless_present = "kernel", value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    external: External,
    #[command(flatten)]
    options: Options,
    /// The command [default: tracer demo]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// A kernel that is not Debian's.
#[derive(clap::Args, Default)]
pub(crate) struct External {
    /// Boot this kernel image
    #[arg(long, value_name = "PATH")]
    kernel: Option<PathBuf>,
    /// Where that kernel's modules are, as in /lib/modules/RELEASE
    #[arg(long, value_name = "DIR", requires = "kernel")]
    modules: Option<PathBuf>,
}

impl External {
    pub(crate) fn is_given(&self) -> bool {
        self.kernel.is_some()
    }

    fn kernel(&self) -> Result<Option<Kernel>> {
        let Some(image) = &self.kernel else {
            return Ok(None);
        };
        Kernel::external(image, self.modules.as_deref()).map(Some)
    }
}

/// Programs of this system on another kernel.
pub(crate) struct Guest {
    emulator: Emulator,
    kernel: Kernel,
    payload: Payload,
}

impl Guest {
    /// Finds or fetches what it takes. The programs are known by these names there.
    pub(crate) fn provide(workspace: &Workspace, kernel: &str, programs: Vec<(String, PathBuf)>) -> Result<Self> {
        let kernels = fetch_all(workspace, &[kernel.to_owned()], false)?;
        let Ok([kernel]) = <[Kernel; 1]>::try_from(kernels) else {
            bail!("this takes one kernel, and not {kernel}");
        };
        if Arch::host()? != kernel.arch {
            bail!("programs of this computer do not run on {}", kernel.name);
        }
        let emulator = Emulator::provide(workspace, kernel.arch)?;
        let payload = Payload::of_programs(workspace, programs)?;
        Ok(Self { emulator, kernel, payload })
    }

    /// The kernel's release.
    pub(crate) fn release(&self) -> String {
        self.kernel.release()
    }

    /// Boots a machine, runs a command there and hands on what it says. The result is its exit status.
    pub(crate) fn run(&self, command: Vec<String>, options: &Options, on_line: &mut dyn FnMut(&str)) -> Result<u8> {
        let initramfs = self.payload.pack(&self.kernel, vec![command])?;
        qemu::boot(&self.emulator, &self.kernel, &initramfs, options, on_line)
    }
}

pub(crate) fn main(workspace: &Workspace, args: Args) -> Result<ExitCode> {
    match args.command {
        Command::List => list(workspace),
        Command::Fetch { names, refresh } => {
            for kernel in fetch_all(workspace, &names, refresh)? {
                println!("{:<10} {}", kernel.name, kernel.image.display());
            }
        }
        Command::Run(args) => return run(workspace, args),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(workspace: &Workspace) {
    for series in &catalogue::SERIES {
        let all = if series.is_supported { ALL } else { "" };
        let cached = fetch::cached(workspace, series).map_or_else(String::new, |it| it.release());
        println!("{:<10} {all:<4} {:<18} {cached}", series.name, series.suite);
    }
}

fn fetch_all(workspace: &Workspace, names: &[String], refresh: bool) -> Result<Vec<Kernel>> {
    let mut kernels = Vec::new();
    for name in names {
        for series in catalogue::find(name)? {
            kernels.push(fetch::kernel(workspace, series, refresh)?);
        }
    }
    Ok(kernels)
}

fn run(workspace: &Workspace, args: RunArgs) -> Result<ExitCode> {
    let kernels = match (args.external.kernel()?, args.name) {
        (Some(kernel), None) => vec![kernel],
        (None, Some(name)) => fetch_all(workspace, &[name], false)?,
        _ => bail!("name one kernel, or give one by --kernel"),
    };
    let [kernel] = &kernels[..] else {
        bail!("`run` takes one kernel");
    };
    let emulator = Emulator::provide(workspace, kernel.arch)?;
    let command = match args.command.is_empty() {
        true => vec!["tracer".to_owned(), "demo".to_owned()],
        false => args.command,
    };
    let initramfs = Payload::of_tracer(workspace, kernel.arch)?.pack(kernel, vec![command])?;
    let status = qemu::boot(&emulator, kernel, &initramfs, &args.options, &mut |line| {
        // Who reads no more, as `head`, has what they wanted. The machine ends with us.
        if writeln!(io::stdout(), "{line}").is_err() {
            process::exit(1);
        }
    })?;
    Ok(ExitCode::from(status))
}
