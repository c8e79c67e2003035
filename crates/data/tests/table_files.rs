//! Tables that people use.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use gradus_data::table::{Kind, Parts, ReadOptions, Role, Table, TaskKind, TaskOptions};

fn open(name: &str) -> Table {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    Table::open(path, &ReadOptions::new()).unwrap()
}

#[test]
fn classification_files() {
    for (name, rows, features, classes) in [
        ("iris.csv", 150, 4, &["setosa", "versicolor", "virginica"][..]),
        ("wine.csv", 178, 13, &["class_0", "class_1", "class_2"]),
        ("breast_cancer.csv", 569, 30, &["malignant", "benign"]),
    ] {
        let table = open(name);
        assert_eq!((table.rows(), table.columns().len()), (rows, features + 1), "{name}");
        let task = table.task(&TaskOptions::new()).unwrap();
        assert_eq!(task.kind(), TaskKind::Classification);
        assert_eq!(task.classes(), classes);
        assert!(task.reason().contains("names the classes"), "{}", task.reason());
        let data = task.prepare(Parts { valid: 0.0, test: 0.2 }, 1).unwrap();
        assert_eq!(data.encoder.features(), features);
        assert_eq!(data.train.class_names().unwrap(), classes);
        let held = data.test.unwrap();
        assert_eq!(data.train.len() + held.len(), rows);
        // Standardised: mean 0, variance 1 over the training rows.
        let x = data.train.arrays().unwrap().0;
        let x = x.as_slice::<f32>().unwrap();
        for column in 0..features {
            let values = x.iter().skip(column).step_by(features).map(|&v| f64::from(v));
            let n = data.train.len() as f64;
            let (mean, square) =
                (values.clone().sum::<f64>() / n, values.map(|v| v * v).sum::<f64>() / n);
            assert!(
                mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-5,
                "{name} {column}: {mean} {square}"
            );
        }
    }
}

#[test]
fn california_housing() {
    let table = open("california_housing.csv.gz");
    assert_eq!(table.rows(), 20_640);
    let task = table.task(&TaskOptions::new().target("median_house_value")).unwrap();
    assert_eq!((task.kind(), task.dropped()), (TaskKind::Regression, 0));
    let columns = task.schema().columns();
    let bedrooms = columns.iter().find(|c| c.info.name() == "total_bedrooms").unwrap();
    assert_eq!((bedrooms.info.missing(), bedrooms.info.range()), (207, Some((1.0, 6445.0))));
    assert_eq!(bedrooms.role, Role::Number { indicator: true });
    let ocean = columns.iter().find(|c| c.info.name() == "ocean_proximity").unwrap();
    assert_eq!((ocean.info.kind(), ocean.info.distinct()), (Kind::Category, Some(5)));
    let data = task.prepare(Parts { valid: 0.1, test: 0.2 }, 17).unwrap();
    assert_eq!(data.encoder.features(), 8 + 1 + 5);
    let sizes = (data.train.len(), data.valid.unwrap().len(), data.test.unwrap().len());
    assert_eq!(sizes, (14_448, 2064, 4128));
    let (mean, std) = data.encoder.target_scale();
    assert!((mean - 206_855.0).abs() < 3000.0 && (std - 115_395.0).abs() < 3000.0);
    // The encoder reads the file that it came from, without the target as well.
    let encoded = data.encoder.encode(&table).unwrap();
    assert_eq!(encoded.report().imputed(), [("total_bedrooms".to_owned(), 207)]);
    assert_eq!(encoded.dataset().unwrap().len(), 20_640);
}
