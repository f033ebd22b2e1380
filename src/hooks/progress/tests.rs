//! Goal: nothing is lost, nothing is settled before its time, and order is kept where it is asked for, whatever happens. Method: single steps, and
//! random schedules of reads, outcomes, saves and crashes against a model, each from a seed that a failure prints.

use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use uuid::Uuid;

const LANE: LaneKey = LaneKey { topic: TopicId(Uuid::nil()), partition: 0, replay: 0 };
const NOW: Timestamp = Timestamp(1000);

fn at(offset: i64) -> Place {
    Place { lane: LANE, offset }
}

fn reading(count: i64, order: impl Fn(i64) -> Option<u64>) -> Progress {
    let mut progress = Progress::default();
    progress.open(LANE, 0, None);
    for offset in 0..count {
        progress.read(at(offset), order(offset), NOW);
    }
    progress
}

fn offsets(places: Vec<Place>) -> Vec<i64> {
    places.into_iter().map(|place| place.offset).collect()
}

#[test]
fn what_is_settled_out_of_order_is_committed_when_the_rest_is() {
    let mut progress = reading(4, |_| None);
    assert_eq!(progress.committed(LANE), Some(0));
    for (settled, committed) in [(2, 0), (0, 1), (3, 1), (1, 4)] {
        progress.start(at(settled));
        progress.settle(at(settled));
        assert_eq!(progress.committed(LANE), Some(committed), "after {settled}");
    }
    assert_eq!((progress.unsettled(), progress.running()), (0, 0));
    progress.advance(LANE, 9);
    assert_eq!(progress.committed(LANE), Some(9), "records that nobody wants are passed over");
}

#[test]
fn what_waits_moves_with_the_clock() {
    let mut progress = reading(2, |_| None);
    progress.start(at(0));
    progress.retry(at(0), NOW.plus_ms(50));
    progress.shift(-600);
    assert_eq!(progress.next_due(), Some(NOW.plus_ms(-600)));
    assert_eq!(offsets(progress.startable(NOW.plus_ms(-551), 10)), [1]);
    assert_eq!(offsets(progress.startable(NOW.plus_ms(-550), 10)), [1, 0]);
}

#[test]
fn a_failed_event_waits_and_holds_back_its_own_key_only() {
    // Keys: even and odd offsets.
    let mut progress = reading(6, |offset| Some(offset.rem_euclid(2).unsigned_abs()));
    assert_eq!(offsets(progress.startable(NOW, 10)), [0, 1]);
    progress.start(at(0));
    progress.start(at(1));
    assert_eq!(offsets(progress.startable(NOW, 10)), [] as [i64; 0]);
    progress.retry(at(0), NOW.plus_ms(50));
    progress.settle(at(1));
    assert_eq!(offsets(progress.startable(NOW, 10)), [3]);
    assert_eq!(progress.next_due(), Some(NOW), "the next of the other key");
    progress.start(at(3));
    assert_eq!(progress.next_due(), Some(NOW.plus_ms(50)));
    assert_eq!(offsets(progress.startable(NOW.plus_ms(50), 10)), [0]);
    assert_eq!(progress.pending(at(0)).map(|one| one.attempts), Some(1));
}

#[test]
fn without_order_a_failed_event_holds_nothing_back() {
    let mut progress = reading(3, |_| None);
    progress.start(at(0));
    progress.retry(at(0), NOW.plus_ms(50));
    assert_eq!(offsets(progress.startable(NOW, 10)), [1, 2]);
    assert_eq!(offsets(progress.startable(NOW, 1)), [1]);
    // What is due for longer is first.
    assert_eq!(offsets(progress.startable(NOW.plus_ms(50), 10)), [1, 2, 0]);
}

#[test]
fn an_offset_that_somebody_else_committed_is_followed() {
    let mut progress = reading(5, |_| None);
    progress.settle(at(0));
    progress.settle(at(2));
    let stored = progress.stored();
    let [lane] = &stored.lanes[..] else { panic!("one lane: {stored:?}") };
    assert_eq!((lane.committed, lane.next), (1, 5));
    // The group's offset, where reading goes on, and what is unsettled.
    for (committed, next, unsettled) in
        [(1, 5, vec![1, 3, 4]), (3, 5, vec![3, 4]), (5, 5, vec![]), (0, 0, vec![]), (6, 6, vec![])]
    {
        let mut restored = Progress::default();
        restored.restore(lane, committed);
        assert_eq!(restored.reads(LANE), Some((next, i64::MAX)), "committed {committed}");
        assert_eq!(offsets(restored.startable(NOW, 10)), unsettled, "committed {committed}");
        assert_eq!(restored.unsettled(), unsettled.len());
    }
}

