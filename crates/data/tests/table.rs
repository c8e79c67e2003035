//! Tables: what is read, what is decided, what is said when something is wrong.

#![allow(clippy::unwrap_used, clippy::panic)]

use gradus_core::{Code, Error};
use gradus_data::table::{
    Kind, Labels, Parts, Prepared, ReadOptions, Role, Table, Task, TaskKind, TaskOptions,
};

const NONE: Parts = Parts { valid: 0.0, test: 0.0 };

fn table(text: impl Into<Vec<u8>>) -> Table {
    Table::from_bytes("t.csv", text, &ReadOptions::new()).unwrap()
}

fn fails(text: impl Into<Vec<u8>>) -> Error {
    Table::from_bytes("t.csv", text, &ReadOptions::new()).unwrap_err()
}

fn task(text: &str) -> Task {
    table(text).task(&TaskOptions::new()).unwrap()
}

/// All rows of a table whose last column is the target, encoded.
fn prepared(text: &str) -> Prepared {
    task(text).prepare(NONE, 0).unwrap()
}

fn kinds(text: &str) -> Vec<Kind> {
    table(text).columns().iter().map(|c| c.kind()).collect()
}

/// Rows of `row(i)` under a header.
fn rows(header: &str, n: usize, row: impl Fn(usize) -> String) -> String {
    let mut text = format!("{header}\n");
    (0..n).for_each(|i| text += &format!("{}\n", row(i)));
    text
}

#[test]
fn separators_are_found_out() {
    for (text, columns) in [
        ("a,b\n1,2\n3,4\n", 2),
        ("a;b;c\n1;2;3\n", 3),
        ("a\tb\n1\t2\n", 2),
        ("a|b\n1|2\n", 2),
        ("a b c\n1 2  3\n 4 5 6 \n", 3),
        ("a;b\n1,5;2,5\n3,5;4,5\n", 2),
        ("1,5;2,5\n3,5;4,5\n", 2),
        ("name,note\n\"x; y; z\",1\n\"u; v; w\",2\n", 2),
        ("place,n\nNEAR BAY,1\nIN LAND,2\n", 2),
        ("a\n1\n2\n", 1),
    ] {
        assert_eq!(table(text).columns().len(), columns, "{text:?}");
    }
    assert_eq!(table("a;b\n1,5;2,5\n").columns()[0].range(), Some((1.5, 1.5)));
}

#[test]
fn headers_are_told_from_data() {
    for (text, header) in [
        ("a,b\n1,2\n", true),
        ("1,2\n3,4\n", false),
        ("x,1\ny,2\n", false),
        ("year,2019,2020\nx,1,2\ny,3,4\n", false), // ambiguous: the first line has numbers
        ("name,2019\n1,2\n3,4\n", true),
        ("color,shape\nred,round\nblue,flat\n", true),
        ("red,round\nblue,flat\nred,flat\n", false),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", false),
    ] {
        assert_eq!(table(text).has_header(), header, "{text:?}");
    }
    assert_eq!(table("1,2\n3,4\n").names(), ["column_1", "column_2"]);
    let forced = Table::from_bytes("t", "1,2\n3,4\n", &ReadOptions::new().header(true)).unwrap();
    assert_eq!((forced.rows(), forced.names()), (1, vec!["1", "2"]));
}

#[test]
fn quotes_line_ends_and_marks() {
    let text = "\u{feff}a,\"b \"\"x\"\"\",c\r\n1,\"p,\nq\",2\r\n3,\" r \",\r\n\r\n5, \"s\" ,6";
    let t = table(text);
    assert_eq!(t.names(), ["a", "b \"x\"", "c"]);
    assert_eq!(t.rows(), 3);
    assert_eq!(t.columns()[1].examples(), ["p, q", " r ", "s"]);
    assert_eq!(t.columns()[2].missing(), 1);
    assert!(t.notes().iter().any(|n| n.contains("1 blank line")), "{:?}", t.notes());
    let old = table("a,b\r1,2\r3,4\r");
    assert_eq!((old.rows(), old.names()), (2, vec!["a", "b"]));
    // A quote inside a cell is an ordinary character.
    assert_eq!(table("a,b\n5\" pipe,1\n6\" pipe,2\n").columns()[0].examples()[0], "5\" pipe");
}

