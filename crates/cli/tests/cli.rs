//! The program as its users meet it: what it prints where, and how it ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first failure")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

fn gradus(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.current_dir(folder).env_remove("RUST_BACKTRACE").env("NO_COLOR", "1");
    command
}

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn ended(output: Output) -> Ended {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs a command line, split at spaces.
fn run(folder: &Path, line: &str) -> Ended {
    ended(gradus(folder).args(line.split(' ').filter(|w| !w.is_empty())).output().unwrap())
}

#[track_caller]
fn succeeds(folder: &Path, line: &str) -> Ended {
    let ended = run(folder, line);
    assert_eq!(ended.code, Some(0), "gradus {line}\n{}{}", ended.out, ended.err);
    ended
}

/// A command that must fail with a code, a first line and (part of) its advice.
#[track_caller]
fn fails(folder: &Path, line: &str, exit: i32, words: &[&str]) -> Ended {
    let ended = run(folder, line);
    assert_eq!(ended.code, Some(exit), "gradus {line}\n{}{}", ended.out, ended.err);
    let first = |line: &str| line.starts_with("error[");
    assert!(ended.err.lines().any(first), "gradus {line}\n{}", ended.err);
    for word in words {
        assert!(ended.err.contains(word), "gradus {line}\nno {word:?} in {}", ended.err);
    }
    for word in ["panicked", "RUST_BACKTRACE", "error[internal]"] {
        assert!(!ended.err.contains(word), "gradus {line}\n{}", ended.err);
    }
    ended
}

/// All lines of a stdout that is for programs.
#[track_caller]
fn events(out: &str) -> Vec<Value> {
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|e| e["event"].as_str().unwrap_or("-")).collect()
}

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

const TINY: &str = "train digits --layers 16 --epochs 2 --lr 0.01";

/// The bytes of an IDX file.
fn idx(kind: u8, dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
    bytes.extend(data);
    bytes
}

/// A folder as MNIST's, with `n` images of 4 x 4 in three classes that are easy to tell apart.
fn images(folder: &Path, n: usize) {
    fs::create_dir_all(folder).unwrap();
    for (part, n) in [("train", n), ("t10k", n / 4)] {
        let labels: Vec<u8> = (0..n).map(|i| (i % 3) as u8).collect();
        let pixel = |i: usize, p: usize| if p % 3 == i % 3 { 200 } else { (i * 7 + p * 13) % 60 };
        let pixels: Vec<u8> =
            (0..n).flat_map(|i| (0..16).map(move |p| pixel(i, p) as u8)).collect();
        let write = |name: String, bytes: Vec<u8>| fs::write(folder.join(name), bytes).unwrap();
        write(format!("{part}-images-idx3-ubyte"), idx(8, &[n as u32, 4, 4], &pixels));
        write(format!("{part}-labels-idx1-ubyte"), idx(8, &[n as u32], &labels));
    }
}

#[test]
fn training_digits_ends_with_a_summary_and_what_to_do_next() {
    let folder = temp();
    let ended = succeeds(folder.path(), TINY);
    for word in ["epochs in", "valid", "test", "% right", "gradus eval runs/digits-1"] {
        assert!(ended.out.contains(word), "no {word:?} in\n{}", ended.out);
    }
    for word in ["data", "64-16-10, relu", "epoch 1/2", "epoch 2/2"] {
        assert!(ended.err.contains(word), "no {word:?} in\n{}", ended.err);
    }
    assert!(!ended.err.contains('\u{1b}'), "no escape codes without a terminal");
    for file in ["config.toml", "metrics.jsonl", "model.safetensors", "report.json"] {
        assert!(folder.path().join("runs/digits-1").join(file).is_file(), "{file}");
    }
    // The next run takes the next number.
    assert!(succeeds(folder.path(), TINY).out.contains("runs/digits-2"));
}

#[test]
fn the_defaults_reach_96_percent_on_digits() {
    let folder = temp();
    let events = events(&succeeds(folder.path(), "train digits --json").out);
    let done = events.last().unwrap();
    assert!(done["test"]["accuracy"].as_f64().unwrap() >= 0.96, "{done}");
}

