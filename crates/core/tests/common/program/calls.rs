//! The calls that a program is made of: one family of operations a method.

use gradus_core::{DType, Operand, Shape, Tensor};

use super::{Machine, Val, derived, narrow};

impl Machine {
    pub(super) fn unary(&mut self, x: &Val, p: u16) {
        let (t, n) = (&x.t, &x.name);
        let b = x.bound;
        // Kinks are moved away from where values meet.
        let (y, bound, text) = match p % if self.smooth { 16 } else { 22 } {
            0 => (t.tanh(), 1.0, format!("{n}.tanh()")),
            1 => (t.sigmoid(), 1.0, format!("{n}.sigmoid()")),
            2 => (-t, b, format!("-{n}")),
            3 => (t.square(), b * b, format!("{n}.square()")),
            4 => (t.sin(), 1.0, format!("{n}.sin()")),
            5 => (t.cos(), 1.0, format!("{n}.cos()")),
            6 => (t.gelu(), b, format!("{n}.gelu()")),
            7 => (t.gelu_tanh(), b, format!("{n}.gelu_tanh()")),
            8 => (t.erf(), 1.0, format!("{n}.erf()")),
            9 => ((t - 1.0).exp(), (b - 1.0).exp(), format!("({n} - 1.0).exp()")),
            10 => (t.expm1(), b.exp(), format!("{n}.expm1()")),
            11 => (
                (t.square() + 1.1).log(),
                (b * b + 1.1).ln(),
                format!("({n}.square() + 1.1).log()"),
            ),
            12 => (t.square().log1p(), (b * b).ln_1p(), format!("{n}.square().log1p()")),
            13 => ((t.square() + 0.5).sqrt(), b + 1.0, format!("({n}.square() + 0.5).sqrt()")),
            14 => ((t.square() + 0.5).rsqrt(), 1.5, format!("({n}.square() + 0.5).rsqrt()")),
            15 => ((t.square() + 0.6).recip(), 1.7, format!("({n}.square() + 0.6).recip()")),
            16 => ((t + 0.0213).relu(), b + 0.03, format!("({n} + 0.0213).relu()")),
            17 => ((t + 0.0213).abs(), b + 0.03, format!("({n} + 0.0213).abs()")),
            18 => (t.clamp(-0.437, 0.518), 0.6, format!("{n}.clamp(-0.437, 0.518)")),
            19 => ((t + 0.0213).sign(), 1.0, format!("({n} + 0.0213).sign()")),
            20 => {
                ((t * 3.7 + 0.123).floor(), b * 4.0 + 2.0, format!("({n} * 3.7 + 0.123).floor()"))
            }
            _ => ((t * 3.7 + 0.123).round(), b * 4.0 + 2.0, format!("({n} * 3.7 + 0.123).round()")),
        };
        self.push(y, bound, text);
    }

    pub(super) fn binary(&mut self, x: &Val, y: &Val, p: u16) {
        let (x, y) = self.fit(x, y, 0);
        let (s, t) = (&x.t, &y.t);
        let (a, b) = (x.bound, y.bound);
        let (n, m) = (&x.name, &y.name);
        let (z, bound, text) = match p % if self.smooth { 6 } else { 9 } {
            0 => (s + t, a + b, format!("{n} + {m}")),
            1 => (s - t, a + b, format!("{n} - {m}")),
            2 | 3 => (s * t, a * b, format!("{n} * {m}")),
            4 => (s / (t.square() + 0.7), a * 1.5, format!("{n} / ({m}.square() + 0.7)")),
            5 => {
                let base = s.square() + 0.8;
                (base.pow(t), (a * a + 1.3).powf(b), format!("({n}.square() + 0.8).pow({m})"))
            }
            6 => (s.maximum(t + 0.0371), a.max(b) + 0.04, format!("{n}.maximum({m} + 0.0371)")),
            7 => (s.minimum(t + 0.0371), a.max(b) + 0.04, format!("{n}.minimum({m} + 0.0371)")),
            _ => (
                s.maximum(t - 0.511).minimum(0.377),
                a.max(b) + 0.6,
                format!("{n}.maximum({m} - 0.511).minimum(0.377)"),
            ),
        };
        self.push(z, bound, text);
    }

    /// Some axes of x; maybe none, maybe all.
    fn axes(x: &Val, code: u16) -> Vec<isize> {
        (0..x.rank()).filter(|i| code >> i & 1 == 1).map(|i| i as isize).collect()
    }

