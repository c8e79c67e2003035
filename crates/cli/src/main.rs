//! The `gradus` program: what the library does, from one command.
//!
//! This is the only crate that prints, exits or handles signals. Each command is a module with a
//! `run`; `args` says what can be asked, `fail` how it ends when it does not end well. Start here.

#![allow(clippy::exit, reason = "a second Ctrl-C ends the program at once")]

mod args;
mod bench;
mod data;
mod eval;
mod explain;
mod fail;
mod inspect;
mod json;
mod layers;
mod ops;
mod optimizers;
mod predict;
mod progress;
mod runs;
mod signals;
mod table;
mod text;
mod train;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use gradus::{Code, Error};

use args::{Cli, Command};
use fail::{Failure, Outcome};

fn main() -> ExitCode {
    quiet_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error),
    };
    let json = cli.command.json();
    let outcome = std::panic::catch_unwind(|| run(&cli.command));
    match outcome {
        Ok(Ok(())) | Ok(Err(Failure::PipeClosed)) => ExitCode::SUCCESS,
        Ok(Err(Failure::Error(error))) => {
            fail::report(&error, json);
            ExitCode::from(fail::exit_code(&error))
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            fail::report(&Error::internal(text), json);
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Outcome {
    if let Err(why) = gradus::isa::requested() {
        return Err(Error::new(Code::Config, why).into());
    }
    match command {
        Command::Train(args) => train::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Ops(args) => ops::run(args),
        Command::Layers(args) => layers::run(args),
        Command::Optimizers(args) => optimizers::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Bench(args) => bench::run(args),
    }
}

/// Prints what is wrong with the command line, or the help that was asked for.
fn wrong_usage(error: &clap::Error) -> ExitCode {
    match fail::usage(error) {
        Some(error) => {
            // The arguments were not understood, so this one is looked for by hand.
            let json = std::env::args_os().any(|a| a == "--json");
            fail::report(&error, json);
            ExitCode::from(2)
        }
        None => {
            let _ = error.print();
            let _ = std::io::stdout().flush();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(2),
            }
        }
    }
}

/// A panic is a bug of ours; it is reported as one, once, without a trace.
fn quiet_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
}
