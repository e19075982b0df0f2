//! How fast a device is, and how long slices of a step may be: short where the window's frames have to find room between
//! them, and never so long that a driver takes the device for hung.

use std::ops::Range;
use std::time::Duration;

/// The seconds that a slice should take where a window draws with the device: a frame waits for two of them at most.
pub const BETWEEN_FRAMES: f64 = 0.004;
/// The seconds of a slice elsewhere: some drivers reset a device that is at one submission for two.
pub const BEFORE_RESET: f64 = 0.25;
/// Slices of the first step, while nothing is known yet.
const AT_FIRST: f64 = 16.0;

/// What is known of a device's pace.
#[derive(Debug, Default)]
pub struct Pace {
    /// Seconds for a unit of work; 0: not known yet.
    seconds: f64,
}

impl Pace {
    /// So much work took so long.
    pub fn took(&mut self, work: f64, time: Duration) {
        if work > 0.0 {
            let seconds = time.as_secs_f64() / work;
            // The first time has the compilation of the kernels in it, so it is soon forgotten.
            self.seconds = if self.seconds == 0.0 { seconds } else { 0.5 * (self.seconds + seconds) };
        }
    }

    /// Cuts pieces of work, in their order, into slices that take so many seconds at most; one piece is never cut.
    pub fn slices(&self, work: &[f64], longest: f64) -> Vec<Range<usize>> {
        let total: f64 = work.iter().sum();
        let most = if self.seconds > 0.0 { longest / self.seconds } else { total / AT_FIRST };
        let mut slices = Vec::new();
        let (mut begin, mut sum) = (0, 0.0);
        for (i, amount) in work.iter().enumerate() {
            if *amount > 0.0 && sum > 0.0 && sum + amount > most {
                slices.push(begin..i);
                (begin, sum) = (i, 0.0);
            }
            sum += amount;
        }
        slices.push(begin..work.len());
        slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_takes_long_is_cut_and_a_short_one_is_not() {
        let work = [0.0, 4.0, 4.0, 0.0, 1.0, 1.0, 1.0, 9.0, 0.0];
        let mut pace = Pace::default();
        // Nothing is known: every sixteenth of the whole by itself, and what hardly counts with it.
        assert_eq!(pace.slices(&work, BETWEEN_FRAMES), [0..2, 2..4, 4..5, 5..6, 6..7, 7..9]);
        pace.took(20.0, Duration::from_millis(15));
        assert_eq!(pace.slices(&work, BETWEEN_FRAMES), [0..2, 2..5, 5..7, 7..9]);
        (0..20).for_each(|_| pace.took(20.0, Duration::from_millis(2)));
        assert_eq!(pace.slices(&work, BETWEEN_FRAMES).len(), 1);
        assert_eq!(pace.slices(&[], BETWEEN_FRAMES).len(), 1);
        (0..20).for_each(|_| pace.took(20.0, Duration::from_millis(300)));
        assert_eq!(pace.slices(&work, BEFORE_RESET), [0..7, 7..9]);
    }
}
