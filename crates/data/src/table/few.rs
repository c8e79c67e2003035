//! The different values of a column of numbers, as long as they are few.

/// More different values than this are not kept.
pub(crate) const MOST: usize = 256;
/// Slots of the table; a power of two, at least twice `MOST`.
const SLOTS: usize = 1024;

/// Different numbers with the way that each was first written, in order of appearance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Few {
    values: Vec<f64>,
    spelled: Vec<Box<str>>,
    /// Place in `values` plus one; 0 is free.
    slots: Vec<u16>,
    many: bool,
    last: u64,
}

impl Few {
    /// Adds a number that is written as `text`.
    #[inline]
    pub(crate) fn add(&mut self, value: f64, text: &[u8]) {
        let bits = value.to_bits();
        if self.many || (bits == self.last && !self.values.is_empty()) {
            return;
        }
        self.insert(value, text);
    }

    fn insert(&mut self, value: f64, text: &[u8]) {
        if self.slots.is_empty() {
            self.slots = vec![0; SLOTS];
        }
        let bits = value.to_bits();
        self.last = bits;
        let mut slot = (bits.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as usize;
        loop {
            slot %= SLOTS;
            let Some(entry) = self.slots.get_mut(slot) else { return };
            match (*entry).checked_sub(1) {
                Some(at) => {
                    if self.values.get(usize::from(at)).is_some_and(|v| v.to_bits() == bits) {
                        return;
                    }
                    slot += 1;
                }
                None if self.values.len() >= MOST => {
                    *self = Few { many: true, ..Few::default() };
                    return;
                }
                None => {
                    self.values.push(value);
                    self.spelled.push(String::from_utf8_lossy(text).into());
                    *entry = self.values.len() as u16;
                    return;
                }
            }
        }
    }

    /// Adds what another one has, in its order.
    pub(crate) fn merge(&mut self, other: &Few) {
        if other.many {
            *self = Few { many: true, ..Few::default() };
        }
        for (&value, text) in other.values.iter().zip(&other.spelled) {
            self.add(value, text.as_bytes());
        }
    }

    /// Values with their spellings in order of appearance; `None` if there are too many.
    pub(crate) fn get(&self) -> Option<impl ExactSizeIterator<Item = (f64, &str)>> {
        let pairs = self.values.iter().copied().zip(self.spelled.iter().map(AsRef::as_ref));
        (!self.many).then_some(pairs)
    }

    pub(crate) fn bytes(&self) -> usize {
        2 * self.slots.capacity()
            + 24 * self.values.capacity()
            + self.spelled.iter().map(|text| text.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_different_values_and_their_first_spelling() {
        let mut few = Few::default();
        for (value, text) in [(1.0, "1"), (2.0, "2.0"), (1.0, "1.00"), (2.0, "2")] {
            few.add(value, text.as_bytes());
        }
        assert_eq!(few.get().unwrap().collect::<Vec<_>>(), [(1.0, "1"), (2.0, "2.0")]);
        let mut other = Few::default();
        (0..MOST).for_each(|i| other.add(i as f64, i.to_string().as_bytes()));
        assert_eq!(other.get().unwrap().len(), MOST);
        few.merge(&other);
        assert_eq!(few.get().unwrap().len(), MOST);
        few.add(-1.0, b"-1");
        assert!(few.get().is_none());
        let mut empty = Few::default();
        empty.merge(&few);
        assert!(empty.get().is_none());
    }
}
