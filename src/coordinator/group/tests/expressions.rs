//! Subscriptions by regular expression: what they match, and when they are looked at again.

use super::consumers::{Consumer, shard_with};
use super::*;

#[test]
fn expressions_match_whole_names_and_follow_the_topics() {
    let mut shard = shard_with(&[("orders", 1), ("orders-eu", 1), ("my-orders", 1)]);
    let mut member = Consumer::matching("a", "orders.*");
    member.beat(&mut shard);
    let topics = |member: &Consumer| member.owned.keys().copied().collect::<BTreeSet<_>>();
    assert_eq!(topics(&member), BTreeSet::from([topic_id("orders"), topic_id("orders-eu")]));
    shard.topics(&[("orders-eu", 1), ("orders-us", 1), ("my-orders", 1)]);
    shard.advance(5000);
    member.beat(&mut shard);
    shard.advance(5000);
    member.beat(&mut shard);
    assert_eq!(topics(&member), BTreeSet::from([topic_id("orders-eu"), topic_id("orders-us")]));
    // It turns to names.
    let turned = ConsumerHeartbeat {
        topics: Some(BTreeSet::from(["my-orders".to_owned()])),
        regex: Some(String::new()),
        ..member.request()
    };
    shard.advance(5000);
    let beat = shard.beat(turned).expect("taken");
    member.heard(beat);
    shard.settle(&mut [&mut member]);
    assert_eq!(topics(&member), BTreeSet::from([topic_id("my-orders")]));
    assert!(shard.restarted().described().members[0].regex.as_deref() == Some(""));
}

#[test]
fn what_a_member_gives_up_by_an_expression_that_matches_nothing_goes_to_another() {
    let mut shard = shard_with(&[("orders", 2)]);
    let (mut first, mut second) = (Consumer::matching("a", "orders.*"), Consumer::matching("b", "orders.*"));
    first.beat(&mut shard);
    second.beat(&mut shard);
    shard.settle(&mut [&mut first, &mut second]);
    assert_eq!((first.count(), second.count()), (1, 1));
    let turned = ConsumerHeartbeat { regex: Some("nothing.*".to_owned()), ..first.request() };
    shard.advance(1000);
    let beat = shard.beat(turned).expect("taken");
    first.heard(beat);
    shard.settle(&mut [&mut first, &mut second]);
    assert_eq!((first.count(), second.count()), (0, 2));
}

#[test]
fn a_topic_that_comes_right_after_the_expressions_were_resolved_is_not_forgotten() {
    let mut shard = shard_with(&[("other", 1)]);
    let mut member = Consumer::matching("a", "orders.*");
    member.beat(&mut shard);
    assert_eq!(member.epoch, 1, "nothing is matched, so nothing has changed");
    shard.topics(&[("other", 1), ("orders", 2)]);
    for _ in 0..12 {
        shard.advance(100);
        member.beat(&mut shard);
    }
    assert_eq!((member.epoch, member.count()), (2, 2));
}

#[test]
fn an_expression_that_comes_right_after_a_topic_does_not_keep_that_from_the_others() {
    let mut shard = shard_with(&[("other", 1)]);
    let (mut first, mut second) = (Consumer::matching("a", "orders.*"), Consumer::matching("b", "oth.*"));
    first.beat(&mut shard);
    shard.topics(&[("other", 1), ("orders", 2)]);
    shard.advance(100);
    second.beat(&mut shard);
    for _ in 0..12 {
        shard.advance(100);
        first.beat(&mut shard);
    }
    second.beat(&mut shard);
    assert_eq!((first.count(), second.count()), (2, 1));
}

#[test]
fn a_clock_that_is_set_back_does_not_keep_expressions_from_being_resolved() {
    let mut shard = shard_with(&[("other", 1)]);
    let mut member = Consumer::matching("a", "orders.*");
    member.beat(&mut shard);
    shard.now = shard.now.plus_ms(-3_600_000);
    shard.topics(&[("other", 1), ("orders", 2)]);
    member.beat(&mut shard);
    assert_eq!((member.epoch, member.count()), (2, 2));
}
