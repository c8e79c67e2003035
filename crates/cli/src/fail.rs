//! How a command ends when it does not end well, and what is printed then.

use std::error::Error as _;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use gradus::{Code, Error};

use crate::args::Wrong;
use crate::json::Line;
use crate::signals::INTERRUPTED;

/// Why a command did not finish.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error to print.
    Error(Error),
    /// Nobody reads our output any more (`gradus ops | head`): no reason to complain.
    PipeClosed,
}

/// The result of a command.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Failure {
        match cause.kind() {
            io::ErrorKind::BrokenPipe => Failure::PipeClosed,
            _ => Error::new(Code::Io, format!("cannot write to the output: {cause}")).into(),
        }
    }
}

/// The exit code for an error.
pub(crate) fn exit_code(error: &Error) -> u8 {
    match error.code() {
        Code::Config => 2,
        Code::Interrupted => INTERRUPTED,
        _ => 1,
    }
}

/// Prints an error: for people on stderr, and with `json` for programs on stdout.
pub(crate) fn report(error: &Error, json: bool) {
    // When even this cannot be written there is nobody left to tell.
    if json {
        let line = Line::event("error")
            .with("code", error.code().name())
            .with("message", error.title())
            .with("help", error.advice());
        let _ = writeln!(io::stdout(), "{line}");
    }
    let text = error.to_string();
    let shown = if colour(&io::stderr()) { painted(&text) } else { text };
    let _ = writeln!(io::stderr(), "{shown}");
}

/// Whether colours are welcome on a stream.
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

/// `error[...]` in red, the labels in blue, the advice's label in green.
fn painted(text: &str) -> String {
    const END: &str = "\x1b[0m";
    let mut out = String::new();
    for (i, line) in text.lines().enumerate() {
        let (colour, at) = if i == 0 {
            ("\x1b[1;31m", line.find(':').unwrap_or(0))
        } else {
            let label = line.trim_start();
            let start = line.len() - label.len();
            let end = start + label.find(' ').unwrap_or(label.len());
            // A line without a label goes on with the one above.
            let colour = if label.starts_with("help ") { "\x1b[1;32m" } else { "\x1b[34m" };
            (colour, if start == 2 { end } else { 0 })
        };
        let (head, rest) = line.split_at(at);
        let newline = if i == 0 { "" } else { "\n" };
        let _ = write!(out, "{newline}{colour}{head}{END}{rest}");
    }
    out
}

/// A wrong command line as one of our errors; `None` when it is not an error (`--help`).
pub(crate) fn usage(error: &clap::Error) -> Option<Error> {
    let get = |kind| match error.get(kind) {
        Some(ContextValue::String(s)) => Some(s.clone()),
        Some(ContextValue::Strings(s)) => Some(s.join(", ")),
        Some(ContextValue::StyledStr(s)) => Some(s.to_string()),
        Some(ContextValue::Number(n)) => Some(n.to_string()),
        _ => None,
    };
    // `--lr <LR>` as `--lr`.
    let option = || {
        let full = get(ContextKind::InvalidArg).unwrap_or_default();
        if full.starts_with('-') {
            full.split([' ', '=']).next().unwrap_or_default().to_string()
        } else {
            full.replace(['[', ']', '<', '>'], "")
        }
    };
    let new = |title: String| Error::new(Code::Config, title);
    let did_you_mean = |kind| get(kind).map(|name| format!("did you mean `{name}`?"));
    Some(match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return None,
        ErrorKind::ValueValidation => {
            match error.source().and_then(|s| s.downcast_ref::<Wrong>()) {
                Some(wrong) => {
                    let mut e = new(format!("{}: {}", option(), wrong.why));
                    if let Some(choices) = &wrong.choices {
                        e = e.line("choices", choices);
                    }
                    match &wrong.help {
                        Some(help) => e.help(help),
                        None => e,
                    }
                }
                None => new(format!("{}: this value cannot be taken", option())),
            }
        }
        ErrorKind::InvalidValue if get(ContextKind::InvalidValue).is_none_or(|v| v.is_empty()) => {
            new(format!("{} needs a value", option()))
                .help(format!("write it as {}", get(ContextKind::InvalidArg).unwrap_or_default()))
        }
        ErrorKind::UnknownArgument => {
            let name = get(ContextKind::InvalidArg).unwrap_or_default();
            let what = if name.starts_with('-') { "option" } else { "argument" };
            let e = new(format!("unknown {what} `{name}`"));
            match did_you_mean(ContextKind::SuggestedArg) {
                Some(help) => e.help(help),
                None => e.help(see_help(error)),
            }
        }
        ErrorKind::InvalidSubcommand => {
            let name = get(ContextKind::InvalidSubcommand).unwrap_or_default();
            let e = new(format!("unknown command `{name}`"))
                .line("choices", "train, eval, predict, inspect, ops, explain, bench");
            match did_you_mean(ContextKind::SuggestedSubcommand) {
                Some(help) => e.help(help),
                None => e.help("`gradus --help` says what each does"),
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = get(ContextKind::InvalidArg).unwrap_or_default();
            let missing = missing.replace(['<', '>'], "");
            let e = new(format!("an argument is missing: {missing}"));
            match missing.as_str() {
                "DATA" if error.to_string().contains("gradus predict") => {
                    e.help("give the rows to predict: `gradus predict RUN new.csv`")
                }
                "DATA" => e.help("for example `gradus train digits`, or `gradus train file.csv`"),
                "RUN" | "RUN|FILE" => e.help("give a run folder, for example runs/digits-1"),
                _ => e.help(see_help(error)),
            }
        }
        ErrorKind::ArgumentConflict => {
            let (a, b) = (option(), get(ContextKind::PriorArg).unwrap_or_default());
            let b = b.split(" <").next().unwrap_or_default();
            if a == b || b.is_empty() {
                new(format!("{a} was given twice")).help("give it once")
            } else {
                let e = new(format!("{a} cannot be used with {b}"));
                if [a.as_str(), b].contains(&"--resume") {
                    e.help("a resumed run keeps the settings it was started with")
                } else {
                    e
                }
            }
        }
        ErrorKind::InvalidUtf8 => new("an argument is not valid UTF-8".to_string()),
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            new(first.trim_start_matches("error: ").to_string()).help(see_help(error))
        }
    })
}

/// Which help to ask for.
fn see_help(error: &clap::Error) -> String {
    // The usage line knows the command: "Usage: gradus train [OPTIONS] ...".
    let text = error.to_string();
    let command = text
        .lines()
        .find_map(|line| line.strip_prefix("Usage: gradus "))
        .and_then(|rest| rest.split(' ').next())
        .filter(|word| word.chars().all(|c| c.is_ascii_lowercase()));
    match command {
        Some(command) => format!("`gradus {command} --help` lists what it takes"),
        None => "`gradus --help` lists what it takes".to_string(),
    }
}
