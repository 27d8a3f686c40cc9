//! What the figures were measured on. Invariant: nothing that names the machine or its owner.

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};
use weir::domain::time::Timestamp;

/// The machine and the moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Processors this process may use.
    pub cores: usize,
    /// Model of the first one.
    pub processor: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Kernel release.
    pub kernel: String,
    /// Load of the last minute when the run began: above zero somebody else was at work.
    pub load_before: f64,
    /// When the run began.
    pub began: String,
}

impl Machine {
    /// Reads `/proc`; what it does not tell stays empty.
    pub fn read() -> Self {
        let line = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
            found.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let word = |file: &str| fs::read_to_string(file).unwrap_or_default().trim().to_owned();
        let kib = line("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0);
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: line("/proc/cpuinfo", "model name"),
            memory_bytes: 1_024 * kib,
            kernel: word("/proc/sys/kernel/osrelease"),
            load_before: word("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            began: Timestamp::now().to_string(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = self.memory_bytes as f64 / f64::from(1 << 30);
        write!(
            out,
            "{} cores ({}), {gib:.0} GiB, Linux {}, load {} before, {}",
            self.cores, self.processor, self.kernel, self.load_before, self.began
        )
    }
}
