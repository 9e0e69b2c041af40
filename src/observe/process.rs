//! What the system says of this process, under the names that Prometheus's own libraries use.

use std::fs;

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// What the process takes, now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) virtual_bytes: u64,
    pub(super) resident_bytes: u64,
    pub(super) threads: u64,
    pub(super) open_files: u64,
    /// `None` where there is no limit.
    pub(super) most_files: Option<u64>,
}

impl Process {
    /// Asks the system; `None` where it does not say.
    pub(super) fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let stat = Stat::read(&stat)?;
        Some(Self {
            cpu_seconds: seconds(stat.ticks),
            virtual_bytes: stat.virtual_bytes,
            resident_bytes: stat.resident_pages * u64::try_from(page_size()).ok()?,
            threads: stat.threads,
            open_files: open_files()?,
            most_files: getrlimit(Resource::Nofile).current,
        })
    }
}

/// Of `/proc/self/stat` (proc_pid_stat(5)), what is shown.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    ticks: u64,
    threads: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read(text: &str) -> Option<Self> {
        // The name, in parentheses, may hold anything. After it comes the third field.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            ticks: field(14)? + field(15)?,
            threads: field(20)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 ticks are three million years")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

/// How many files are open. Newer systems say it at once; on others they are counted, which takes
/// as long as there are many.
fn open_files() -> Option<u64> {
    let directory = "/proc/self/fd";
    match fs::metadata(directory).ok()?.len() {
        // The one that is open while they are counted is not meant.
        0 => u64::try_from(fs::read_dir(directory).ok()?.count()).ok()?.checked_sub(1),
        count => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_shift_the_fields() {
        let text = "7 (a) b (1 2) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 99 4096 12 1";
        let stat = Stat { ticks: 300, threads: 3, virtual_bytes: 4096, resident_pages: 12 };
        assert_eq!(Stat::read(text), Some(stat));
        assert_eq!(Stat::read("7 (a) S 1"), None);
        assert_eq!(Stat::read(""), None);
    }

    #[test]
    fn an_open_file_is_counted() {
        let before = Process::now().unwrap();
        let held: Vec<_> = (0..100).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let now = Process::now().unwrap();
        // Other tests open and close some meanwhile.
        assert!(now.open_files >= before.open_files + 50, "{before:?} {now:?}");
        assert!(now.resident_bytes > 0 && now.threads > 0);
        assert!(now.most_files.is_none_or(|most| most >= now.open_files));
        drop(held);
    }
}
