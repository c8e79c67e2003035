//! Tables as users meet them: from a CSV to predictions, and every way in which it can be wrong.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first failure"
)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn gradus(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gradus"));
    command.current_dir(folder).env_remove("RUST_BACKTRACE").env("NO_COLOR", "1");
    command
}

/// Runs a command line, split at spaces, with some text as its stdin.
fn run_with(folder: &Path, line: &str, input: &str) -> Ended {
    let mut command = gradus(folder);
    command.args(line.split(' ').filter(|w| !w.is_empty()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn run(folder: &Path, line: &str) -> Ended {
    run_with(folder, line, "")
}

#[track_caller]
fn succeeds(folder: &Path, line: &str) -> Ended {
    let ended = run(folder, line);
    assert_eq!(ended.code, Some(0), "gradus {line}\n{}{}", ended.out, ended.err);
    ended
}

/// A command that must fail with a code, an error and (part of) its message.
#[track_caller]
fn fails(folder: &Path, line: &str, exit: i32, words: &[&str]) -> Ended {
    let ended = run(folder, line);
    assert_eq!(ended.code, Some(exit), "gradus {line}\n{}{}", ended.out, ended.err);
    assert!(ended.err.lines().any(|l| l.starts_with("error[")), "gradus {line}\n{}", ended.err);
    for word in words {
        assert!(ended.err.contains(word), "gradus {line}\nno {word:?} in {}", ended.err);
    }
    for word in ["panicked", "RUST_BACKTRACE", "error[internal]"] {
        assert!(!ended.err.contains(word), "gradus {line}\n{}", ended.err);
    }
    ended
}

fn done(ended: &Ended) -> Value {
    serde_json::from_str(ended.out.lines().last().unwrap()).unwrap()
}

fn temp() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Numbers without a pattern.
fn noise(i: usize) -> f64 {
    let x = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (x >> 40) as f64 / f64::from(1u32 << 24)
}

const CITIES: [&str; 3] = ["Bern", "Lyon, old town", "Ulm"];

/// Flats: their rent follows from size, floor (sometimes missing) and city.
fn flats(rows: usize) -> String {
    let mut csv = String::from("size,floor,city,rent\n");
    for i in 0..rows {
        let (size, floor, city) = (20.0 + 100.0 * noise(3 * i), i % 7, i % 3);
        let rent = 300.0 + 12.0 * size + 20.0 * floor as f64 + 150.0 * city as f64;
        let floor = if i % 31 == 5 { String::new() } else { floor.to_string() };
        let _ = writeln!(csv, "{size:.2},{floor},\"{}\",{rent:.1}", CITIES[city]);
    }
    csv
}

/// Flowers of two kinds, whose names want quoting.
fn flowers(rows: usize) -> String {
    let mut csv = String::from("length,width,kind\n");
    for i in 0..rows {
        let kind = i % 2;
        let length = 4.0 + 2.0 * kind as f64 + noise(2 * i);
        let width = 3.0 - kind as f64 + noise(2 * i + 1);
        let _ = writeln!(csv, "{length:.3},{width:.3},{}", ["\"red, \"\"wild\"\"\"", "blue"][kind]);
    }
    csv
}

const QUICK: &str = "--layers 16 --epochs 12 --batch-size 32 --lr 0.02";

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) {
    fs::write(folder.path().join(name), text).unwrap();
}

/// The cells of a CSV as `predict` writes it, quotes removed.
fn cells(csv: &str) -> Vec<Vec<String>> {
    let line = |line: &str| {
        let (mut cells, mut quoted) = (vec![String::new()], false);
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    cells.last_mut().unwrap().push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                c => cells.last_mut().unwrap().push(c),
            }
        }
        cells
    };
    csv.lines().map(line).collect()
}

