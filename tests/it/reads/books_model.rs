//! Random loads and a plain recount of them. Invariant: of events with one key the first that was written counts.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use weir::domain::event::{Channel, Event};
use weir::domain::window::Window;

use crate::stores::{at, event};

pub const ACCOUNTS: [&str; 3] = ["a", "b", "whale"];
pub const NAMES: [&str; 3] = ["buy", "click", "view"];
/// First second of the load; just before two summer times begin, off the 15-minute grid.
pub const START: i64 = 1_774_738_123;
pub const SECONDS: i64 = 12 * 3_600;

pub struct Load {
    random: StdRng,
    written: Vec<Event<'static>>,
}

impl Load {
    pub fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), written: Vec::new() }
    }

    /// A batch with new, late and repeated events, some of them changed, some twice in it.
    pub fn batch(&mut self) -> Vec<Event<'static>> {
        let mut batch = Vec::new();
        for _ in 0..self.random.random_range(1..120) {
            let again = self.random.random_bool(0.15);
            let made = match self.written.choose(&mut self.random).filter(|_| again) {
                Some(known) => Event { event_name: "changed".into(), ..known.clone() },
                None => self.fresh(),
            };
            self.written.push(made.clone());
            batch.push(made);
        }
        batch
    }

    fn fresh(&mut self) -> Event<'static> {
        let random = &mut self.random;
        let owner = if random.random_bool(0.6) { "whale" } else { ACCOUNTS[random.random_range(0..3)] };
        let mut made = event(owner, &format!("e{}", random.random::<u64>()));
        made.timestamp = at(START + random.random_range(0..SECONDS));
        made.event_name = NAMES[random.random_range(0..3)].into();
        made.user_id = format!("u{}", random.random_range(0..40)).into();
        made.channel = *Channel::ALL.choose(random).expect("channels");
        made.source = random.random_bool(0.5).then(|| ["app", "shop"][random.random_range(0..2)].into());
        made.value = random.random_bool(0.4).then(|| format!("{}.25", random.random_range(-50..100)).into());
        made
    }

    /// A window that touches the load, of any length.
    pub fn window(&mut self) -> Window {
        let from = START - 1_000 + self.random.random_range(0..SECONDS);
        let length = self.random.random_range(0..SECONDS);
        Window::new(at(from), at(from + length), 2 * SECONDS).expect("window")
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut self.random).expect("not empty")
    }
}

/// The plain recount.
#[derive(Default)]
pub struct Books(BTreeMap<(String, String), Event<'static>>);

impl Books {
    /// Enters what is new; answers how many that are.
    pub fn enter(&mut self, batch: &[Event<'static>]) -> usize {
        let mut new = 0;
        for event in batch {
            let key = (event.account_id.as_str().to_owned(), event.event_id.as_str().to_owned());
            if let Entry::Vacant(place) = self.0.entry(key) {
                place.insert(event.clone());
                new += 1;
            }
        }
        new
    }

    pub fn all<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = &'a Event<'static>> {
        self.0.values().filter(move |event| event.account_id.as_str() == owner)
    }

    pub fn within<'a>(&'a self, owner: &'a str, window: Window) -> impl Iterator<Item = &'a Event<'static>> {
        let inside = move |event: &&Event| {
            (window.from_seconds()..=window.to_seconds()).contains(&event.timestamp.unix_seconds())
        };
        self.all(owner).filter(inside)
    }
}

/// Frequencies, most frequent first, ties by name.
pub fn ranked<'a>(words: impl Iterator<Item = &'a str>) -> Vec<(String, u64)> {
    let mut counts = BTreeMap::<&str, u64>::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    let mut ranked: Vec<_> = counts.into_iter().map(|(word, count)| (word.to_owned(), count)).collect();
    ranked.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    ranked
}