    pub(super) fn reduce(&mut self, x: &Val, b: u16, p: u16) {
        let axes = if b % 3 == 0 { (0..x.rank() as isize).collect() } else { Machine::axes(x, b) };
        let count: usize = axes.iter().map(|&i| x.dims()[i as usize]).product();
        let (t, n, axes) = (&x.t, &x.name, axes.as_slice());
        let b = x.bound;
        let kind = if count == 0 { 0 } else { p % if self.smooth { 4 } else { 6 } };
        let (y, bound, text) = match kind {
            0 => (t.sum_dim(axes), b * count.max(1) as f64, format!("{n}.sum_dim({axes:?})")),
            1 => (t.sum_keepdim(axes), b * count as f64, format!("{n}.sum_keepdim({axes:?})")),
            2 => (t.mean_dim(axes), b, format!("{n}.mean_dim({axes:?})")),
            3 => (t.var_keepdim(axes, 0), b * b, format!("{n}.var_keepdim({axes:?}, 0)")),
            kind => {
                // A ramp, so that no two elements are nearly equal.
                let ramp = ramp(x);
                let t = t + ramp;
                match kind {
                    4 => (t.max_dim(axes), b + 0.5, format!("({n} + ramp).max_dim({axes:?})")),
                    _ => (
                        t.min_keepdim(axes),
                        b + 0.5,
                        format!("({n} + ramp).min_keepdim({axes:?})"),
                    ),
                }
            }
        };
        self.push(y, bound, text);
    }

    pub(super) fn view(&mut self, x: &Val, b: u16, p: u16) {
        let (t, n, rank) = (&x.t, &x.name, x.rank());
        let axis = if rank == 0 { 0 } else { (usize::from(b) % rank) as isize };
        let size = if rank == 0 { 1 } else { x.dims()[axis as usize] };
        let (y, text) = match p % 9 {
            0 if rank >= 2 => (t.transpose(axis, -1), format!("{n}.transpose({axis}, -1)")),
            1 if rank >= 1 => (t.flip(axis), format!("{n}.flip({axis})")),
            2 if rank >= 1 => {
                (t.slice(axis, 0, isize::MAX, 2), format!("{n}.slice({axis}, 0, MAX, 2)"))
            }
            3 if rank >= 1 && size > 1 => {
                (t.slice(axis, -1, 0, -2), format!("{n}.slice({axis}, -1, 0, -2)"))
            }
            4 => (t.reshape([-1]), format!("{n}.reshape([-1])")),
            5 if rank < 5 => {
                let at = (usize::from(b) % (rank + 1)) as isize;
                (t.unsqueeze(at), format!("{n}.unsqueeze({at})"))
            }
            6 if rank < 5 && x.numel() < 100 => {
                let mut to: Vec<usize> =
                    x.dims().iter().map(|&d| if d == 1 { 3 } else { d }).collect();
                to.insert(0, 2);
                (t.broadcast_to(to.as_slice()), format!("{n}.broadcast_to({to:?})"))
            }
            7 if rank == 3 => (t.permute([2, 0, 1]), format!("{n}.permute([2, 0, 1])")),
            7 if rank == 4 => (t.permute([1, 3, 0, 2]), format!("{n}.permute([1, 3, 0, 2])")),
            8 if x.numel() % 2 == 0 && x.numel() > 0 => {
                (t.reshape([2, -1]), format!("{n}.reshape([2, -1])"))
            }
            _ if rank >= 1 && size > 1 => {
                (t.narrow(axis, 1, size - 1), format!("{n}.narrow({axis}, 1, {})", size - 1))
            }
            _ => (t.flatten(0), format!("{n}.flatten(0)")),
        };
        self.push(y, x.bound, text);
    }