#[test]
fn regression_says_what_it_does_and_beats_both_yardsticks() {
    let folder = temp();
    write(&folder, "flats.csv", flats(600));
    let ended = succeeds(folder.path(), &format!("train flats.csv --target rent {QUICK}"));
    for word in [
        "flats.csv: 600 rows, 4 columns",
        "rent: regression",
        "because",
        "one-hot, 3",
        "standardised, missing flagged",
        "390 rows to train, 90 to validate, 120 to test",
        "R²",
        "into runs/flats-1",
    ] {
        assert!(ended.err.contains(word), "no {word:?} in\n{}", ended.err);
    }
    for word in
        ["always the mean", "a linear model", "this model", "mean abs. error", "gradus predict"]
    {
        assert!(ended.out.contains(word), "no {word:?} in\n{}", ended.out);
    }
    for file in
        ["encoder.json", "predictions.csv", "config.toml", "model.safetensors", "report.json"]
    {
        assert!(folder.path().join("runs/flats-1").join(file).is_file(), "{file}");
    }
    let wide = ended.err.lines().chain(ended.out.lines()).find(|l| l.chars().count() > 100);
    assert_eq!(wide, None, "too wide for a terminal");

    let line = format!("train flats.csv --target rent {QUICK} --json");
    let done = done(&succeeds(folder.path(), &line));
    assert_eq!((done["event"].as_str(), done["task"].as_str()), (Some("done"), Some("regression")));
    assert!(done["test"]["r2"].as_f64().unwrap() > 0.9, "{done}");
    assert!(done["test"]["mae"].as_f64().unwrap() > 1.0, "in francs: {done}");
    assert!(done["compared"][0]["test"]["r2"].as_f64().unwrap().abs() < 0.2, "{done}");
    assert!(done["compared"][1]["test"]["r2"].as_f64().unwrap() > 0.5, "{done}");
    assert_eq!(done["model_sha256"].as_str().map(str::len), Some(64));
    let config = fs::read_to_string(folder.path().join("runs/flats-1/config.toml")).unwrap();
    assert!(
        config.contains("schedule = \"cosine\"") && config.contains("[data.table]"),
        "{config}"
    );
}

#[test]
fn classification_shows_every_class_under_its_own_name() {
    let folder = temp();
    write(&folder, "flowers.csv", flowers(300));
    let ended = succeeds(folder.path(), &format!("train flowers.csv {QUICK}"));
    for word in ["classification of 2 classes", "the last column, `kind`, is predicted"] {
        assert!(ended.err.contains(word), "no {word:?} in\n{}", ended.err);
    }
    for word in ["precision", "recall", "F1", "red, \"wild\"", "blue", "100.00 %", "always "] {
        assert!(ended.out.contains(word), "no {word:?} in\n{}", ended.out);
    }
    let eval = succeeds(folder.path(), "eval runs/flowers-1");
    for word in ["the test rows of flowers.csv, 60 rows", "right", "precision", "blue"] {
        assert!(eval.out.contains(word), "no {word:?} in\n{}", eval.out);
    }
    let inspect = succeeds(folder.path(), "inspect runs/flowers-1");
    for word in ["2-16-2, relu", "valid.accuracy", "kind", "length", "encoder.json"] {
        assert!(inspect.out.contains(word), "no {word:?} in\n{}", inspect.out);
    }
    let hash = |extra: &str| {
        let line = format!("train flowers.csv {QUICK} --json {extra}");
        done(&succeeds(folder.path(), &line))["model_sha256"].clone()
    };
    assert_ne!(hash("--seed 4"), hash("--seed 5"));
    assert_ne!(hash("--split-seed 4"), hash("--split-seed 5"));
}

/// What must be the same in every run with the same arguments: the last line of `--json`, the epochs
/// without their times, the weights of the best one, and what was predicted.
fn bits(run: &Path, ended: &Ended) -> (Value, Vec<Value>, [Vec<u8>; 2]) {
    let timeless = |line: &str| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        for name in ["seconds", "run"] {
            value.as_object_mut().unwrap().remove(name);
        }
        value
    };
    let epochs = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let files = ["model.safetensors", "predictions.csv"];
    (
        timeless(ended.out.lines().last().unwrap()),
        epochs.lines().map(timeless).collect(),
        files.map(|name| fs::read(run.join(name)).unwrap()),
    )
}

