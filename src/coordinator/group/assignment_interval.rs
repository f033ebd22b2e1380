//! How long a group waits for its next target assignment (`group.*.assignment.interval.ms`, KIP-1263), and what members of consumer and share groups are told meanwhile
//! (those of Streams are not). Pure.

use crate::ids::Timestamp;

/// The shortest interval that a member is told.
const HEARTBEAT_MS_MIN: i32 = 100;

/// A group's settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Intervals {
    /// `group.*.heartbeat.interval.ms`
    pub heartbeat_ms: i32,
    /// `group.*.assignment.interval.ms`
    pub assignment_ms: i32,
}

/// Whether the group may make its next target, `interval_ms` after it has `made` the one before; `Timestamp(0)`: it has none yet.
pub(super) fn is_over(made: Timestamp, interval_ms: i32, now: Timestamp) -> bool {
    // A clock that was set back far would hold the group up: then it is time as well.
    made == Timestamp(0) || !(0..i64::from(interval_ms)).contains(&now.ms_since(made))
}

/// The heartbeat interval that a member is told: the configured one, or less while the group waits for its next target, which the heartbeat after that time makes.
/// The same as long as nothing changes, so that a repeated request is answered alike.
pub(super) fn heartbeat_interval_ms(intervals: Intervals, is_waiting: bool) -> i32 {
    let Intervals { heartbeat_ms, assignment_ms } = intervals;
    if is_waiting { assignment_ms.max(HEARTBEAT_MS_MIN).min(heartbeat_ms) } else { heartbeat_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_over_after_it_and_when_the_clock_was_set_back() {
        let (made, is_over_at) = (Timestamp(10_000), |now| is_over(Timestamp(10_000), 1000, Timestamp(now)));
        assert_eq!([made.0, 10_999, 11_000, 9_999].map(is_over_at), [false, false, true, true]);
        assert!(is_over(Timestamp(0), 1000, Timestamp(1)), "there is no target yet");
        assert!(is_over(made, 0, made), "without an interval");
    }

    #[test]
    fn who_waits_for_a_target_comes_back_when_it_is_time_and_not_too_often() {
        let told = |assignment_ms, is_waiting| heartbeat_interval_ms(Intervals { heartbeat_ms: 5000, assignment_ms }, is_waiting);
        assert_eq!(told(1000, false), 5000);
        assert_eq!([1000, 0, 60_000].map(|assignment_ms| told(assignment_ms, true)), [1000, HEARTBEAT_MS_MIN, 5000]);
    }
}