    pub(super) fn product(&mut self, x: &Val, y: &Val, p: u16) {
        let lift = |v: &Val| match v.rank() {
            0 => derived(v, v.t.reshape([1, 1]), "reshape([1, 1])"),
            1 if p % 2 == 0 => derived(v, v.t.unsqueeze(0), "unsqueeze(0)"),
            _ => v.clone(),
        };
        let (mut x, mut y) = (lift(x), lift(y));
        if p % 3 == 0 && y.rank() >= 2 {
            y = derived(&y, y.t.mT(), "mT()");
        }
        let inner = if y.rank() == 1 { 0 } else { y.rank() - 2 };
        let (i, j) = (x.dims()[x.rank() - 1], y.dims()[inner]);
        let k = i.min(j);
        let last = x.rank() - 1;
        (x, y) = (narrow(&x, last, k), narrow(&y, inner, k));
        if x.rank() > 2 && y.rank() > 2 {
            (x, y) = self.fit(&x, &y, 2);
        }
        let (n, m) = (&x.name, &y.name);
        let bound = x.bound * y.bound * k.max(1) as f64;
        let mut z = x.t.matmul(&y.t);
        let mut text = format!("{n}.matmul({m})");
        let mut b = bound;
        if let (true, Ok(shape)) = (p % 4 > 1, z.shape())
            && shape.rank() > 0
        {
            // A bias from another value, and maybe a ReLU: the epilogue of a product.
            let bias = self.float(p / 7);
            let flat = bias.t.reshape([-1]);
            let size = shape.last(0);
            if bias.numel() >= size {
                z = z + flat.narrow(0, 0, size);
                b += bias.bound;
                text = format!("{text} + {}.reshape([-1]).narrow(0, 0, {size})", bias.name);
                if p % 8 > 5 && !self.smooth {
                    z = (z + 0.0213).relu();
                    text = format!("({text} + 0.0213).relu()");
                }
            }
        } else if p % 8 == 1 && y.rank() == 2 && !self.smooth {
            let bias = Tensor::from(vec![0.0213f32; y.dims()[1]]).cast(x.t.dtype().unwrap());
            z = x.t.linear(y.t.mT(), Some(&bias as &dyn Operand)).relu();
            b += 0.1;
            text = format!("{n}.linear({m}.mT(), Some(&[0.0213; ..])).relu()");
        }
        self.push(z, b, text);
    }

    /// An index of a shape, into an axis of a size, that depends on the integers of the program.
    fn index(&self, shape: &[usize], below: usize, code: u16) -> (Tensor, String) {
        let seed = Machine::pick(&self.ints, code);
        let n = shape.iter().product::<usize>() as i64;
        let base = Tensor::arange(0, n) * 7 + seed.t.sum();
        let index = (base % below as i64).reshape_to(Shape::new(shape));
        (index, format!("index({}, below {below})", seed.name))
    }

    pub(super) fn indexing(&mut self, x: &Val, y: &Val, b: u16, p: u16) {
        if x.rank() == 0 || x.numel() == 0 {
            return self.numbers(x, p);
        }
        let axis = usize::from(b) % x.rank();
        let size = x.dims()[axis];
        let (a, n) = (axis as isize, &x.name);
        let count = usize::from(p / 5) % 5;
        let mut dims = x.dims();
        dims[axis] = count;
        match p % 4 {
            0 => {
                if p % 8 == 4 {
                    dims[(axis + 1) % x.rank()] = 1;
                }
                let (index, text) = self.index(&dims, size, b);
                self.push(
                    x.t.gather(a, &index),
                    x.bound,
                    format!("{n}.gather({a}, {text} {dims:?})"),
                );
            }
            1 => {
                let (index, text) = self.index(&[count], size, b);
                self.push(
                    x.t.index_select(a, &index),
                    x.bound,
                    format!("{n}.index_select({a}, {text})"),
                );
            }
            kind => {
                // A source of that shape, out of the other value.
                let total: usize = dims.iter().product();
                let flat = y.t.reshape([-1]);
                let reach = y.numel().min(total);
                if reach == 0 {
                    return self.numbers(x, p);
                }
                let source = flat.narrow(0, 0, reach).mean() * ones(&dims, x);
                let bound = x.bound + y.bound * count.max(1) as f64;
                let (z, text) = if kind == 2 {
                    let (index, text) = self.index(&dims, size, b);
                    (x.t.scatter_add(a, &index, &source), format!("{n}.scatter_add({a}, {text}"))
                } else {
                    let (index, text) = self.index(&[count], size, b);
                    (x.t.index_add(a, &index, &source), format!("{n}.index_add({a}, {text}"))
                };
                let text = format!("{text}, mean({}[..{reach}]) to {dims:?})", y.name);
                self.push(z, bound, text);
            }
        }
    }

    pub(super) fn rows(&mut self, x: &Val, p: u16) {
        if x.rank() == 0 {
            return self.numbers(x, p);
        }
        let axis = (usize::from(p / 4) % x.rank()) as isize;
        let n = &x.name;
        match p % 4 {
            0 => self.push(x.t.softmax(axis), 1.0, format!("{n}.softmax({axis})")),
            1 => self.push(
                x.t.log_softmax(axis),
                x.bound * 2.0 + 6.0,
                format!("{n}.log_softmax({axis})"),
            ),
            _ => {
                let logits = match x.rank() {
                    1 => derived(x, x.t.unsqueeze(0), "unsqueeze(0)"),
                    2 => x.clone(),
                    _ => derived(x, x.t.flatten(1), "flatten(1)"),
                };
                let [rows, classes] = logits.t.dims::<2>().unwrap();
                if rows == 0 || classes == 0 {
                    return self.numbers(x, p);
                }
                let (ids, text) = self.index(&[rows], classes, p);
                let n = &logits.name;
                let bound = x.bound * 2.0 + 6.0;
                if p % 4 == 2 {
                    self.push(
                        logits.t.cross_entropy(&ids),
                        bound,
                        format!("{n}.cross_entropy({text})"),
                    );
                } else {
                    let y = logits.t.cross_entropy_rows(&ids);
                    self.push(y, bound, format!("{n}.cross_entropy_rows({text})"));
                }
            }
        }
    }