#[test]
fn a_reset_forgets_what_is_under_way() {
    let mut progress = reading(5, |_| None);
    progress.start(at(1));
    progress.settle(at(3));
    assert_eq!(progress.reset(LANE, 2), [at(0), at(2), at(4)], "what was not under way");
    assert_eq!((progress.unsettled(), progress.running(), progress.committed(LANE)), (0, 0, Some(2)));
    // Outcomes of what was under way.
    progress.settle(at(1));
    progress.retry(at(3), NOW);
    assert_eq!((progress.unsettled(), progress.running()), (0, 0));
}

#[test]
fn a_replay_ends() {
    let mut progress = Progress::default();
    let replay = LaneKey { replay: 7, ..LANE };
    progress.open(replay, 3, Some(5));
    assert_eq!(progress.reads(replay), Some((3, 5)));
    progress.read(Place { lane: replay, offset: 3 }, None, NOW);
    progress.advance(replay, 5);
    assert_eq!(progress.reads(replay), None);
    assert!(!progress.close_finished());
    assert_eq!(progress.stored().lanes.len(), 1);
    progress.settle(Place { lane: replay, offset: 3 });
    assert!(progress.close_finished() && !progress.has(replay));
    assert_eq!(progress.stored(), Stored::default());
}

/// What the world outside knows.
#[derive(Default)]
struct Model {
    /// How often each offset was settled, over all crashes.
    settled: HashMap<i64, u32>,
    /// As in the group and in the store.
    committed: i64,
    stored: Stored,
}

#[test]
fn random_schedules_lose_nothing_and_keep_order() {
    for seed in 0..300 {
        schedule(seed);
    }
}

fn schedule(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let records = 60;
    let is_ordered = random.random_bool(0.5);
    let order = |offset: i64| is_ordered.then_some(offset.rem_euclid(5).unsigned_abs());
    let mut model = Model::default();
    let mut progress = Progress::default();
    progress.open(LANE, 0, None);
    let mut now = NOW;
    let mut running: Vec<Place> = Vec::new();
    let mut steps = 0;
    while model.committed < records {
        steps += 1;
        assert!(steps < 100_000, "seed {seed}: it does not come to an end");
        now = now.plus_ms(random.random_range(0..5));
        match random.random_range(0..100) {
            0..30 => {
                if let Some((next, _)) = progress.reads(LANE)
                    && next < records
                    && progress.unsettled() < 12
                {
                    if random.random_bool(0.8) {
                        progress.read(at(next), order(next), now)
                    } else {
                        settled(&mut model, &mut progress, next)
                    }
                }
            }
            30..60 => {
                for place in progress.startable(now, 2) {
                    let earlier = progress.lanes[&LANE].unsettled.range(..place.offset);
                    let same = earlier.filter(|(_, one)| one.order.is_some() && one.order == order(place.offset));
                    assert_eq!(same.count(), 0, "seed {seed}: {place:?} is started before one of its key");
                    progress.start(place);
                    running.push(place);
                }
            }
            60..90 if !running.is_empty() => {
                let place = running.swap_remove(random.random_range(0..running.len()));
                if random.random_bool(0.7) {
                    *model.settled.entry(place.offset).or_default() += 1;
                    progress.settle(place);
                } else {
                    progress.retry(place, now.plus_ms(random.random_range(0..20)));
                }
            }
            90..97 => save(&mut model, &progress, &mut random),
            97.. => {
                // A crash: what was under way is lost, and everything since the last save.
                running.clear();
                progress = Progress::default();
                match model.stored.lanes.first() {
                    Some(lane) => progress.restore(lane, model.committed),
                    None => progress.open(LANE, model.committed, None),
                }
            }
            _ => {}
        }
        let counted = progress.lanes.values().map(|lane| lane.unsettled.len()).sum::<usize>();
        assert_eq!(progress.unsettled(), counted, "seed {seed}");
        assert_eq!(progress.running(), running.len(), "seed {seed}");
    }
    for offset in 0..records {
        assert!(model.settled.contains_key(&offset), "seed {seed}: {offset} is lost");
    }
}

/// A record that nobody wants.
fn settled(model: &mut Model, progress: &mut Progress, offset: i64) {
    *model.settled.entry(offset).or_default() += 1;
    progress.advance(LANE, offset + 1);
}

/// First the group's offset, then the rest; a crash may come in between.
fn save(model: &mut Model, progress: &Progress, random: &mut SmallRng) {
    model.committed = progress.committed(LANE).expect("it is open");
    if random.random_bool(0.8) {
        model.stored = progress.stored();
    }
}