#[test]
fn kinds_of_columns() {
    let text = rows("n,w,d,t,y,c,e,i,x,id", 60, |i| {
        let word = ["red", "green", "blue"][i % 3];
        let yes = ["yes", "no"][i % 2];
        let day = 1 + i % 28;
        let x = if i == 7 { "NA".to_owned() } else { format!("{}.5", i * 7 % 31) };
        format!("{},{word},2024-05-{day:02},some text {i},{yes},k,,{},{x},{i}", i % 4, i % 3)
    });
    use Kind::*;
    assert_eq!(
        kinds(&text),
        [Number, Category, Date, Text, Bool, Constant, Empty, Number, Number, RowNumber]
    );
    let t = table(text);
    assert_eq!(t.columns()[8].missing(), 1);
    assert!(t.columns()[0].is_integer() && !t.columns()[8].is_integer());
    assert_eq!(t.columns()[0].distinct(), Some(4));
}

#[test]
fn wrong_files_are_refused_with_a_reason() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "empty"),
        (b"a,b\n", "no rows"),
        (b"\n\n \n", "blank"),
        (b"a,b\n1,2\n3\n", "line 3 has 1 cells where 2"),
        (b"a,b\n1,2\n3,4,5\n", "line 3 has 3 cells where 2"),
        (b"a,b\n1,2\n\n\"x\ny\",4\n5\n", "line 6 has 1 cells where 2"),
        (b"a,a\n1,2\n", "two columns have the name `a`"),
        (b"a,b\n1,2\n3,\"x\n5,6\n", "line 3: a quote is opened and never closed"),
        (b"a,b\n1,2\n3,\"x\"y\n5,6\n", "line 3: text follows a closing quote"),
        (b"a,b\n1,2\nM\xfcnchen,4\n", "line 3 is not UTF-8"),
        (b"\xff\xfea\0,\0b\0\n\0", "UTF-16"),
        (b"a\0,\0b\0\n\x001\0,\x002\0\n\0", "UTF-16"),
        (b"M\xfcnchen,b\n1,2\n", "line 1 is not UTF-8"),
        (b"[\n  {\"a\": 1, \"b\": 2}\n]\n", "JSON"),
        (b"\"a\"b,c\n1,2\n", "quotes do not fit"),
        (b"PK\x03\x04\x14\0\x06\0", "xlsx"),
        (b"PAR1\x15\x04\x15\0\x15", "Parquet"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "PNG"),
        (b"<!DOCTYPE html><html><body>", "HTML"),
        (b"\x1f\x8b\x08\0junk", "gzip"),
    ];
    for (bytes, said) in cases {
        let error = fails(*bytes);
        assert!(error.to_string().contains(said), "{said}: {error}");
        assert!(matches!(error.code(), Code::Data | Code::Format), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let error = Table::open(folder.path(), &ReadOptions::new()).unwrap_err();
    assert!(error.title().contains("is a folder"), "{error}");
    let error = Table::open(folder.path().join("no.csv"), &ReadOptions::new()).unwrap_err();
    assert_eq!(error.code(), Code::Io);
}

#[test]
fn a_header_may_start_like_another_format() {
    for name in ["BMI", "PARent", "PK", "größe"] {
        assert_eq!(table(format!("{name},b\n1,2\n")).names()[0], name);
    }
}

#[test]
fn the_task_follows_from_the_target() {
    let few = rows("x,y", 60, |i| format!("{},{}", i * i, i % 3));
    let t = task(&few);
    assert_eq!(t.kind(), TaskKind::Classification);
    assert_eq!(t.classes(), ["0", "1", "2"]);
    assert_eq!(t.class_counts(), [20, 20, 20]);
    assert_eq!(t.reason(), "`y` holds 3 different whole numbers");
    assert!(t.notes()[0].contains("last column"), "{:?}", t.notes());
    let many = rows("x,y", 60, |i| format!("{},{}.25", i * i, i));
    assert_eq!(task(&many).kind(), TaskKind::Regression);
    let words = rows("x,y", 60, |i| format!("{},{}", i * i, ["b", "a"][i % 2]));
    assert_eq!(task(&words).classes(), ["a", "b"]);
    let ten = rows("x,y", 60, |i| format!("{},{}", i * i, [10, 9, 2][i % 3]));
    assert_eq!(task(&ten).classes(), ["2", "9", "10"]);
    // The spelling is kept.
    let spelled = rows("x,y", 60, |i| format!("{},{}", i * i, ["1.0", "02"][i % 2]));
    assert_eq!(task(&spelled).classes(), ["1.0", "02"]);
    let forced = table(few).task(&TaskOptions::new().kind(TaskKind::Regression)).unwrap();
    assert_eq!(forced.kind(), TaskKind::Regression);
    let forced = table(many).task(&TaskOptions::new().kind(TaskKind::Classification)).unwrap();
    assert_eq!(forced.classes().len(), 60);
    assert_eq!(forced.classes()[2], "2.25");
}

#[test]
fn targets_by_name_and_number() {
    let t = table(rows("price,size,rooms", 40, |i| format!("{}.5,{},{}", i, i * i, i % 7)));
    let of = |name: &str| t.task(&TaskOptions::new().target(name)).map(|t| t.target().to_owned());
    assert_eq!(of("price").unwrap(), "price");
    assert_eq!(of("2").unwrap(), "size");
    for wrong in ["prise", "0", "4", ""] {
        let error = of(wrong).unwrap_err();
        assert!(error.get("columns").unwrap().contains("price, size, rooms"), "{error}");
    }
    assert_eq!(of("prise").unwrap_err().get("nearest").unwrap(), "`price`");
}

#[test]
fn targets_that_teach_nothing_are_errors() {
    for (text, said) in [
        (rows("x,y", 20, |i| format!("{i},a")), "only one class"),
        (rows("x,y", 20, |i| format!("{i},{}", ["a", ""][i % 2])), "only one class"),
        (rows("x,y", 20, |i| format!("{i},")), "no values"),
        (rows("x,y", 20, |i| format!("{},text {i}", i * i)), "nearly always different"),
        (rows("x,y", 20, |i| format!("{},2024-01-{:02}", i * i, i + 1)), "dates"),
        (rows("x,y", 20, |i| format!("5,{}", i % 2)), "no column is left"),
        (
            rows("x,y", 20, |i| {
                format!("{},{}", i, if i == 3 { "inf".into() } else { format!("{i}.5") })
            }),
            "infinite (inf) in row 4",
        ),
        (
            rows("x,y", 20, |i| {
                format!("{},{}", if i == 5 { "-1e999".into() } else { format!("{i}.5") }, i % 2)
            }),
            "`x` is infinite (-inf) in row 6",
        ),
        (
            rows("x,y", 40, |i| {
                format!("{},{}", if i == 5 { "12a".into() } else { format!("{i}.5") }, i % 2)
            }),
            "`x` has text in row 6: \"12a\"",
        ),
    ] {
        let error = table(text).task(&TaskOptions::new()).unwrap_err();
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
}

#[test]
fn rows_without_a_target_are_counted() {
    let t = task(&rows("x,y", 30, |i| format!("{},{}", i * i, ["a", "b", "?"][i % 3])));
    assert_eq!((t.rows(), t.dropped()), (20, 10));
    assert!(t.notes().iter().any(|n| n.contains("10 of 30 rows have no `y`")), "{:?}", t.notes());
    let p = t.prepare(Parts { valid: 0.0, test: 0.5 }, 1).unwrap();
    assert_eq!((p.train.len(), p.test.unwrap().len()), (10, 10));
    assert_eq!(p.train.class_counts(), [5, 5]);
}

#[test]
fn numbers_are_standardised_and_missing_ones_told() {
    let p = prepared("a,b,y\n1,10,u\n2,,v\n3,30,u\n6,20,v\n");
    let (x, y) = p.train.subset(&order(&p)).unwrap().arrays().unwrap();
    let std_a = 3.5f64.sqrt();
    let std_b = (200.0f64 / 3.0).sqrt();
    let expected: Vec<f32> = [
        [(1.0 - 3.0) / std_a, -10.0 / std_b, 0.0],
        [(2.0 - 3.0) / std_a, 0.0, 1.0],
        [0.0, 10.0 / std_b, 0.0],
        [3.0 / std_a, 0.0, 0.0],
    ]
    .iter()
    .flatten()
    .map(|&v| v as f32)
    .collect();
    assert_eq!(x.as_slice::<f32>().unwrap(), expected);
    assert_eq!(y.as_slice::<i64>().unwrap(), [0, 1, 0, 1]);
    assert_eq!(p.encoder.feature_names(), ["a", "b", "b is missing"]);
}

/// Positions of the training rows in the order of the file.
fn order(p: &Prepared) -> Vec<usize> {
    let rows: Vec<usize> = p.train.indices().collect();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| rows[i]);
    order
}

#[test]
fn categories_become_columns_or_ids() {
    let text = rows("c,m,y", 100, |i| {
        let many = format!("k{}", if i < 60 { i % 3 } else { i % 20 });
        format!("{},{many},{}", ["r", "g", "b", ""][i % 4], i % 2)
    });
    let p = prepared(&text);
    let e = &p.encoder;
    assert_eq!(e.feature_names(), ["c=b", "c=g", "c=r", "c is missing", "m (id)"]);
    assert_eq!((e.features(), e.dense()), (5, 4));
    assert_eq!(e.embeddings(), [(4, 21)]);
    let x = p.train.subset(&order(&p)).unwrap().arrays().unwrap().0;
    let x = x.as_slice::<f32>().unwrap();
    assert_eq!(x[..5], [0.0, 0.0, 1.0, 0.0, 1.0]); // k0 is the most frequent: id 1
    assert_eq!(x[3 * 5..4 * 5][..4], [0.0, 0.0, 0.0, 1.0]);
    let few = table(text).task(&TaskOptions::new().one_hot_limit(2).max_categories(5)).unwrap();
    let p = few.prepare(NONE, 0).unwrap();
    assert_eq!(p.encoder.embeddings(), [(0, 5), (1, 6)]);
    assert!(p.notes.iter().any(|n| n.contains("`m` has 20 categories")), "{:?}", p.notes);
}

#[test]
fn codes_can_be_categories() {
    let text = rows("zip,y", 60, |i| format!("0{},{}", i % 3, i % 2));
    let t = table(text).task(&TaskOptions::new().as_category(["zip"])).unwrap();
    let p = t.prepare(NONE, 0).unwrap();
    assert_eq!(p.encoder.feature_names(), ["zip=00", "zip=01", "zip=02"]);
}

#[test]
fn nothing_of_held_rows_is_in_the_encoder() {
    // Rows of one part have other numbers and words; the encoder may know only its own.
    let text =
        rows("n,c,y", 200, |i| format!("{},{},{}", i * i, ["a", "b", "c"][i * 7 % 3], i % 2));
    let before = task(&text).prepare(Parts { valid: 0.2, test: 0.2 }, 5).unwrap();
    let train: Vec<usize> = before.train.indices().collect();
    let changed = rows("n,c,y", 200, |i| {
        if train.contains(&i) {
            format!("{},{},{}", i * i, ["a", "b", "c"][i * 7 % 3], i % 2)
        } else {
            format!("{},{},{}", 1_000_000 + i, "other", i % 2)
        }
    });
    let after = task(&changed).prepare(Parts { valid: 0.2, test: 0.2 }, 5).unwrap();
    assert_eq!(after.train.indices().collect::<Vec<_>>(), train);
    assert_eq!(after.encoder.feature_names(), before.encoder.feature_names());
    let x = |p: &Prepared| p.train.arrays().unwrap().0;
    assert!(x(&before).same_bits(&x(&after)));
}

#[test]
fn a_regression_target_is_standardised_and_comes_back() {
    let p = prepared(&rows("x,y", 50, |i| format!("{},{}.5", i % 13, i * 3)));
    let (_, y) = p.train.arrays().unwrap();
    assert_eq!(y.dims(), [50, 1]);
    let rows: Vec<usize> = p.train.indices().collect();
    for (&value, row) in y.as_slice::<f32>().unwrap().iter().zip(rows) {
        let back = p.encoder.decode_value(f64::from(value));
        assert!((back - (row as f64 * 3.0 + 0.5)).abs() < 1e-4, "{back}");
    }
}

#[test]
fn prediction_gives_the_bits_of_training() {
    let text = rows("n,c,b,m,y", 120, |i| {
        let n = if i % 11 == 0 { "NA".to_owned() } else { format!("{}", i as f64 * 0.37) };
        format!("{n},{},{},w{},{}", ["x", "y"][i % 2], ["yes", "no"][i / 3 % 2], i % 18, i % 3)
    });
    let p = task(&text).prepare(Parts { valid: 0.0, test: 0.3 }, 3).unwrap();
    let json = p.encoder.to_json().unwrap();
    let encoder = gradus_data::table::Encoder::from_json(&json, "encoder").unwrap();
    assert_eq!(encoder, p.encoder);
    let again = Table::from_bytes("again", text, &encoder.read_options()).unwrap();
    let encoded = encoder.encode(&again).unwrap();
    for part in [&p.train, p.test.as_ref().unwrap()] {
        let width = encoder.features();
        let all = encoded.x().as_slice::<f32>().unwrap();
        for (i, row) in part.indices().enumerate() {
            let (x, y) = part.sample(i).unwrap();
            let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(x.as_slice().unwrap()), bits(&all[row * width..][..width]));
            let Some(Labels::Classes(labels)) = encoded.labels() else { panic!() };
            assert_eq!(labels[row], Some(y.as_slice::<i64>().unwrap()[0] as usize));
        }
    }
    let whole = encoded.dataset().unwrap();
    assert_eq!((whole.len(), whole.classes()), (120, Some(3)));
    let mut first = 0;
    for part in encoder.encode_chunks(&again).unwrap() {
        let part = part.unwrap();
        assert_eq!(part.first_row(), first);
        first += part.rows();
    }
    assert_eq!(first, 120);
}