    /// Comparisons and what follows from them.
    pub(super) fn choice(&mut self, x: &Val, y: &Val, p: u16) {
        let (x, y) = self.fit(x, y, 0);
        if self.smooth {
            return self.push(&x.t * &y.t, x.bound * y.bound, format!("{} * {}", x.name, y.name));
        }
        let (n, m) = (&x.name, &y.name);
        match p % 4 {
            0 => self.push(x.t.gt(&y.t + 0.0371), 1.0, format!("{n}.gt({m} + 0.0371)")),
            1 => {
                let c = x.t.lt(&y.t - 0.0371);
                let z = c.where_(&x.t, &y.t * 0.5);
                let text = format!("{n}.lt({m} - 0.0371).where_({n}, {m} * 0.5)");
                self.push(z, x.bound.max(y.bound), text);
            }
            2 if !self.bools.is_empty() => {
                let c = Machine::pick(&self.bools, p / 4);
                let (c, x) = self.fit(&c, &x, 0);
                let z = c.t.where_(&x.t, 0.25);
                self.push(z, x.bound.max(0.25), format!("{}.where_({}, 0.25)", c.name, x.name));
            }
            3 if !self.bools.is_empty() => {
                let (a, b) = (Machine::pick(&self.bools, p / 4), Machine::pick(&self.bools, p / 9));
                let (a, b) = self.fit(&a, &b, 0);
                let z = if p % 8 == 3 { &a.t & &b.t } else { !(&a.t ^ &b.t) };
                let op = if p % 8 == 3 { "and" } else { "not xor" };
                self.push(z, 1.0, format!("{} {op} {}", a.name, b.name));
            }
            _ => self.push(x.t.le(0.2713), 1.0, format!("{n}.le(0.2713)")),
        }
    }

    /// Integers: they are exact, so everything may depend on them.
    pub(super) fn whole(&mut self, a: u16, b: u16, p: u16) {
        let x = Machine::pick(&self.ints, a);
        let y = Machine::pick(&self.ints, b);
        let (x, y) = self.fit(&x, &y, 0);
        let (s, t, n, m) = (&x.t, &y.t, &x.name, &y.name);
        match p % 8 {
            0 => self.push((s + t) % 11, 11.0, format!("({n} + {m}) % 11")),
            1 => self.push((s * t) % 7, 7.0, format!("({n} * {m}) % 7")),
            2 => self.push(s.maximum(t - 3), 11.0, format!("{n}.maximum({m} - 3)")),
            3 if x.rank() > 0 && x.numel() > 0 => {
                self.push(s.argmax(0), 11.0, format!("{n}.argmax(0)"))
            }
            4 => self.push(s.sum() % 9, 9.0, format!("{n}.sum() % 9")),
            5 if x.numel() < 200 => {
                let z = (s % 3).one_hot(3).cast(self.floats[0].t.dtype().unwrap());
                self.push(z, 1.0, format!("({n} % 3).one_hot(3)"));
            }
            6 => self.push(s.gt(t), 1.0, format!("{n}.gt({m})")),
            7 if x.rank() > 0 => self.push(s.flip(0), x.bound, format!("{n}.flip(0)")),
            _ => {
                let z = s.cast(self.floats[0].t.dtype().unwrap()) / 5.0;
                self.push(z, 2.3, format!("{n}.cast() / 5.0"));
            }
        }
    }

    pub(super) fn join(&mut self, x: &Val, y: &Val, p: u16) {
        let (x, y) = self.fit(x, y, 0);
        let Some(shape) = x.shape().broadcast(&y.shape()) else { return };
        let (s, t) = (x.t.broadcast_to(shape), y.t.broadcast_to(shape));
        let bound = x.bound.max(y.bound);
        let text = format!("({}, {}) as {shape}", x.name, y.name);
        if shape.rank() > 0 && p % 3 > 0 {
            let axis = (usize::from(p) % shape.rank()) as isize;
            self.push(
                Tensor::concat(&[&s, &t, &s], axis),
                bound,
                format!("concat 3 of {text} on {axis}"),
            );
        } else if shape.rank() < 5 {
            self.push(Tensor::stack(&[&s, &t], 0), bound, format!("stack {text}"));
        }
    }

