//! Tells the whole path of a change as a story.

use std::process::ExitCode;

use e2e::demo::{Story, tell};

fn main() -> ExitCode {
    let told = Story::begin().and_then(|mut story| tell(&mut story));
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: the story went otherwise: {error:#}");
            ExitCode::FAILURE
        }
    }
}
