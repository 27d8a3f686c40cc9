//! Questions and answers that get lost or come late. Invariant: whatever becomes of them, what was granted is counted once, as soon as
//! instance and window have spoken again.

use proptest::prelude::*;

use super::world::World;
use super::{Step, limits, runs, step};
use crate::domain::ring::{Ask, Hold};
use crate::domain::time::SECOND;

/// What becomes of a question.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Heard,
    Lost,
    /// It arrives, its answer does not.
    Unheard,
    /// It arrives so much later, its answer does not.
    Late(i64),
}

/// How likely questions get lost, in percent.
#[derive(Debug)]
pub(super) struct Weather {
    pub(super) charges: u64,
    pub(super) renewals: u64,
    random: u64,
}

impl Weather {
    /// Every answer is heard.
    pub(super) fn fair() -> Self {
        Self { charges: 0, renewals: 0, random: 0 }
    }

    pub(super) fn of_a_charge(&mut self) -> Fate {
        self.fate(self.charges)
    }

    pub(super) fn of_a_renewal(&mut self) -> Fate {
        self.fate(self.renewals)
    }

    fn fate(&mut self, percent: u64) -> Fate {
        if !self.strikes(percent) {
            return Fate::Heard;
        }
        match self.next(4) {
            0 => Fate::Lost,
            1 | 2 => Fate::Unheard,
            _ => Fate::Late(i64::try_from(self.next(400_000)).expect("small")),
        }
    }

    pub(super) fn strikes(&mut self, percent: u64) -> bool {
        percent > 0 && self.next(100) < percent
    }

    /// A number below `bound`, the same for the same seed.
    fn next(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }
}

impl World {
    /// Everybody tells what there is to tell; then the window has counted what was granted, and no more.
    fn is_told_once(&mut self) -> Result<(), TestCaseError> {
        (self.weather.charges, self.weather.renewals) = (0, 0);
        self.pass(3 * SECOND);
        let look = Ask {
            instance: "nobody".into(),
            number: 0,
            unheard: 0,
            sharers: 1,
            hold_ttl: 15 * SECOND,
            rules: self.instances[0].account.plan.load().rules.clone(),
            holds: [Hold::default(); 2],
            spent: Default::default(),
            refunds: Vec::new(),
            need: [0; 2],
        };
        let used = self.window.apply(&look, self.now).used;
        let granted = |unit: usize| self.log.iter().map(|(_, units)| units[unit]).sum::<i64>();
        // Sustained and bytes: their window is longer than the trace.
        prop_assert_eq!([used[0].used, used[2].used], [granted(0), granted(1)]);
        Ok(())
    }
}

/// The longest of these traces is shorter than the window.
fn brisk() -> impl Strategy<Value = Step> {
    step().prop_map(|step| Step { gap: step.gap % 90_000, ..step })
}

proptest! {
    #![proptest_config(runs(300))]

    /// Renewals that get lost put nobody over a limit, and nothing is counted twice.
    #[test]
    fn lost_renewals_leave_the_limit_exact(
        instances in 1..=10usize,
        limits in limits(),
        (renewals, random) in (1..60u64, any::<u64>()),
        steps in prop::collection::vec(brisk(), 1..400),
    ) {
        let mut world = World::new(instances, limits);
        world.weather = Weather { charges: 0, renewals, random };
        for step in steps {
            world.pass(step.gap);
            world.charge(step.instance % instances, step.need);
            world.is_within(0)?;
        }
        world.is_told_once()?;
    }

    /// Charges whose answer is not heard are decided by the own share: no more than the shares on top, and nothing is counted twice.
    #[test]
    fn lost_charges_are_counted_once(
        instances in 1..=10usize,
        limits in limits(),
        (charges, renewals, random) in (1..60u64, 0..60u64, any::<u64>()),
        steps in prop::collection::vec(brisk(), 1..400),
    ) {
        let mut world = World::new(instances, limits);
        world.weather = Weather { charges, renewals, random };
        for step in steps {
            world.pass(step.gap);
            world.charge(step.instance % instances, step.need);
            world.is_within(1)?;
        }
        world.is_told_once()?;
    }
}