#[test]
fn columns_are_found_by_name() {
    let p = prepared(&rows("size,color,junk,y", 60, |i| {
        format!("{},{},text {i},{}", i * i, ["r", "g"][i % 2], i % 3 % 2)
    }));
    let e = &p.encoder;
    let read = |text: &str| Table::from_bytes("new.csv", text, &e.read_options()).unwrap();
    let one = |text: &str| e.encode(&read(text));
    let straight = one("size,color\n7,r\n").unwrap();
    let turned = one("extra,color,size\n1,r,7\n").unwrap();
    assert!(straight.x().same_bits(turned.x()));
    assert!(straight.labels().is_none() && straight.report().notes().is_empty());
    let notes = turned.report().notes().join("\n");
    assert!(notes.contains("another order") && notes.contains("ignored: extra"), "{notes}");
    let error = one("Sizes,color\n7,r\n").unwrap_err();
    assert!(error.title().contains("no column `size`"), "{error}");
    assert!(error.get("missing").unwrap().contains("renamed to `Sizes`?"), "{error}");
    let error = one("size,color\n1,r\nbig,r\n").unwrap_err();
    assert!(
        error.title().contains("`size` is a number in training, but \"big\" in row 2"),
        "{error}"
    );
    let error = one("size,color\n1,r\n1,r\ninf,g\n").unwrap_err();
    assert!(error.title().contains("infinite (inf) in row 3"), "{error}");
    let error = one("7,r\n8,g\n9,r\n").unwrap_err();
    assert!(error.title().contains("no line of names"), "{error}");
    let unseen = one("size,color,y\n1,violet,0\n,pink,5\n3,,\n").unwrap();
    let report = unseen.report();
    assert_eq!((report.unknown()[0].rows, report.imputed()), (2, &[("size".to_owned(), 1)][..]));
    assert_eq!(report.unknown_classes().unwrap().examples, ["5"]);
    assert_eq!((report.unlabelled(), report.notes().len()), (1, 4));
    assert_eq!(unseen.labels(), Some(&Labels::Classes(vec![Some(0), None, None])));
    assert_eq!(unseen.dataset().unwrap().len(), 1);
    assert_eq!(unseen.x().as_slice::<f32>().unwrap()[1..3], [0.0, 0.0]);
}

