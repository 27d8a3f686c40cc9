//! What readers are told: the same story everywhere, how fresh it is, and under what bounds.

mod books;
mod books_counters;
mod books_model;
mod counters;
mod door;
mod freshness;
mod isolation;
mod plans;
mod replica;
mod sketches;
mod summaries;