#[test]
fn json_is_one_event_a_line_and_nothing_else() {
    let folder = temp();
    let ended = succeeds(folder.path(), &format!("{TINY} --json --out r"));
    let events = events(&ended.out);
    assert_eq!(names(&events), ["start", "epoch", "epoch", "done"]);
    assert_eq!(ended.err, "");
    assert_eq!(events[0]["train"], 1258);
    assert!(events[1]["valid"]["accuracy"].is_f64());
    let done = &events[3];
    assert_eq!((done["run"].as_str(), done["task"].as_str()), (Some("r"), Some("classification")));
    assert_eq!(done["model_sha256"].as_str().unwrap().len(), 64);
    assert!(done["seconds"].is_f64() && done["valid"]["loss"].is_f64());
    assert!(done["test"]["accuracy"].is_f64());
}

#[test]
fn a_seed_gives_the_same_model_whatever_threads_and_watching() {
    let folder = temp();
    let hash = |extra: &str| {
        let line = format!("{TINY} --dropout 0.2 --seed 3 {extra} --json");
        events(&succeeds(folder.path(), &line).out).pop().unwrap()["model_sha256"].clone()
    };
    let first = hash("--threads 1");
    assert_eq!(first, hash("--threads 2"));
    assert_ne!(first, hash("--activation tanh"));
    let human = succeeds(folder.path(), &format!("{TINY} --dropout 0.2 --seed 3"));
    assert!(human.out.contains(first.as_str().unwrap()), "{}", human.out);
}

#[test]
fn every_optimizer_activation_and_schedule_trains() {
    let folder = temp();
    for options in [
        "--optimizer adamw --activation gelu --schedule constant",
        "--optimizer sgd --activation tanh --patience 0 --schedule one-cycle",
        "--optimizer adam --activation sigmoid --batch-size 64 --schedule plateau",
        "--layers none",
        "--optimizer muon --weight-decay 0.05 --momentum 0.9",
        "--optimizer rmsprop --momentum 0.5 --lr 1e-3",
        "--optimizer sgd --momentum 0 --weight-decay 1e-4",
    ] {
        let line = format!("train digits --layers 8 --epochs 1 --json {options}");
        let line = if options.contains("layers") { line.replace("--layers 8 ", "") } else { line };
        assert_eq!(names(&events(&succeeds(folder.path(), &line).out)).len(), 3);
    }
}

#[test]
fn a_folder_of_images_is_trained_evaluated_and_inspected() {
    let folder = temp();
    images(&folder.path().join("shapes"), 240);
    let options = "--layers 8 --epochs 8 --batch-size 16 --lr 0.02";
    let ended = succeeds(folder.path(), &format!("train shapes {options} --json"));
    let done = events(&ended.out).pop().unwrap();
    assert_eq!(done["run"], "runs/shapes-1");
    assert!(done["test"]["accuracy"].as_f64().unwrap() > 0.9, "{done}");

    let eval = succeeds(folder.path(), "eval runs/shapes-1");
    for word in ["right", "class", "samples", "60 samples"] {
        assert!(eval.out.contains(word), "no {word:?} in\n{}", eval.out);
    }
    let eval = &events(&succeeds(folder.path(), "eval runs/shapes-1 --json").out)[0];
    assert_eq!(eval["accuracy"], done["test"]["accuracy"]);
    assert_eq!(eval["confusion"].as_array().unwrap().len(), 3);

    let inspect = succeeds(folder.path(), "inspect runs/shapes-1");
    for word in ["16-8-3, relu", "curve", "valid.loss", "1.weight", "[8, 16]", "sha256", "finished"]
    {
        assert!(inspect.out.contains(word), "no {word:?} in\n{}", inspect.out);
    }
    let json = events(&succeeds(folder.path(), "inspect runs/shapes-1 --json").out);
    assert_eq!(json[0]["event"], "run");
    assert_eq!(json.last().unwrap()["model_sha256"], done["model_sha256"]);
    let file = succeeds(folder.path(), "inspect runs/shapes-1/model.safetensors");
    assert!(file.out.contains("1.weight") && file.out.contains("4 arrays"), "{}", file.out);

    // Other data is checked before it is used.
    fails(
        folder.path(),
        "eval runs/shapes-1 digits",
        1,
        &["error[data]", "another size", "[4, 4]"],
    );
    fails(folder.path(), "eval runs/shapes-1 digit", 2, &["did you mean `digits`?"]);
    let labels = folder.path().join("shapes/train-labels-idx1-ubyte");
    let mut bytes = fs::read(&labels).unwrap();
    bytes[20] ^= 1;
    fs::write(&labels, bytes).unwrap();
    fails(folder.path(), "eval runs/shapes-1", 1, &["has changed since"]);
}

