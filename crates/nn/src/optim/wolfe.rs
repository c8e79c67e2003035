//! A line search for the strong Wolfe conditions: cubic interpolation in a bracket. After PyTorch's,
//! which is after minFunc's. Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6.

use gradus_core::Result;

/// A place on the line: how far along, the value there, its slope, and what the caller keeps of it.
#[derive(Clone)]
pub(super) struct Point<G> {
    pub(super) t: f64,
    pub(super) f: f64,
    pub(super) slope: f64,
    pub(super) gradient: G,
}

/// The lowest point of the cubic through two points, kept within bounds.
fn cubic<G>(a: &Point<G>, b: &Point<G>, bounds: Option<(f64, f64)>) -> f64 {
    let (low, high) = bounds.unwrap_or((a.t.min(b.t), a.t.max(b.t)));
    let d1 = a.slope + b.slope - 3.0 * (a.f - b.f) / (a.t - b.t);
    let square = d1 * d1 - a.slope * b.slope;
    // Also where a value is not finite: the line went too far.
    if !(square >= 0.0 && square.is_finite()) {
        return (low + high) / 2.0;
    }
    let d2 = libm::sqrt(square);
    let lowest = match a.t <= b.t {
        true => b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2)),
        false => a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2.0 * d2)),
    };
    if lowest.is_nan() { (low + high) / 2.0 } else { lowest.max(low).min(high) }
}

/// How good a place has to be, and when to stop.
pub(super) struct Search {
    /// The largest element of the direction, in size.
    pub(super) reach: f64,
    pub(super) tolerance: f64,
    pub(super) evaluations: usize,
}

const C1: f64 = 1e-4;
const C2: f64 = 0.9;

impl Search {
    /// A place along the line from `start` that satisfies the conditions, or the best one found, and
    /// how often `at` was asked.
    pub(super) fn run<G: Clone>(
        &self,
        start: &Point<G>,
        first: f64,
        mut at: impl FnMut(f64) -> Result<Point<G>>,
    ) -> Result<(Point<G>, usize)> {
        let slope = start.slope;
        // What is no number is too far.
        let too_high =
            |p: &Point<G>| p.f > start.f + C1 * p.t * slope || p.f.is_nan() || p.slope.is_nan();
        let flat = |p: &Point<G>| p.slope.abs() <= -C2 * slope;
        let (mut previous, mut now) = (start.clone(), at(first)?);
        let (mut count, mut done) = (0, false);
        // A bracket that has a good place inside.
        let mut bracket = loop {
            if count >= self.evaluations {
                break [start.clone(), now];
            }
            if too_high(&now) || (count > 1 && now.f >= previous.f) {
                break [previous, now];
            }
            if flat(&now) {
                done = true;
                break [now.clone(), now];
            }
            if now.slope >= 0.0 {
                break [previous, now];
            }
            let bounds = (now.t + 0.01 * (now.t - previous.t), now.t * 10.0);
            let t = cubic(&previous, &now, Some(bounds));
            previous = now;
            now = at(t)?;
            count += 1;
        };
        let lower = |[a, b]: &[Point<G>; 2]| usize::from(b.f < a.f || a.f.is_nan());
        let mut low = lower(&bracket);
        let mut stuck = false;
        while !done && count < self.evaluations {
            let (least, most) = (bracket[0].t.min(bracket[1].t), bracket[0].t.max(bracket[1].t));
            if (most - least) * self.reach < self.tolerance {
                break;
            }
            let mut t = cubic(&bracket[0], &bracket[1], None);
            // Near an end twice, or at it: go a tenth of the way inside.
            let margin = 0.1 * (most - least);
            if (most - t).min(t - least) < margin {
                if stuck || t >= most || t <= least {
                    t = match (t - most).abs() < (t - least).abs() {
                        true => most - margin,
                        false => least + margin,
                    };
                    stuck = false;
                } else {
                    stuck = true;
                }
            } else {
                stuck = false;
            }
            let new = at(t)?;
            count += 1;
            let high = 1 - low;
            if too_high(&new) || new.f >= bracket[low].f {
                bracket[high] = new;
                low = lower(&bracket);
            } else {
                if flat(&new) {
                    done = true;
                } else if new.slope * (bracket[high].t - bracket[low].t) >= 0.0 {
                    bracket[high] = bracket[low].clone();
                }
                bracket[low] = new;
            }
        }
        let [a, b] = bracket;
        Ok((if low == 0 { a } else { b }, count + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(f: impl Fn(f64) -> (f64, f64), first: f64) -> (f64, usize) {
        let point = |t: f64| Point { t, f: f(t).0, slope: f(t).1, gradient: () };
        let search = Search { reach: 1.0, tolerance: 1e-9, evaluations: 25 };
        let (found, count) = search.run(&point(0.0), first, |t| Ok(point(t))).unwrap();
        let start = point(0.0);
        assert!(found.f <= start.f + C1 * found.t * start.slope, "enough descent at {}", found.t);
        assert!(found.slope.abs() <= -C2 * start.slope, "flat enough at {}", found.t);
        (found.t, count)
    }

    #[test]
    fn the_place_satisfies_the_strong_wolfe_conditions() {
        // Too far, too near, a wall, and a valley far away.
        search(|t| ((t - 1.0).powi(2), 2.0 * (t - 1.0)), 1e3);
        search(|t| ((t - 1.0).powi(2), 2.0 * (t - 1.0)), 1e-3);
        search(|t| (-t + (30.0 * (t - 2.0)).exp(), -1.0 + 30.0 * (30.0 * (t - 2.0)).exp()), 1.0);
        search(|t| (-(t / (t * t + 2.0)), (t * t - 2.0) / (t * t + 2.0).powi(2)), 10.0);
        // Not a number beyond 1.
        search(
            |t| {
                let root = (1.0 - t).sqrt();
                (root - 3.0 * t + 4.5 * t * t, -0.5 / root - 3.0 + 9.0 * t)
            },
            5.0,
        );
    }
}