    pub(super) fn numbers(&mut self, x: &Val, p: u16) {
        let (t, n, b) = (&x.t, &x.name, x.bound);
        let (y, bound, text) = match p % 6 {
            0 => (t * 0.7 + 0.2, b * 0.7 + 0.2, format!("{n} * 0.7 + 0.2")),
            1 => (1.0 - t, b + 1.0, format!("1.0 - {n}")),
            2 => (t / 1.7, b / 1.7, format!("{n} / 1.7")),
            3 => (0.5 / (t.square() + 1.0), 0.5, format!("0.5 / ({n}.square() + 1.0)")),
            4 => (t * 1.0, b, format!("{n} * 1.0")),
            _ => (
                (t.square() + 0.5).pow(1.3),
                (b * b + 0.5).powf(1.3),
                format!("({n}.square() + 0.5).pow(1.3)"),
            ),
        };
        self.push(y, bound, text);
    }

    /// What is rare: other types, noise, cut history.
    pub(super) fn odd(&mut self, x: &Val, y: &Val, p: u16) {
        let (t, n, b) = (&x.t, &x.name, x.bound);
        if self.smooth {
            return match p % 2 {
                0 => self.push(t.dropout(0.25), b * 4.0 / 3.0, format!("{n}.dropout(0.25)")),
                _ if y.numel() > 0 => {
                    self.push(t * y.t.mean(), b * y.bound, format!("{n} * {}.mean()", y.name))
                }
                _ => self.numbers(x, p),
            };
        }
        match p % 7 {
            0 => {
                let z = t.cast(DType::F64).tanh().cast(DType::F32);
                self.push(z, 1.0, format!("{n}.cast(F64).tanh().cast(F32)"));
            }
            1 => self.push(t.dropout(0.25), b * 4.0 / 3.0, format!("{n}.dropout(0.25)")),
            2 => {
                let noise = Tensor::rand(x.shape());
                self.push(t * noise, b, format!("{n} * rand"));
            }
            3 => self.push(t.detach() * t, b * b, format!("{n}.detach() * {n}")),
            4 => {
                let z = (t * 5.0 + 0.317).cast(DType::I64);
                self.fragile(z, format!("({n} * 5.0 + 0.317).cast(I64)"));
            }
            5 if x.rank() > 0 && x.dims()[0] > 0 => {
                let z = (t + ramp(x)).argmax(0);
                self.fragile(z, format!("({n} + ramp).argmax(0)"));
            }
            _ => self.push(
                t.cast(DType::F64).sum().cast(DType::F32) * 0.01,
                b,
                format!("{n} summed in f64 * 0.01"),
            ),
        }
    }

    fn fragile(&mut self, t: Tensor, text: String) {
        let name = format!("v{}", self.count);
        self.count += 1;
        self.log.push(format!("{name} = {text}   {} (not used)", t.shape().unwrap()));
        self.fragile.push(Val { t, name, bound: 0.0 });
    }

    pub(super) fn loss_step(&mut self, x: &Val, y: &Val, p: u16) {
        let (x, y) = self.fit(x, y, 0);
        let shape = x.shape().broadcast(&y.shape()).unwrap();
        if shape.numel() == 0 {
            return self.numbers(&x, p);
        }
        let (s, t) = (x.t.broadcast_to(shape), y.t.broadcast_to(shape));
        let (n, m, b) = (&x.name, &y.name, x.bound + y.bound);
        if p % 2 == 0 {
            self.push(s.mse_loss(&t), b * b, format!("{n}.mse_loss({m}) as {shape}"));
        } else {
            let z = s.binary_cross_entropy_with_logits(&t.sigmoid());
            self.push(z, b + 1.0, format!("{n}.bce({m}.sigmoid()) as {shape}"));
        }
    }
}

/// Numbers that differ, from 0 to less than a half, of a value's shape.
fn ramp(like: &Val) -> Tensor {
    let n = like.numel();
    let step = 0.4737 / n.max(1) as f64;
    let flat = Tensor::arange(0, n as i64).cast(like.t.dtype().unwrap()) * step;
    flat.reshape_to(like.shape())
}

fn ones(dims: &[usize], like: &Val) -> Tensor {
    Tensor::ones(dims).cast(like.t.dtype().unwrap())
}
