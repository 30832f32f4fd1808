//! What is remembered of the first plan's entries: small, as there may be millions.

/// The entries of the first plan: by what they are about, those alike in the plan's order.
#[derive(Default)]
pub(super) struct Known(Vec<Remembered>);

pub(super) struct Remembered {
    id: u128,
    pub(super) content: u128,
    pub(super) place: u64,
    pub(super) from: u32,
    /// Of the first of those that are about the same: how many were taken.
    taken: u32,
}

impl Known {
    /// Remembers the plan's next entry.
    pub(super) fn add(&mut self, [id, content]: [u128; 2], from: u32) {
        self.0.push(Remembered {
            id,
            content,
            place: self.0.len() as u64,
            from,
            taken: 0,
        });
    }

    /// To be called when all are there.
    pub(super) fn sort(&mut self) {
        self.0.sort_unstable_by_key(|known| (known.id, known.place));
    }

    /// The first that is about the same and was not taken yet.
    pub(super) fn take(&mut self, id: u128) -> Option<&Remembered> {
        let first = self.0.partition_point(|known| known.id < id);
        let of_them = self.0.get_mut(first).filter(|known| known.id == id)?;
        let next = first + of_them.taken as usize;
        if self.0.get(next)?.id != id {
            return None;
        }
        self.0[first].taken += 1;
        Some(&self.0[next])
    }

    /// The places of those that were not taken, in order.
    pub(super) fn left(self) -> Vec<u64> {
        let alike = self.0.chunk_by(|a, b| a.id == b.id);
        let left = alike.flat_map(|alike| &alike[alike[0].taken as usize..]);
        let mut places: Vec<u64> = left.map(|known| known.place).collect();
        places.sort_unstable();
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_alike_are_taken_in_order_and_the_rest_is_left() {
        let mut known = Known::default();
        for (id, content) in [(7, 1), (3, 2), (7, 3), (3, 4), (7, 5), (u128::MAX, 6)] {
            known.add([id, content], 0);
        }
        known.sort();
        let mut take = |id| known.take(id).map(|k| (k.content, k.place));
        assert_eq!(take(7), Some((1, 0)));
        assert_eq!(take(7), Some((3, 2)));
        assert_eq!(take(1), None);
        assert_eq!(take(u128::MAX), Some((6, 5)));
        assert_eq!(take(u128::MAX), None);
        assert_eq!(known.left(), [1, 3, 4]);
    }

    /// The module's description of `diff` tells this figure.
    #[test]
    fn an_entry_is_remembered_in_48_bytes() {
        assert_eq!(size_of::<Remembered>(), 48);
    }
}