#[test]
fn files_without_names_go_by_place() {
    let p = prepared(&rows("", 60, |i| format!("{},{},{}", i * i, i % 7, i % 2)));
    let e = &p.encoder;
    let read = |text: &str| Table::from_bytes("new.csv", text, &e.read_options()).unwrap();
    let with = e.encode(&read("4,5,1\n9,2,0\n")).unwrap();
    let without = e.encode(&read("4,5\n9,2\n")).unwrap();
    assert!(with.x().same_bits(without.x()));
    assert!(with.labels().is_some() && without.labels().is_none());
    assert!(e.encode(&read("4\n9\n")).is_err());
}

#[test]
fn the_first_line_of_scikit_learn_is_understood() {
    let text = rows("30,2,small,large", 30, |i| format!("{}.5,{},{}", i, i * i, i % 2));
    let t = table(text.clone());
    assert!(t.notes()[0].contains("scikit-learn"), "{:?}", t.notes());
    let t = t.task(&TaskOptions::new()).unwrap();
    assert_eq!(t.classes(), ["small", "large"]);
    assert_eq!(t.rows(), 30);
    let short = table(text.lines().take(20).collect::<Vec<_>>().join("\n"));
    assert!(short.notes().iter().any(|n| n.contains("promises 30 rows, the file has 19")));
}

