//! Whose request comes next. Invariant: the choice is a pure function of the request's number, so a run can be replayed.

/// How load spreads over accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// Every account alike.
    Uniform,
    /// The k-th account gets 1/k of the first one's share.
    Zipf,
    /// Account 0 gets nine tenths, the others share the rest.
    Whale,
}

/// Share of the whale under [`Mix::Whale`].
const WHALE_SHARE: f64 = 0.9;

/// Picks accounts by number.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// Cumulated shares, the last being 1.
    cumulated: Vec<f64>,
}

impl Accounts {
    /// `count` accounts (at least one) under a mix.
    pub fn new(mix: Mix, count: usize) -> Self {
        let count = count.max(1);
        let weight = |index: usize| match mix {
            Mix::Uniform => 1.0,
            Mix::Zipf => 1.0 / (index + 1) as f64,
            Mix::Whale if count == 1 || index == 0 => WHALE_SHARE,
            Mix::Whale => (1.0 - WHALE_SHARE) / (count - 1) as f64,
        };
        let total: f64 = (0..count).map(weight).sum();
        let mut sum = 0.0;
        let cumulated = (0..count)
            .map(|index| {
                sum += weight(index) / total;
                sum
            })
            .collect();
        Self { cumulated }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.cumulated.len()
    }

    /// The account of request number `request`.
    pub fn pick(&self, request: u64) -> usize {
        let point = (scramble(request) >> 11) as f64 / (1u64 << 53) as f64;
        self.cumulated.partition_point(|&bound| bound <= point).min(self.cumulated.len() - 1)
    }
}

/// SplitMix64: a number that looks random, the same for the same input.
pub fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(mix: Mix, count: usize) -> Vec<u32> {
        let accounts = Accounts::new(mix, count);
        let mut tally = vec![0; count];
        for request in 0..100_000 {
            tally[accounts.pick(request)] += 1;
        }
        tally
    }

    #[test]
    fn uniform_is_even() {
        assert!(tally(Mix::Uniform, 10).iter().all(|&n| (9_500..10_500).contains(&n)));
    }

    #[test]
    fn zipf_falls_as_one_over_k() {
        let tally = tally(Mix::Zipf, 10);
        let ratio = f64::from(tally[0]) / f64::from(tally[4]);
        assert!((4.5..5.5).contains(&ratio), "{ratio}");
    }

    #[test]
    fn the_whale_takes_nine_tenths() {
        let tally = tally(Mix::Whale, 11);
        assert!((89_000..91_000).contains(&tally[0]), "{}", tally[0]);
        assert!(tally[1..].iter().all(|&n| (850..1_150).contains(&n)), "{tally:?}");
    }

    #[test]
    fn one_account_gets_everything_under_any_mix() {
        for mix in [Mix::Uniform, Mix::Zipf, Mix::Whale] {
            assert_eq!(Accounts::new(mix, 1).pick(17), 0);
        }
    }
}
