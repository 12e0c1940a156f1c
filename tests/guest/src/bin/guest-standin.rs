//! The program that the power-cut tests are tried on: `apply --root DIR --config FILE` and `recover --root DIR`, with an optional
//! first argument `--no-sync` or `--no-mark` that breaks it.

use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use e2e_guest::standin::{Care, apply, recover};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guest-standin: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args: Vec<String> = env::args().skip(1).collect();
    let care = match args.first().map(String::as_str) {
        Some("--no-sync") => Care::NoSync,
        Some("--no-mark") => Care::NoMark,
        _ => Care::Full,
    };
    if care != Care::Full {
        args.remove(0);
    }
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["apply", "--root", root, "--config", file] => {
            let config = fs::read_to_string(file).with_context(|| format!("could not read {file}"))?;
            apply(Path::new(root), &config, care)
        }
        ["recover", "--root", root] => recover(Path::new(root), care),
        _ => bail!("neither apply --root DIR --config FILE nor recover --root DIR: {args:?}"),
    }
}