#[test]
fn the_schema_is_a_table() {
    let t = task(&rows("size,color,when,y", 40, |i| {
        format!(
            "{},{},2024-01-{:02},{}",
            if i == 3 { String::new() } else { (i * i).to_string() },
            ["r", "g"][i % 2],
            i % 28 + 1,
            i % 3 % 2
        )
    }));
    let text = t.schema().to_string();
    for word in
        ["column", "size", "0 to 1521", "2.5 %", "one-hot, 2 columns", "left out: dates", "target"]
    {
        assert!(text.contains(word), "{word}:\n{text}");
    }
    assert_eq!(t.schema().left_out().count(), 1);
    assert!(matches!(t.schema().columns()[0].role, Role::Number { indicator: true }));
}

#[test]
fn codes_with_a_few_texts_are_categories_and_numbers_with_a_few_texts_are_mistakes() {
    let with = |text: &str, every: usize, n: usize, numbers: usize| {
        let cell =
            |i: usize| if i % every == 1 { text.to_owned() } else { (i % numbers).to_string() };
        kinds(&rows("x,y", n, |i| format!("{},{}", cell(i), i % 2)))[0]
    };
    assert_eq!(with("3+", 12, 600, 3), Kind::Category);
    assert_eq!(with("1x", 300, 600, 3), Kind::Mixed);
    assert_eq!(with("1x", 50, 600, 100), Kind::Mixed);
    assert_eq!(kinds("x,y\n1.5,0\n2,1\noops,0\n4,1\n5,0\n")[0], Kind::Mixed);
}

#[test]
fn an_infinite_column_that_is_left_out_does_no_harm() {
    let text = rows("x,z,y", 30, |i| {
        format!("{},{},{}", i * i, if i == 2 { "inf".to_owned() } else { i.to_string() }, i % 2)
    });
    let t = table(text);
    assert!(t.task(&TaskOptions::new()).is_err());
    let p = t.task(&TaskOptions::new().leave_out(["z"])).unwrap().prepare(NONE, 0).unwrap();
    let json = p.encoder.to_json().unwrap();
    assert_eq!(gradus_data::table::Encoder::from_json(&json, "json").unwrap(), p.encoder);
}

#[test]
fn the_example_of_every_error_says_what_to_do() {
    for error in
        [fails("a,b\n1,2\n3\n"), fails("a,b\n1,\"2\n"), fails(&b"a,b\n1,\xff\n"[..]), fails("")]
    {
        assert!(error.advice().is_some(), "{error}");
    }
}