#[test]
fn wrong_arguments_say_what_is_wrong_and_what_is_near() {
    let folder = temp();
    for (line, words) in [
        ("train digits --activation rleu", &["no activation `rleu`", "did you mean `relu`?"][..]),
        ("train digits --optimizer adm", &["choices", "adam, adamw, sgd", "did you mean `adam`?"]),
        ("train digits --optimizer lbfgs", &["choices", "adagrad", "muon", "lion"]),
        ("train digits --optimizer adam --momentum 0.9", &["adam has no momentum", "sgd, rmsprop"]),
        ("train digits --momentum 1", &["--momentum: must be from 0 to below 1"]),
        ("train digits --weight-decay -1", &["--weight-decay: must be 0 or more"]),
        ("train digits --schedule cosin", &["did you mean `cosine`?"]),
        ("train digits --lr -1", &["--lr: must be greater than 0"]),
        ("train digits --lr 0", &["--lr: must be greater than 0"]),
        ("train digits --lr inf", &["--lr: must be finite"]),
        ("train digits --lr nan", &["--lr: must be finite"]),
        ("train digits --lr fast", &["must be a number, not `fast`"]),
        ("train digits --lr", &["--lr needs a value"]),
        ("train digits --layers 0", &["at least 1 unit", "--layers none"]),
        ("train digits --layers -3", &["at least 1"]),
        ("train digits --layers 8,,8", &["a size is missing"]),
        ("train digits --epochs 0", &["--epochs: must be at least 1, not 0"]),
        ("train digits --epochs 2.5", &["whole number"]),
        ("train digits --batch-size -8", &["--batch-size: must be at least 1"]),
        ("train digits --dropout 1", &["--dropout: must be from 0 to below 1"]),
        ("train digits --threads 0", &["--threads: must be at least 1"]),
        ("train digits --seed -1", &["--seed: must be at least 0"]),
        ("train digits --epcohs 3", &["unknown option `--epcohs`", "did you mean `--epochs`?"]),
        ("train digits more", &["unknown argument `more`"]),
        ("train digits --resume r", &["DATA cannot be used with --resume"]),
        ("train digits --seed 1 --seed 2", &["--seed was given twice"]),
        ("train digts", &["no data `digts`", "did you mean `digits`?"]),
        ("train", &["an argument is missing", "gradus train digits"]),
        ("trian digits", &["unknown command `trian`", "did you mean `train`?"]),
        ("bench --workload xr", &["no workload `xr`", "did you mean `xor`?"]),
        ("bench --workload mlp:3@5", &["the form is mlp:in-hidden-..-classes@batch"]),
        ("bench --window -1", &["--window", "seconds"]),
        ("bench --windows 0", &["--windows: must be at least 1"]),
        ("explain shpe", &["no error code `shpe`", "did you mean `shape`?"]),
        ("eval", &["an argument is missing: RUN"]),
        ("ops --json --markdown", &["cannot be used with"]),
        ("layers --json --markdown", &["cannot be used with"]),
    ] {
        fails(folder.path(), line, 2, words);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn wrong_files_and_folders_leave_nothing_half_written() {
    let folder = temp();
    let at = folder.path();
    fs::write(at.join("file"), "text").unwrap();
    fs::create_dir(at.join("full")).unwrap();
    fs::write(at.join("full/note"), "mine").unwrap();
    fs::create_dir(at.join("empty")).unwrap();
    fs::write(at.join("bad.safetensors"), [9u8; 40]).unwrap();
    for (line, words) in [
        ("train nothing", &["error[io]", "nothing does not exist", "digits"][..]),
        ("train some/where", &["does not exist"]),
        ("train file", &["error[data]", "file has a line of names and no rows"]),
        ("train empty", &["no IDX images in empty", "train-images-idx3-ubyte"]),
        ("train digits --layers 1000000,1000000", &["error[memory]", "too large", "--layers"]),
        ("train digits --out full", &["full is not empty", "--out"]),
        ("train digits --out file", &["it is a file"]),
        ("train digits --out file/under", &["error[io]"]),
        ("train --resume nothing", &["no run at nothing"]),
        ("train --resume full", &["holds no run"]),
        ("eval runs/digits-9", &["no run at runs/digits-9", "gradus train digits"]),
        ("eval full", &["config.toml is missing"]),
        ("inspect nothing", &["no run at nothing"]),
        ("inspect file", &["error[format]", "safetensors file"]),
        ("inspect bad.safetensors", &["error[format]"]),
        ("bench --workload mlp_mnist --data empty", &["no IDX images"]),
    ] {
        fails(at, line, 1, words);
    }
    images(&at.join("few"), 12);
    fails(at, "train few", 1, &["holds only 12 images", "at least 20"]);
    images(&at.join("cut"), 60);
    let images = at.join("cut/train-images-idx3-ubyte");
    let bytes = fs::read(&images).unwrap();
    fs::write(&images, &bytes[..bytes.len() - 5]).unwrap();
    fails(at, "train cut", 1, &["is truncated", "train-images-idx3-ubyte"]);
    fs::write(&images, b"PK\x03\x04zip").unwrap();
    fails(at, "train cut", 1, &["is not an IDX file"]);
    assert!(!at.join("runs").exists(), "no run was begun");
    assert_eq!(fs::read_to_string(at.join("full/note")).unwrap(), "mine");
}

#[cfg(unix)]
#[test]
fn an_unwritable_folder_is_told_before_training() {
    use std::os::unix::fs::PermissionsExt;
    let folder = temp();
    let locked = folder.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser may write anywhere.
    if fs::write(locked.join("probe"), "").is_err() {
        fails(folder.path(), "train digits --out locked/run", 1, &["error[io]", "locked"]);
    }
    // A folder in which nobody can write.
    if Path::new("/proc/self").exists() {
        fails(folder.path(), "train digits --out /proc/gradus", 1, &["error[io]", "/proc/gradus"]);
    }
}

#[test]
fn a_run_is_not_written_over() {
    let folder = temp();
    succeeds(folder.path(), &format!("{TINY} --out r"));
    let before = fs::read(folder.path().join("r/model.safetensors")).unwrap();
    let words = &["already holds a run", "gradus train --resume r"];
    fails(folder.path(), &format!("{TINY} --out r"), 1, words);
    fails(folder.path(), "train --resume r", 2, &["has made its 2 epochs", "--epochs 4"]);
    assert_eq!(fs::read(folder.path().join("r/model.safetensors")).unwrap(), before);
    fails(folder.path(), "eval R", 1, &["did you mean r?"]);
    fs::write(folder.path().join("r/model.safetensors"), &before[..before.len() / 2]).unwrap();
    fails(folder.path(), "eval r", 1, &["error[format]", "damaged"]);
}

#[test]
fn errors_are_json_events_too() {
    let folder = temp();
    for (line, exit, code) in [
        ("train nothing --json", 1, "io"),
        ("train digits --lr -1 --json", 2, "config"),
        ("eval nothing --json", 1, "io"),
        ("bench --json --workload xr", 2, "config"),
    ] {
        let ended = fails(folder.path(), line, exit, &[]);
        let events = events(&ended.out);
        assert_eq!(names(&events), ["error"], "gradus {line}");
        assert_eq!(events[0]["code"], code);
        assert!(!events[0]["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn a_rate_that_diverges_is_an_error_that_names_the_layer_and_the_step() {
    let folder = temp();
    // A first step that is too long is not always the end; this one is.
    let line = "train digits --optimizer sgd --lr 1e30 --schedule constant --layers 16 --out r";
    let ended = fails(folder.path(), line, 1, &["error[non-finite]", "step", "Sequential > "]);
    assert!(ended.err.contains("help"), "{}", ended.err);
}

#[test]
fn help_and_version_go_to_stdout() {
    let folder = temp();
    let help = succeeds(folder.path(), "--help");
    let words = [
        "train",
        "eval",
        "inspect",
        "ops",
        "layers",
        "optimizers",
        "explain",
        "bench",
        "Exit codes",
    ];
    for word in words {
        assert!(help.out.contains(word), "{}", help.out);
    }
    assert!(succeeds(folder.path(), "--version").out.starts_with("gradus "));
    assert!(succeeds(folder.path(), "train --help").out.contains("--batch-size"));
    let none = run(folder.path(), "");
    assert_eq!((none.code, none.out.as_str()), (Some(2), ""));
    assert!(none.err.contains("Usage: gradus"));
}

#[test]
fn ops_lists_every_row_in_three_forms() {
    let folder = temp();
    let rows = gradus::ops::registry::rows();
    let plain = succeeds(folder.path(), "ops").out;
    let markdown = succeeds(folder.path(), "ops --markdown").out;
    let json = events(&succeeds(folder.path(), "ops --json").out);
    assert_eq!(json.len(), rows.len());
    assert_eq!(markdown.lines().count(), rows.len() + 2);
    for row in rows {
        assert!(plain.contains(row.signature), "{}", row.name);
        assert!(markdown.contains(row.pytorch), "{}", row.name);
    }
    assert!(json.iter().any(|row| row["name"] == "matmul" && row["gradient"] == "yes"));
}

#[test]
fn layers_lists_every_row_in_three_forms() {
    let folder = temp();
    let rows = gradus::nn::registry::rows();
    let plain = succeeds(folder.path(), "layers").out;
    let markdown = succeeds(folder.path(), "layers --markdown").out;
    let json = events(&succeeds(folder.path(), "layers --json").out);
    assert_eq!(json.len(), rows.len());
    assert_eq!(markdown.lines().count(), rows.len() + 2);
    for row in rows {
        assert!(plain.contains(row.signature), "{}", row.name);
        assert!(plain.contains(row.group.name()), "{}", row.name);
        assert!(markdown.contains(row.pytorch), "{}", row.name);
    }
    assert!(plain.contains("losses"), "{plain}");
    let linear = json.iter().find(|row| row["name"] == "Linear").unwrap();
    assert_eq!(linear["pytorch"], "torch.nn.Linear");
    assert_eq!(linear["parameters"], "weight [out_features, in_features], bias [out_features]");
}

#[test]
fn optimizers_and_schedules_are_listed_in_three_forms() {
    let folder = temp();
    let rows = gradus::nn::optim::registry::rows();
    let schedules = gradus::train::schedule::registry::rows();
    let plain = succeeds(folder.path(), "optimizers").out;
    assert_eq!(plain, succeeds(folder.path(), "schedules").out);
    let markdown = succeeds(folder.path(), "optimizers --markdown").out;
    let json = events(&succeeds(folder.path(), "optimizers --json").out);
    // And the schedule that watches a metric.
    let count = rows.len() + schedules.len() + 1;
    assert_eq!((json.len(), markdown.lines().count()), (count, count + 2));
    for row in rows {
        assert!(plain.contains(row.signature) && plain.contains(row.group.name()), "{}", row.name);
        assert!(markdown.contains(row.pytorch) && markdown.contains(row.source), "{}", row.name);
    }
    for row in schedules {
        assert!(plain.contains(row.signature) && markdown.contains(row.formula), "{}", row.name);
    }
    let of = |name: &str| json.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(of("RmsProp")["argument"], "--optimizer rmsprop");
    assert_eq!(of("cosine")["argument"], "--schedule cosine or warmup-cosine");
}

#[test]
fn explain_knows_every_code() {
    let folder = temp();
    let list = succeeds(folder.path(), "explain").out;
    for code in gradus::Code::ALL {
        assert!(list.contains(code.name()), "{}", code.name());
        let one = succeeds(folder.path(), &format!("explain {}", code.name())).out;
        assert!(one.lines().all(|line| line.chars().count() <= 80), "{one}");
    }
    assert!(succeeds(folder.path(), "explain error[shape]:").out.contains("broadcast"));
    let json = events(&succeeds(folder.path(), "explain --json").out);
    assert_eq!(json.len(), gradus::Code::ALL.len());
}

#[test]
fn bench_prints_the_fields_of_its_peers() {
    let folder = temp();
    let quick = "--threads 1 --window 0.01 --windows 2 --warmup 0 --json";
    let predictions = "infer_cnn_mnist,infer_mlp_mnist_captured";
    let line =
        format!("bench --workload xor,mlp_tabular,{predictions},xor_loop,mlp_tabular_loop {quick}");
    let lines = events(&succeeds(folder.path(), &line).out);
    assert_eq!(lines.len(), 6);
    for line in &lines {
        assert_eq!((line["peer"].as_str(), line["threads"].as_u64()), (Some("gradus"), Some(1)));
        assert!(line["first_step_s"].as_f64().unwrap() > 0.0, "{line}");
    }
    for field in [
        "version",
        "steps_per_s",
        "samples_per_s",
        "peak_rss_mb",
        "first_step_s",
        "first_step_cpu_s",
        "first_loss",
        "final_loss",
        "steps",
        "spread",
        "steps_per_cpu_s",
        "best_steps_per_cpu_s",
        "cpu_spread",
        "data_s",
        "parameters",
        "page_faults_per_step",
    ] {
        assert!(!lines[0][field].is_null(), "no {field} in {}", lines[0]);
    }
    assert_eq!(lines[0]["workload"], "xor");
    // Rates round differently, but are of the same steps.
    let ratio =
        lines[1]["samples_per_s"].as_f64().unwrap() / lines[1]["steps_per_s"].as_f64().unwrap();
    assert!((ratio - 32.0).abs() < 0.1, "{ratio}");
    for field in ["min_us", "p10_us", "median_us", "p99_us", "calls"] {
        for line in &lines[2..4] {
            assert!(line[field].as_f64().unwrap() > 0.0, "no {field} in {line}");
        }
    }
    for line in &lines[4..] {
        assert_eq!(line["steps"].as_u64().unwrap() % 100, 0, "a call is 100 steps: {line}");
        assert!(line["final_loss"].as_f64().unwrap() < 0.7, "nothing was learned: {line}");
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = temp();
    for line in ["ops", "ops --json", "layers", "explain", &format!("{TINY} --json")] {
        let words: Vec<&str> = line.split(' ').collect();
        let mut child = gradus(folder.path())
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take()); // nobody reads, from the beginning
        let ended = ended(child.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "gradus {line}");
    }
}

/// Starts a training that would take minutes, waits for its first epoch, and stops it.
#[cfg(unix)]
fn interrupted(folder: &Path, line: &str, signals: usize) -> (Vec<Value>, String, Option<i32>) {
    let mut child = gradus(folder)
        .args(line.split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    for line in lines.by_ref() {
        seen.push(line.unwrap());
        if seen.len() == 3 {
            break; // the start and two epochs
        }
    }
    for _ in 0..signals {
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }
    let asked = Instant::now();
    seen.extend(lines.map(Result::unwrap));
    let ended = ended(child.wait_with_output().unwrap());
    assert!(asked.elapsed() < Duration::from_secs(20), "it took too long to stop");
    (events(&seen.join("\n")), ended.err, ended.code)
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_keeps_the_best_and_a_resume_goes_on_to_the_same_bits() {
    let folder = temp();
    let options = "--layers 256,256 --epochs 40 --patience 0 --dropout 0.1";
    let (seen, err, code) =
        interrupted(folder.path(), &format!("train digits {options} --out r --json"), 1);
    assert_eq!(code, Some(130), "{err}");
    let names = names(&seen);
    assert_eq!((names[names.len() - 2], names[names.len() - 1]), ("stopped", "error"), "{seen:?}");
    for word in ["error[interrupted]", "kept", "gradus train --resume r"] {
        assert!(err.contains(word), "no {word:?} in {err}");
    }
    assert!(folder.path().join("r/model.safetensors").is_file());
    let inspect = succeeds(folder.path(), "inspect r").out;
    assert!(inspect.contains("stopped on request; go on with"), "{inspect}");
    let resumed = events(&succeeds(folder.path(), "train --resume r --json --threads 1").out);
    let done = resumed.last().unwrap();
    assert_eq!(done["epochs"], 40);
    let straight = succeeds(folder.path(), &format!("train digits {options} --out s --json"));
    assert_eq!(events(&straight.out).pop().unwrap()["model_sha256"], done["model_sha256"]);
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_at_once() {
    let folder = temp();
    let line = "train digits --layers 64 --epochs 100000 --patience 0 --out r --json";
    let (_, _, code) = interrupted(folder.path(), line, 3);
    assert_eq!(code, Some(130));
}

#[test]
fn an_isa_that_does_not_exist_is_told() {
    let folder = temp();
    let output = gradus(folder.path()).arg("ops").env("GRADUS_ISA", "sse9").output().unwrap();
    let ended = ended(output);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("GRADUS_ISA is `sse9`"), "{}", ended.err);
}