#[test]
fn runs_with_the_same_arguments_have_the_same_bits() {
    let folder = temp();
    let at = folder.path();
    write(&folder, "flats.csv", flats(300));
    write(&folder, "flowers.csv", flowers(300));
    for table in ["flats", "flowers"] {
        // Defaults: dropout, embeddings if any, early stopping, and both yardsticks.
        let line = |name: &str, more: &str| {
            format!("train {table}.csv --epochs 6 --json --out {table}-{name} {more}")
        };
        let first = succeeds(at, &line("first", "--threads 1"));
        let first = bits(&at.join(format!("{table}-first")), &first);
        assert_eq!(first.1.len(), 6);
        // Several at once, with more threads than processors: nothing may depend on who is late.
        let ways = [
            ("again", "--threads 1", None),
            ("two", "--threads 2", None),
            ("many", "--threads 9", None),
            ("split", "--threads 3", Some(("GRADUS_SPLIT", "all"))),
            ("eager", "--threads 2", Some(("GRADUS_EAGER", "1"))),
        ];
        let children = ways.map(|(name, more, variable)| {
            let mut command = gradus(at);
            command.args(line(name, more).split(' ')).envs(variable);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            (name, command.spawn().unwrap())
        });
        for (name, child) in children {
            let output = child.wait_with_output().unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            let (out, err) = (text(output.stdout), text(output.stderr));
            assert!(output.status.success(), "{table}, {name}: {err}");
            let ended = Ended { code: output.status.code(), out, err };
            let found = bits(&at.join(format!("{table}-{name}")), &ended);
            assert!(found == first, "{table}, {name}: other bits\n{}\n{}", found.0, first.0);
        }
    }
}

/// The predictions of the test rows that the training process left, by row: the whole line after
/// the row's number and its truth.
fn left_by_training(run: &Path) -> Vec<(usize, Vec<String>)> {
    let csv = fs::read_to_string(run.join("predictions.csv")).unwrap();
    let all = cells(&csv);
    assert_eq!(all[0][..3], ["row", "truth", "prediction"]);
    all[1..].iter().map(|c| (c[0].parse().unwrap(), c[2..].to_vec())).collect()
}

#[test]
fn predictions_are_those_of_the_training_process_bit_for_bit() {
    for (name, csv, target) in [("flats", flats(700), "rent"), ("flowers", flowers(700), "kind")] {
        let folder = temp();
        let at = folder.path();
        write(&folder, "data.csv", &csv);
        succeeds(at, &format!("train data.csv --target {target} {QUICK} --out r"));
        let expected = left_by_training(&at.join("r"));
        assert_eq!(expected.len(), 140);
        let check = |out: &str, what: &str| {
            let rows = cells(out);
            assert_eq!(rows.len(), 701, "{name}, {what}");
            for (row, cells) in &expected {
                assert_eq!(&rows[*row], cells, "{name}, {what}, row {row}");
            }
        };
        let all = succeeds(at, "predict r data.csv").out;
        check(&all, "another process");
        // The folder moves, the file is gone.
        fs::create_dir(at.join("elsewhere")).unwrap();
        fs::rename(at.join("r"), at.join("elsewhere/moved")).unwrap();
        fs::rename(at.join("data.csv"), at.join("other.csv")).unwrap();
        for threads in [1, 3] {
            let line = format!("predict elsewhere/moved other.csv --threads {threads}");
            assert_eq!(succeeds(at, &line).out, all, "{name}, {threads} threads");
        }
        // Alone, in other company, through stdin, and as JSON.
        let lines: Vec<&str> = csv.lines().collect();
        for rows in [5..6, 300..557] {
            let part = format!("{}\n{}\n", lines[0], lines[rows.clone()].join("\n"));
            let ended = run_with(at, "predict elsewhere/moved -", &part);
            assert_eq!(ended.code, Some(0), "{}", ended.err);
            let expected: Vec<&str> = all.lines().skip(rows.start).take(rows.len()).collect();
            let found: Vec<&str> = ended.out.lines().skip(1).collect();
            assert_eq!(found, expected, "{name}, rows {rows:?}");
        }
        succeeds(at, "predict elsewhere/moved other.csv --out p.jsonl");
        let json = fs::read_to_string(at.join("p.jsonl")).unwrap();
        for (i, (line, cells)) in json.lines().zip(&cells(&all)[1..]).enumerate() {
            let value: Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["row"], i + 1);
            match target {
                "kind" => {
                    assert_eq!(value["prediction"], cells[0].as_str());
                    let p = value["probabilities"]["blue"].as_f64().unwrap();
                    assert_eq!(p as f32, cells[1].parse::<f32>().unwrap());
                }
                _ => assert_eq!(value["prediction"].as_f64(), cells[0].parse().ok()),
            }
        }
        assert_eq!(json.lines().count(), 700);
        let hidden = |n: &fs::DirEntry| n.file_name().to_string_lossy().starts_with('.');
        assert!(!fs::read_dir(at).unwrap().flatten().any(|n| hidden(&n)), "nothing half-written");
    }
}

