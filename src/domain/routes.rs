//! Which topic an event's name takes, in either lane. Invariant: the same table and name give the same topic, an unknown name takes
//! the default one, and readers never wait for a table to be replaced.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::lane::Lane;

/// Event names with a topic of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicClass {
    /// The topic of its standard lane.
    pub topic: String,
    /// Exact names, or beginnings of names followed by `*`.
    pub event_names: Vec<String>,
}

/// The table in use. Cheap to clone; clones change together.
#[derive(Debug, Clone)]
pub struct Routes {
    default: ByLane,
    table: Arc<RwLock<Arc<Table>>>,
}

/// The topics of both lanes.
#[derive(Debug, Clone)]
struct ByLane {
    standard: Arc<str>,
    bulk: Arc<str>,
}

impl ByLane {
    fn of(standard: &str) -> Self {
        Self { standard: standard.into(), bulk: Lane::Bulk.topic(standard).into() }
    }
}

#[derive(Debug, Default)]
struct Table {
    exact: HashMap<String, ByLane>,
    /// Longest first, so that the closest one is found.
    beginnings: Vec<(String, ByLane)>,
}

impl Routes {
    /// Everything takes the default topic.
    pub fn new(default: &str) -> Self {
        Self { default: ByLane::of(default), table: Arc::default() }
    }

    /// Puts another table in use. Of two classes with one name the first keeps it.
    pub fn replace(&self, classes: &[TopicClass]) {
        let mut table = Table::default();
        for class in classes {
            let topics = ByLane::of(&class.topic);
            for name in &class.event_names {
                match name.strip_suffix('*') {
                    Some(beginning) => table.beginnings.push((beginning.to_owned(), topics.clone())),
                    None => drop(table.exact.entry(name.clone()).or_insert_with(|| topics.clone())),
                }
            }
        }
        table.beginnings.sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        *self.table.write() = Arc::new(table);
    }

    /// The table as it is now, for the events of one request.
    pub fn now(&self) -> RoutesNow {
        RoutesNow { default: self.default.clone(), table: Arc::clone(&self.table.read()) }
    }
}

/// A table that does not change any more.
#[derive(Debug)]
pub struct RoutesNow {
    default: ByLane,
    table: Arc<Table>,
}

/// Which names take one topic. The first that says something about a name decides: its exact name, the longest of its beginnings,
/// else `others`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Names of a class, and whether it is that of the topic.
    pub exact: Vec<(String, bool)>,
    /// Beginnings of names of a class, longest first, and whether it is that of the topic.
    pub beginnings: Vec<(String, bool)>,
    /// Whether names of no class take the topic.
    pub others: bool,
}

impl RoutesNow {
    /// Which names take that topic.
    pub fn names_of(&self, topic: &str) -> Names {
        Names {
            exact: self.table.exact.iter().map(|(name, taken)| (name.clone(), *taken.standard == *topic)).collect(),
            beginnings: self
                .table
                .beginnings
                .iter()
                .map(|(start, taken)| (start.clone(), *taken.standard == *topic))
                .collect(),
            others: *self.default.standard == *topic,
        }
    }

    /// The topic of events of that name: of the exact name, else of the longest beginning.
    pub fn topic(&self, event_name: &str, lane: Lane) -> &Arc<str> {
        let begins = || self.table.beginnings.iter().find(|(beginning, _)| event_name.starts_with(beginning.as_str()));
        let found = self.table.exact.get(event_name).or_else(|| begins().map(|(_, topic)| topic));
        let topics = found.unwrap_or(&self.default);
        match lane {
            Lane::Standard => &topics.standard,
            Lane::Bulk => &topics.bulk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(topic: &str, names: &[&str]) -> TopicClass {
        TopicClass { topic: topic.into(), event_names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn the_closest_class_takes_an_event_and_the_default_the_rest() {
        let routes = Routes::new("e");
        let before = routes.now();
        routes.replace(&[
            class("orders", &["order.*", "refund"]),
            class("paid", &["order.paid.*", "order.paid"]),
            class("late", &["refund", "refund*"]),
        ]);
        let now = routes.clone().now();
        for (name, topic) in [
            ("order.made", "orders"),
            ("order.", "orders"),
            ("order", "e"),
            ("order.paid", "paid"),
            ("order.paid.twice", "paid"),
            ("refund", "orders"),
            ("refunded", "late"),
            ("Order.made", "e"),
        ] {
            assert_eq!(&**now.topic(name, Lane::Standard), topic, "{name}");
            assert_eq!(**now.topic(name, Lane::Bulk), format!("{topic}.bulk"), "{name}");
        }
        assert_eq!(&**before.topic("order.made", Lane::Standard), "e", "a request keeps the table it began with");
        let names = now.names_of("orders");
        assert_eq!(names.beginnings.first(), Some(&("order.paid.".to_owned(), false)), "longest first");
        assert!(names.exact.contains(&("refund".to_owned(), true)) && !names.others);
        assert!(now.names_of("e").others && now.names_of("e").exact.iter().all(|(_, own)| !own));
        assert_eq!(before.names_of("e"), Names { others: true, ..Names::default() });
        routes.replace(&[]);
        assert_eq!(&**routes.now().topic("refund", Lane::Standard), "e");
    }
}
