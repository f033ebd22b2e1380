//! When a failed event is tried again, and when it is given up. Pure.

/// Delays vary by a fifth in both directions, so that what failed together does not come back together.
const JITTER_PERCENT: u64 = 20;
/// A receiver may ask for as long as the schedule's longest delay, and for this at least.
const RETRY_AFTER_MAX_MS: i64 = 60 * 60 * 1000;

/// Numbers of [`delay_ms`]'s `random`.
pub const RANDOM_BELOW: u64 = 2 * JITTER_PERCENT + 1;

/// Milliseconds until the next attempt, after `attempts` of them (at least one) have failed; `None`: there is none.
///
/// `random`: a number below [`RANDOM_BELOW`]. `retry_after_ms`: what the receiver asked for.
#[must_use]
pub fn delay_ms(schedule: &[i64], attempts: u32, random: u64, retry_after_ms: Option<i64>) -> Option<i64> {
    let at = usize::try_from(attempts).ok()?.checked_sub(1)?;
    let base = *schedule.get(at)?;
    let percent = i64::try_from(100 - JITTER_PERCENT + random.min(2 * JITTER_PERCENT)).unwrap_or(100);
    let delay = base.saturating_mul(percent) / 100;
    Some(delay.max(retry_after_ms.unwrap_or(0).min(longest_ms(schedule))))
}

/// The longest wait that a receiver may ask for.
#[must_use]
pub fn longest_ms(schedule: &[i64]) -> i64 {
    schedule.iter().copied().max().unwrap_or(0).max(RETRY_AFTER_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_follow_the_schedule_and_end_with_it() {
        let schedule = [1000, 5000];
        assert_eq!(delay_ms(&schedule, 1, JITTER_PERCENT, None), Some(1000));
        assert_eq!(delay_ms(&schedule, 2, JITTER_PERCENT, None), Some(5000));
        assert_eq!(delay_ms(&schedule, 3, JITTER_PERCENT, None), None);
        assert_eq!(delay_ms(&schedule, 0, 0, None), None);
        assert_eq!(delay_ms(&schedule, 1, 0, None), Some(800));
        assert_eq!(delay_ms(&schedule, 1, RANDOM_BELOW - 1, None), Some(1200));
    }

    #[test]
    fn a_receiver_may_ask_for_more_within_bounds() {
        assert_eq!(delay_ms(&[1000], 1, JITTER_PERCENT, Some(10_000)), Some(10_000));
        assert_eq!(delay_ms(&[1000], 1, JITTER_PERCENT, Some(1)), Some(1000));
        assert_eq!(delay_ms(&[1000], 1, JITTER_PERCENT, Some(i64::MAX)), Some(RETRY_AFTER_MAX_MS));
        assert_eq!(delay_ms(&[1000], 2, JITTER_PERCENT, Some(1)), None);
    }
}