#[test]
fn columns_at_prediction_go_by_their_names() {
    let folder = temp();
    let at = folder.path();
    write(&folder, "flats.csv", flats(300));
    succeeds(at, &format!("train flats.csv --target rent {QUICK} --out r"));
    let predict = |csv: &str| {
        let ended = run_with(at, "predict r -", csv);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended
    };
    let plain = predict("size,floor,city\n50,2,Ulm\n80,,Bern\n");
    assert_eq!(plain.out.lines().count(), 3);
    // Nothing but rows on stdout; in another order, with one column more.
    let other = predict("city,note,floor,size\nUlm,nice,2,50\nBern,,,80\n");
    assert_eq!(plain.out, other.out);
    assert!(other.err.contains("note"), "{}", other.err);
    // A city that was never seen is counted, and its row is not dropped.
    let unseen = predict("size,floor,city\n50,2,Rome\n80,,Bern\n");
    assert!(
        unseen.err.contains("1 row has a `city`") && unseen.err.contains("Rome"),
        "{}",
        unseen.err
    );
    assert_eq!(unseen.out.lines().count(), 3);
    assert_eq!(unseen.out.lines().nth(2), plain.out.lines().nth(2));

    write(&folder, "missing.csv", "size,city\n50,Ulm\n");
    fails(at, "predict r missing.csv", 1, &["floor"]);
    write(&folder, "renamed.csv", "sise,floor,city\n50,2,Ulm\n");
    fails(at, "predict r renamed.csv", 1, &["`size`", "sise"]);
    write(&folder, "text.csv", "size,floor,city\n50,2,Ulm\nlarge,2,Ulm\n");
    fails(at, "predict r text.csv", 1, &["size", "row 2", "large"]);
    write(&folder, "infinite.csv", "size,floor,city\n50,2,Ulm\n50,inf,Ulm\n");
    fails(at, "predict r infinite.csv", 1, &["floor", "row 2", "inf"]);
    write(&folder, "ragged.csv", "size,floor,city\n50,2,Ulm\n50,2,Ulm\n50,2\n");
    fails(at, "predict r ragged.csv", 1, &["error[data]"]);
    write(&folder, "empty.csv", "");
    fails(at, "predict r empty.csv", 1, &["empty.csv", "empty"]);
    fails(at, "predict r nothing.csv", 1, &["error[io]", "nothing.csv does not exist"]);
    fails(at, "predict r infinte.csv", 1, &["does not exist", "did you mean `infinite.csv`?"]);
    fails(at, "predict r .", 1, &["folder"]);
    fails(at, "predict runs/flats-9 flats.csv", 1, &["no run at runs/flats-9"]);
    fails(at, "predict r", 2, &["an argument is missing: DATA", "gradus predict RUN new.csv"]);
    fails(at, "predict r flats.csv --format xml", 2, &["no format `xml`", "csv, json"]);
    fails(at, "predict r flats.csv --out no/such/p.csv", 1, &["cannot write", "make its folder"]);
    fails(at, "predict r flats.csv --out r", 1, &["it is a folder"]);
    assert!(!at.join("no").exists());
    // What was there stays when a row is wrong.
    write(&folder, "p.csv", "old");
    fails(at, "predict r text.csv --out p.csv", 1, &["row 2"]);
    assert_eq!(fs::read_to_string(at.join("p.csv")).unwrap(), "old");
    // A table that has no rows gives a table that has no rows, or says so.
    write(&folder, "head.csv", "size,floor,city\n");
    let head = run(at, "predict r head.csv");
    assert!(head.code == Some(1) && head.err.contains("head.csv"), "{}{}", head.out, head.err);
    // An evaluation wants to know what is right.
    fails(at, "eval r missing.csv", 1, &["floor"]);
    write(&folder, "new.csv", "size,floor,city\n50,2,Ulm\n");
    fails(at, "eval r new.csv", 1, &["no column `rent`", "gradus predict"]);
    let eval = succeeds(at, "eval r flats.csv --json");
    assert_eq!(done(&eval)["samples"], 60, "only what it never saw: {}", eval.out);
}

