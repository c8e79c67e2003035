//! The digits set, embedded: something real to train on without any file or network.

use std::sync::OnceLock;

use gradus_core::{Array, Result};

use crate::dataset::Dataset;
use crate::idx::Idx;

/// 1,797 hand-written digits as rows of 64 grey values in `0..=1`, with classes 0 to 9.
///
/// The test part of *Optical Recognition of Handwritten Digits* (E. Alpaydin, C. Kaynak; UCI Machine
/// Learning Repository, 1998; CC BY 4.0), the set that scikit-learn calls `digits`.
///
/// ```
/// let digits = gradus_data::digits()?;
/// assert_eq!((digits.len(), digits.classes()), (1797, Some(10)));
/// assert_eq!(digits.sample_shape().dims(), [64]);
/// # Ok::<(), gradus_core::Error>(())
/// ```
///
/// # Errors
/// None with a build that passes its tests: the data is part of the program.
pub fn digits() -> Result<Dataset> {
    Ok(digits_images()?.flatten())
}

/// As [`digits`], with samples of shape `[8, 8]`.
///
/// # Errors
/// As [`digits`].
pub fn digits_images() -> Result<Dataset> {
    // Unpacked once, then shared.
    static DIGITS: OnceLock<Result<Dataset>> = OnceLock::new();
    DIGITS.get_or_init(unpack).clone()
}

fn unpack() -> Result<Dataset> {
    let images = include_bytes!("../assets/digits-images-idx3-ubyte.gz");
    let labels = include_bytes!("../assets/digits-labels-idx1-ubyte.gz");
    let images = Idx::parse(images, "the embedded digits")?;
    let labels: Array = Idx::parse(labels, "the embedded labels")?.to_array()?;
    Dataset::from_pixels([8, 8], images.into_data(), labels)?
        .with_scale(1.0 / 16.0)?
        .with_class_names((0..10).map(|digit| digit.to_string()))
        .map(|data| data.with_name("digits"))
}
