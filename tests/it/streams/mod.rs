//! Events as they come in, over both transports: all of them, once, in order, and nobody else's.

mod bounds;
mod client;
mod resume;
mod watch;
