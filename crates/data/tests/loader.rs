//! The loader: the same bits with any number of workers, errors that arrive, threads that end.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gradus_core::{Code, Error};
use gradus_data::{Batch, Dataset, digits};

fn data() -> Dataset {
    digits().unwrap().shuffled(3)
}

fn same(a: &Batch, b: &Batch) -> bool {
    a.x.same_bits(&b.x)
        && a.y.same_bits(&b.y)
        && a.number() == b.number()
        && a.indices().eq(b.indices())
}

#[test]
fn any_number_of_workers_gives_the_same_bits_in_order() {
    let data = data();
    for drop_last in [false, true] {
        let plain: Vec<_> =
            data.array_batches(50).drop_last(drop_last).map(Result::unwrap).collect();
        for workers in [0, 1, 2, 3, 7, usize::MAX] {
            let loader = data.loader(50).workers(workers).drop_last(drop_last);
            assert_eq!(loader.len(), plain.len());
            // Twice from one loader, and with a consumer that is slower than the workers.
            for wait in [0, 1] {
                let loaded: Vec<_> = loader
                    .iter()
                    .map(|batch| {
                        std::thread::sleep(Duration::from_millis(wait));
                        batch.unwrap()
                    })
                    .collect();
                assert_eq!(loaded.len(), plain.len());
                assert!(plain.iter().zip(&loaded).all(|(a, b)| same(a, b)), "{workers} workers");
            }
        }
    }
}

#[test]
fn transforms_run_in_order_and_see_the_batch_number() {
    for workers in [0, 2] {
        let loader = data()
            .loader(100)
            .workers(workers)
            .map(|mut batch| {
                let add = batch.number() as f32;
                batch.x.make_mut::<f32>()?.iter_mut().for_each(|x| *x += add);
                Ok(batch)
            })
            .map(|mut batch| {
                batch.x.make_mut::<f32>()?.iter_mut().for_each(|x| *x *= 2.0);
                Ok(batch)
            });
        for (plain, changed) in data().array_batches(100).zip(loader) {
            let (plain, changed) = (plain.unwrap(), changed.unwrap());
            let number = plain.number() as f32;
            let (a, b) = (plain.x.to_vec::<f32>().unwrap(), changed.x.to_vec::<f32>().unwrap());
            assert!(a.iter().zip(b).all(|(a, b)| (a + number) * 2.0 == b));
        }
    }
}

#[test]
fn an_error_in_a_worker_arrives_in_its_place_and_ends_the_loader() {
    for workers in [0, 1, 3] {
        let loader = data().loader(100).workers(workers).map(|batch| match batch.number() {
            5 => Err(Error::new(Code::Data, "no fifth batch")),
            _ => Ok(batch),
        });
        let got: Vec<_> = loader.into_iter().collect();
        assert_eq!(got.len(), 6);
        assert!(got[..5].iter().all(Result::is_ok));
        assert_eq!(got[5].as_ref().unwrap_err().title(), "no fifth batch");
    }
}

#[test]
fn a_panic_in_a_worker_becomes_an_error() {
    for workers in [0, 1, 3] {
        let loader = data().loader(100).workers(workers).map(|batch| {
            assert!(batch.number() != 4, "number four");
            Ok(batch)
        });
        let got: Vec<_> = loader.into_iter().collect();
        assert_eq!(got.len(), 5);
        let e = got[4].as_ref().unwrap_err();
        assert_eq!(e.code(), Code::Custom);
        assert!(e.to_string().contains("number four") && e.to_string().contains("batch 4"), "{e}");
    }
}

#[test]
fn a_batch_size_of_zero_is_an_error() {
    for workers in [0, 2] {
        let got: Vec<_> = data().loader(0).workers(workers).into_iter().collect();
        assert_eq!(got.len(), 1);
        assert_eq!(got[0].as_ref().unwrap_err().code(), Code::Argument);
    }
    assert_eq!(data().take(0).loader(4).workers(2).into_iter().count(), 0);
}

#[test]
fn dropping_a_loader_stops_its_workers() {
    let made = Arc::new(AtomicUsize::new(0));
    for workers in [1, 3] {
        made.store(0, Ordering::SeqCst);
        let counter = Arc::clone(&made);
        let loader = data().loader(1).workers(workers).map(move |batch| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(batch)
        });
        let mut running = loader.iter();
        drop(running.next());
        drop(running); // waits for the threads
        let after = made.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(made.load(Ordering::SeqCst), after);
        // One taken; at most two ready, one waiting to be handed over and one in the making each.
        assert!(after <= 1 + 4 * workers, "{after} batches made by {workers} workers");
        // The closure is gone with the threads, so nobody but the loader keeps the counter.
        drop(loader);
        assert_eq!(Arc::strong_count(&made), 1);
    }
}
