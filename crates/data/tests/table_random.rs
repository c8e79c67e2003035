//! Random bytes and random tables: never a panic, never a cell that is lost or changed.

#![allow(clippy::unwrap_used)]

use gradus_data::table::{Encoder, Parts, ReadOptions, Table, TaskOptions};
use proptest::collection::vec;
use proptest::prelude::*;

/// All cells of a table as text, row by row; a missing one is empty.
fn cells(table: &Table) -> Vec<Vec<String>> {
    let names: Vec<String> = table.names().iter().map(|&name| name.to_owned()).collect();
    let columns: Vec<Vec<Option<String>>> =
        names.iter().map(|name| table.texts(name).unwrap()).collect();
    (0..table.rows())
        .map(|row| columns.iter().map(|c| c[row].clone().unwrap_or_default()).collect())
        .collect()
}

fn plain() -> ReadOptions {
    ReadOptions::new().header(false).separator(',').decimal_comma(false).missing([""; 0])
}

/// Everything that can be done with a file that may be anything.
fn everything(bytes: &[u8], options: &ReadOptions) {
    let Ok(table) = Table::from_bytes("random", bytes, options) else { return };
    assert!(table.rows() > 0 && !table.columns().is_empty());
    let Ok(task) = table.task(&TaskOptions::new()) else { return };
    let _ = task.schema().to_string();
    let Ok(p) = task.prepare(Parts { valid: 0.0, test: 0.3 }, 1) else { return };
    assert_eq!(p.train.len() + p.test.unwrap().len() + task.dropped(), table.rows());
    let json = p.encoder.to_json().unwrap();
    let encoder = Encoder::from_json(&json, "json").unwrap();
    assert_eq!(encoder, p.encoder);
    let again = encoder.encode(&table).unwrap();
    assert_eq!(again.rows(), table.rows());
    let x = again.x().as_slice::<f32>().unwrap();
    assert!(x.iter().all(|v| v.is_finite()));
    let width = encoder.features();
    for (i, row) in p.train.indices().enumerate().take(20) {
        let (sample, _) = p.train.sample(i).unwrap();
        let row = task.file_row(row).unwrap();
        assert_eq!(sample.as_slice::<f32>().unwrap(), &x[row * width..][..width]);
    }
}

/// Text that looks like a table, with what makes tables hard.
fn tableish() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => "[0-9]{1,3}",
        2 => "-?[0-9]{1,4}\\.[0-9]{1,3}",
        2 => "[a-c]{1,2}",
        1 => "(NA|\\?|inf|-|1e9|1e999|true|no|2024-01-02|1,5)",
        1 => "\"[a-c,;\n ]{0,4}\"",
        1 => "[\"\r\n,;\t| é]{1,2}",
        1 => "",
    ];
    let line = vec(word, 1..5);
    (vec(line, 0..40), prop_oneof![Just(","), Just(";"), Just("\t"), Just(" "), Just("|")])
        .prop_map(|(lines, separator)| {
            let lines: Vec<String> = lines.iter().map(|line| line.join(separator)).collect();
            lines.join("\n")
        })
}

/// A table whose rows all have as many cells, some columns of numbers.
fn regular() -> impl Strategy<Value = String> {
    (2usize..5).prop_flat_map(|columns| {
        let kinds = vec(0u8..4, columns);
        (kinds, vec(vec((0i32..50, any::<bool>()), columns), 4..60)).prop_map(|(kinds, rows)| {
            let mut text = (0..kinds.len()).map(|c| format!("c{c}")).collect::<Vec<_>>().join(",");
            for row in rows {
                let cells = row.iter().zip(&kinds).map(|(&(v, gap), kind)| match kind {
                    _ if gap && v % 5 == 0 => String::new(),
                    0 => v.to_string(),
                    1 => format!("{}", f64::from(v) * 0.37),
                    2 => format!("w{}", v % 4),
                    _ => format!("w{v}"),
                });
                text += "\n";
                text += &cells.collect::<Vec<_>>().join(",");
            }
            text
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        everything(&bytes, &ReadOptions::new());
        everything(&bytes, &plain());
    }

    #[test]
    fn random_text_never_panics(text in tableish()) {
        everything(text.as_bytes(), &ReadOptions::new());
        everything(text.as_bytes(), &plain());
    }

    #[test]
    fn regular_tables_keep_every_row(text in regular()) {
        let table = Table::from_bytes("t", text.clone(), &ReadOptions::new().header(true).separator(',')).unwrap();
        prop_assert_eq!(table.rows() + 1, text.lines().count());
        everything(text.as_bytes(), &ReadOptions::new().header(true).separator(','));
    }

    #[test]
    fn damaged_encoders_never_panic(at in 0usize..3000, byte in any::<u8>()) {
        let csv = "a,b,y\n1,u,x\n2,v,z\n3,u,x\n4,,z\n,u,x\n";
        let table = Table::from_bytes("t", csv, &ReadOptions::new()).unwrap();
        let p = table.task(&TaskOptions::new()).unwrap().prepare(Parts { valid: 0.0, test: 0.0 }, 0).unwrap();
        let mut json = p.encoder.to_json().unwrap().into_bytes();
        let at = at % json.len();
        json[at] = byte;
        let Ok(json) = String::from_utf8(json) else { return Ok(()) };
        let encoded = Encoder::from_json(&json, "damaged").and_then(|e| e.encode(&table));
        let _ = encoded.and_then(|encoded| encoded.dataset());
    }

    /// What the `csv` crate writes is read cell by cell.
    #[test]
    fn quoted_cells_come_back(
        rows in (1usize..5).prop_flat_map(|n| vec(vec("[a-z0-9é,;\"\n\r\t| .-]{0,8}", n), 1..30)),
        separator in prop_oneof![Just(','), Just(';'), Just('\t'), Just('|')],
        crlf in any::<bool>(),
    ) {
        let mut writer = csv::WriterBuilder::new()
            .delimiter(separator as u8)
            .quote_style(csv::QuoteStyle::Always)
            .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
            .from_writer(Vec::new());
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let table = Table::from_bytes("written", bytes, &plain().separator(separator)).unwrap();
        prop_assert_eq!(cells(&table), rows);
    }

    /// Whatever is accepted has exactly the cells that the `csv` crate finds.
    #[test]
    fn accepted_text_has_the_cells_that_csv_finds(
        text in "([a-c0-9\"]{0,3}[,\n]?){0,30}",
        crlf in any::<bool>(),
    ) {
        let text = if crlf { text.replace('\n', "\r\n") } else { text };
        let Ok(table) = Table::from_bytes("random", text.clone(), &plain()) else { return Ok(()) };
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let expected: Vec<Vec<String>> = reader
            .records()
            .map(|record| record.unwrap().iter().map(str::to_owned).collect())
            .collect();
        prop_assert_eq!(cells(&table), expected, "{:?}", text);
    }
}
