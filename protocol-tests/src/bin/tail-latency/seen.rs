//! Which records were received: a bit for each number, so that what is lost and what came twice can be counted.

#[derive(Debug, Clone)]
pub struct Seen {
    bits: Vec<u64>,
    total: u64,
    /// Records that were received once more.
    pub duplicates: u64,
}

impl Seen {
    /// Of numbers from 0 to below `total`.
    pub fn new(total: u64) -> Seen {
        let words = usize::try_from(total.div_ceil(64)).expect("a bit for each record fits into memory");
        Seen { bits: vec![0; words], total, duplicates: 0 }
    }

    /// Marks a record, and answers whether it is new. A number that was never sent is an error of the broker, or of another program.
    pub fn mark(&mut self, number: u64) -> Result<bool, String> {
        if number >= self.total {
            return Err(format!("record {number} was received, which nobody sent"));
        }
        let at = usize::try_from(number / 64).expect("below the number of words");
        let bit = 1u64 << (number % 64);
        if self.bits[at] & bit != 0 {
            self.duplicates += 1;
            return Ok(false);
        }
        self.bits[at] |= bit;
        Ok(true)
    }

    /// Adds what another consumer has received of the same records.
    pub fn add(&mut self, other: &Seen) {
        self.duplicates += other.duplicates;
        for (own, more) in self.bits.iter_mut().zip(&other.bits) {
            self.duplicates += u64::from((*own & *more).count_ones());
            *own |= *more;
        }
    }

    pub fn received(&self) -> u64 {
        self.bits.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    pub fn lost(&self) -> u64 {
        self.total - self.received()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_and_what_comes_twice_is_counted() {
        let (mut first, mut second) = (Seen::new(100), Seen::new(100));
        for number in 0..60 {
            assert_eq!(first.mark(number), Ok(true));
        }
        for number in 59..99 {
            assert_eq!(second.mark(number), Ok(true));
        }
        assert_eq!(first.mark(5), Ok(false));
        first.add(&second);
        assert_eq!((first.received(), first.lost(), first.duplicates), (99, 1, 2));
        assert!(first.mark(100).is_err());
    }
}
