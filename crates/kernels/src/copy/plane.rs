//! Copies of one small plane of rows and columns.

/// Side of the squares in which planes are transposed.
const SQUARE: usize = 16;

/// Copies `rows x columns` elements; the steps are (along a row, that is down the rows, and along
/// the columns).
///
/// # Safety
/// All elements must be inside both memories, which do not overlap, destinations apart.
pub(super) unsafe fn copy<T: Copy>(
    src: *const T,
    dst: *mut T,
    (rows, columns): (usize, usize),
    (sr, sc): (isize, isize),
    (dr, dc): (isize, isize),
) {
    // SAFETY: every index is below rows and columns.
    unsafe {
        if sc == 1 && dc == 1 {
            for i in 0..rows as isize {
                std::ptr::copy_nonoverlapping(src.offset(i * sr), dst.offset(i * dr), columns);
            }
        } else if sr == 1 && dc == 1 {
            // Down the rows first: that is along the source, whose lines then come in order.
            for j in (0..columns).step_by(SQUARE) {
                for i in (0..rows).step_by(SQUARE) {
                    let size = ((rows - i).min(SQUARE), (columns - j).min(SQUARE));
                    let (i, j) = (i as isize, j as isize);
                    let (from, to) = (src.offset(i + j * sc), dst.offset(i * dr + j));
                    if size == (SQUARE, SQUARE) {
                        square(from, to, sc, dr);
                    } else {
                        each(from, to, size, (1, sc), (dr, 1));
                    }
                }
            }
        } else {
            each(src, dst, (rows, columns), (sr, sc), (dr, dc));
        }
    }
}

/// # Safety
/// As [`copy`].
unsafe fn each<T: Copy>(
    src: *const T,
    dst: *mut T,
    (rows, columns): (usize, usize),
    (sr, sc): (isize, isize),
    (dr, dc): (isize, isize),
) {
    for i in 0..rows as isize {
        for j in 0..columns as isize {
            // SAFETY: the caller's promise.
            unsafe { dst.offset(i * dr + j * dc).write(src.offset(i * sr + j * sc).read()) };
        }
    }
}

/// Transposes one square.
///
/// # Safety
/// As [`copy`], with 16 rows and columns.
#[inline(always)]
unsafe fn square<T: Copy>(src: *const T, dst: *mut T, sc: isize, dr: isize) {
    // SAFETY: the caller's promise.
    unsafe {
        for i in 0..SQUARE as isize {
            for j in 0..SQUARE as isize {
                dst.offset(i * dr + j).write(src.offset(i + j * sc).read());
            }
        }
    }
}