#[test]
fn classes_only_in_the_new_file_are_told_and_do_not_count() {
    let folder = temp();
    let at = folder.path();
    write(&folder, "flowers.csv", flowers(200));
    succeeds(at, &format!("train flowers.csv {QUICK} --out r"));
    write(&folder, "new.csv", "length,width,kind\n4.2,3.1,green\n6.5,2.5,blue\n6.5,2.5,\n");
    let eval = succeeds(at, "eval r new.csv --json");
    assert_eq!(done(&eval)["samples"], 1);
    assert!(eval.err.contains("green"), "{}", eval.err);
    assert_eq!(succeeds(at, "predict r new.csv").out.lines().count(), 4);
    write(&folder, "new.csv", "length,width,kind\n4.2,3.1,green\n");
    fails(at, "eval r new.csv", 1, &["kind", "known"]);
}

#[test]
fn a_closed_pipe_is_no_reason_to_complain() {
    let folder = temp();
    write(&folder, "flats.csv", flats(300));
    succeeds(folder.path(), &format!("train flats.csv --target rent {QUICK} --out r"));
    write(&folder, "long.csv", flats(60_000));
    let mut child = gradus(folder.path())
        .args(["predict", "r", "long.csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_run_from_stdin_predicts_and_says_what_it_cannot() {
    let folder = temp();
    let at = folder.path();
    let ended = run_with(at, &format!("train - --target rent {QUICK} --out r --json"), &flats(200));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let ended = run_with(at, "predict r -", "size,floor,city\n50,2,Ulm\n");
    assert_eq!((ended.code, ended.out.lines().count()), (Some(0), 2), "{}", ended.err);
    fails(at, "eval r", 1, &["came from stdin", "gradus eval r FILE"]);
    fails(at, "train --resume r --epochs 20", 1, &["came from stdin"]);
    write(&folder, "flats.csv", flats(200));
    // The same rows in a file: those that the run never saw.
    assert_eq!(done(&succeeds(at, "eval r flats.csv --json"))["samples"], 40);
    assert!(succeeds(at, "inspect r").out.contains("stdin"));
}

#[test]
fn a_run_is_gone_on_with_bit_for_bit_unless_its_data_changed() {
    let folder = temp();
    let at = folder.path();
    write(&folder, "flats.csv", flats(400));
    let options = "--target rent --layers 16 --batch-size 32 --patience 0 --schedule constant";
    let whole =
        done(&succeeds(at, &format!("train flats.csv {options} --epochs 8 --out a --json")));
    succeeds(at, &format!("train flats.csv {options} --epochs 3 --out b"));
    fs::create_dir(at.join("there")).unwrap();
    fs::rename(at.join("b"), at.join("there/b")).unwrap();
    let rest = done(&succeeds(at, "train --resume there/b --epochs 8 --json"));
    assert_eq!(whole["model_sha256"], rest["model_sha256"]);
    assert_eq!(whole["test"], rest["test"]);
    assert_eq!(left_by_training(&at.join("a")), left_by_training(&at.join("there/b")));
    fails(at, "train --resume there/b --target size", 2, &["cannot be used with"]);
    write(&folder, "flats.csv", flats(400).replace("Ulm", "Hof"));
    fails(at, "train --resume there/b --epochs 9", 1, &["has changed since the run was trained"]);
    fs::remove_file(at.join("flats.csv")).unwrap();
    fails(
        at,
        "train --resume there/b --epochs 9",
        1,
        &["flats.csv", "not there", "put the file back"],
    );
    fails(at, "eval a", 1, &["not there", "gradus eval a FILE"]);
    succeeds(at, "inspect a");
    fs::remove_file(at.join("a/encoder.json")).unwrap();
    write(&folder, "flats.csv", flats(400));
    fails(at, "predict a flats.csv", 1, &["encoder.json is missing", "whole run folder"]);
}

#[test]
fn compressed_tab_separated_and_streamed_files_give_the_same_bits() {
    let folder = temp();
    let at = folder.path();
    let csv = flats(500).replace("\"Lyon, old town\"", "Lyon");
    let csv = csv.replace('"', "");
    write(&folder, "flats.csv", &csv);
    write(&folder, "flats.tsv", csv.replace(',', "\t"));
    write(&folder, "flats.txt", csv.replace(',', ";"));
    let hash = |line: &str| {
        let line = format!("train {line} --target rent {QUICK} --json");
        done(&succeeds(at, &line))["model_sha256"].clone()
    };
    let plain = hash("flats.csv");
    assert_eq!(plain, hash("flats.csv --stream"));
    assert_eq!(plain, hash("flats.tsv"));
    assert_eq!(plain, hash("flats.txt --separator semicolon"));
    // Without a header, by number, and with a column left out: another model, but a model.
    write(&folder, "bare.csv", csv.split_once('\n').unwrap().1);
    let ended =
        succeeds(at, &format!("train bare.csv --target 4 --no-header --drop column_2 {QUICK}"));
    assert!(ended.err.contains("column_4: regression"), "{}", ended.err);
    assert!(ended.err.contains("left out: as asked"), "{}", ended.err);
    let ended = succeeds(at, &format!("train flats.csv --target rent --one-hot 2 {QUICK} --out e"));
    assert!(ended.err.contains("embedding of 4"), "{}", ended.err);
    let all = succeeds(at, "predict e flats.csv").out;
    for (row, expected) in left_by_training(&at.join("e")) {
        assert_eq!(cells(&all)[row], expected);
    }
}

#[test]
fn wrong_tables_say_what_is_wrong_and_where() {
    let folder = temp();
    let at = folder.path();
    write(&folder, "flats.csv", flats(60));
    write(&folder, "empty.csv", "");
    write(&folder, "head.csv", "a,b\n");
    write(&folder, "few.csv", "a,b\n1,2\n2,3\n3,5\n");
    let rows = |line: &dyn Fn(usize) -> String| (0..60).map(|i| line(i) + "\n").collect::<String>();
    let table = |line: &dyn Fn(usize) -> String| format!("a,b\n{}", rows(line));
    write(&folder, "one.csv", table(&|i| format!("{i}.5,yes")));
    write(&folder, "none.csv", table(&|i| format!("{i}.5,")));
    write(
        &folder,
        "ragged.csv",
        table(&|i| if i == 40 { "1".into() } else { format!("{i}.5,{}", i % 9) }),
    );
    write(
        &folder,
        "text.csv",
        table(&|i| if i == 40 { "n.a.!,1".into() } else { format!("{i}.5,{}", i % 17) }),
    );
    write(
        &folder,
        "infinite.csv",
        table(&|i| if i == 40 { "inf,1".into() } else { format!("{}.5,{}", i % 17, i) }),
    );
    write(
        &folder,
        "target.csv",
        table(&|i| if i == 40 { "1.5,-inf".into() } else { format!("{}.5,{}.25", i % 17, i) }),
    );
    write(&folder, "binary.csv", [0u8, 159, 146, 150, 0, 1, 2, 3].repeat(40));
    let mut latin = table(&|i| format!("{i}.5,{}", ["cafe", "the"][i % 2])).into_bytes();
    let at_e = latin.windows(4).position(|w| w == b"cafe").unwrap() + 3;
    latin[at_e] = 0xe9;
    write(&folder, "latin.csv", latin);
    write(&folder, "zip.csv", b"PK\x03\x04\x14\x00\x00\x00rest of an archive".repeat(4));
    fs::create_dir(at.join("folder.csv")).unwrap();
    for (line, exit, words) in [
        ("train nothing.csv", 1, &["error[io]", "nothing.csv does not exist"][..]),
        ("train folder.csv", 1, &["folder.csv"]),
        ("train empty.csv", 1, &["empty.csv", "empty"]),
        ("train head.csv", 1, &["head.csv"]),
        ("train few.csv", 1, &["only 3 rows", "at least 20"]),
        ("train one.csv --target b", 1, &["`b`"]),
        ("train none.csv --target b", 1, &["`b`"]),
        ("train ragged.csv", 1, &["ragged.csv", "line 42"]),
        ("train text.csv --target b", 1, &["`a`", "row 41", "n.a.!"]),
        ("train infinite.csv --target b", 1, &["`a`", "row 41", "inf"]),
        ("train target.csv --target b", 1, &["`b`", "row 41", "inf"]),
        ("train binary.csv", 1, &["binary.csv"]),
        ("train latin.csv", 1, &["latin.csv", "UTF-8"]),
        ("train zip.csv", 1, &["zip.csv"]),
        ("train flats.csv --target rents", 2, &["no column `rents`", "`rent`"]),
        ("train flats.csv --target 9", 2, &["no column `9`", "size, floor, city, rent"]),
        ("train flats.csv --target rent --drop sise", 2, &["no column `sise`", "`size`"]),
        ("train flats.csv --target rent --drop size,floor,city", 1, &["no column is left"]),
        (
            "train flats.csv --task regresion",
            2,
            &["no task `regresion`", "did you mean `regression`?"],
        ),
        ("train flats.csv --target city --task regression", 1, &["`city`"]),
        ("train flats.csv --header --no-header", 2, &["--header cannot be used with --no-header"]),
        ("train flats.csv --separator ab", 2, &["`ab` cannot separate cells"]),
        ("train flats.csv --one-hot -3", 2, &["--one-hot: must be at least 0"]),
        ("train digits --target rent", 2, &["--target is for tables, and digits is none"]),
        ("train digits --stream", 2, &["--stream is for tables"]),
        ("train flats.csv --out flats.csv", 1, &["it is a file"]),
        ("train flats.csv --layers 1000000,1000000", 1, &["error[memory]", "--layers"]),
        ("predict", 2, &["an argument is missing"]),
    ] {
        fails(at, line, exit, words);
    }
    assert!(!at.join("runs").exists(), "no run was begun");
}

#[test]
fn images_are_predicted_too_and_tables_are_not_images() {
    let folder = temp();
    let at = folder.path();
    succeeds(at, "train digits --layers 16 --epochs 2 --out d");
    let ended = succeeds(at, "predict d digits");
    let rows = cells(&ended.out);
    assert_eq!((rows.len(), rows[0].len()), (1798, 11));
    let p: f32 = rows[1][1..].iter().map(|p| p.parse::<f32>().unwrap()).sum();
    assert!((p - 1.0).abs() < 1e-5);
    write(&folder, "flats.csv", flats(100));
    fails(at, "predict d flats.csv", 1, &["flats.csv is a table", "images of digits"]);
    fails(at, "eval d flats.csv", 1, &["flats.csv is a table"]);
    succeeds(at, &format!("train flats.csv {QUICK} --out t"));
    fails(at, "predict t digits", 1, &["digits"]);
    fails(at, "eval t digits", 1, &["digits"]);
}
