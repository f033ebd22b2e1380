//! Goal: every task is active once, shares are equal, tasks stay where they are, and no process has a task twice. Method: small groups, and
//! random ones that grow and shrink.

use super::*;
use crate::env::Env;
use crate::ids::Timestamp;
use std::collections::HashSet;

fn stateful(id: &str, tasks: i32) -> Subtopology<'_> {
    Subtopology { id, tasks, is_stateful: true }
}

fn subjects<'a>(members: &[&'a str], former: &'a [Tasks]) -> Vec<Subject<'a>> {
    members.iter().zip(former).map(|(process_id, former)| Subject { process_id, former }).collect()
}

fn count(tasks: &TaskSetRef) -> usize {
    tasks.values().map(BTreeSet::len).sum()
}

type TaskSetRef = crate::coordinator::group::records::streams::TaskSet;

#[test]
fn nobody_is_assigned_nothing() {
    assert!(assign(&[], &[stateful("0", 3)], 1).is_empty());
}

#[test]
fn shares_are_equal_and_a_newcomer_takes_as_few_as_it_must() {
    let none = vec![Tasks::default(); 3];
    let first = assign(&subjects(&["a", "b"], &none), &[stateful("0", 6)], 0);
    assert_eq!(first.iter().map(|tasks| count(&tasks.active)).collect::<Vec<_>>(), [3, 3]);
    let former = [first[0].clone(), first[1].clone(), Tasks::default()];
    let second = assign(&subjects(&["a", "b", "c"], &former), &[stateful("0", 6)], 0);
    assert_eq!(second.iter().map(|tasks| count(&tasks.active)).collect::<Vec<_>>(), [2, 2, 2]);
    for (before, after) in first.iter().zip(&second) {
        assert!(after.active["0"].is_subset(&before.active["0"]), "what stays does not move");
    }
}

#[test]
fn who_had_a_standby_takes_over() {
    let none = vec![Tasks::default(); 2];
    let first = assign(&subjects(&["a", "b"], &none), &[stateful("0", 2)], 1);
    let of_first = first[0].active["0"].first().copied().expect("one task");
    assert!(first[1].standby["0"].contains(&of_first));
    let rest = [first[1].clone()];
    let second = assign(&subjects(&["b"], &rest), &[stateful("0", 2)], 1);
    assert_eq!(count(&second[0].active), 2);
    assert!(second[0].standby.is_empty(), "one process has no use of standbys");
}

#[test]
fn only_stateful_tasks_have_standbys() {
    let none = vec![Tasks::default(); 2];
    let parts = [stateful("0", 2), Subtopology { id: "1", tasks: 2, is_stateful: false }];
    let targets = assign(&subjects(&["a", "b"], &none), &parts, 1);
    assert!(targets.iter().all(|tasks| !tasks.standby.contains_key("1")));
    assert_eq!(targets.iter().map(|tasks| count(&tasks.standby)).sum::<usize>(), 2);
}

#[test]
fn random_groups_keep_the_rules() {
    for seed in 0..200 {
        let random = Env::manual(Timestamp(0), seed);
        let below = |bound: u64| usize::try_from(random.below(bound)).expect("small");
        let mut former: Vec<(String, Tasks)> = Vec::new();
        for _ in 0..6 {
            // Some leave, some come.
            former.retain(|_| below(4) > 0);
            for _ in 0..=below(4) {
                former.push((format!("p{}", below(4)), Tasks::default()));
            }
            let parts = [stateful("0", 1 + i32::try_from(below(9)).expect("small")), stateful("1", 4)];
            let replicas = below(3);
            let list: Vec<Subject> = former.iter().map(|(process_id, former)| Subject { process_id, former }).collect();
            let targets = assign(&list, &parts, replicas);
            check(&former, &targets, &parts, replicas, seed);
            for ((_, former), target) in former.iter_mut().zip(targets) {
                *former = target;
            }
        }
    }
}

fn check(members: &[(String, Tasks)], targets: &[Tasks], parts: &[Subtopology], replicas: usize, seed: u64) {
    let processes: HashSet<&str> = members.iter().map(|(process, _)| process.as_str()).collect();
    let mut active: HashMap<TaskId, usize> = HashMap::new();
    let mut standby: HashMap<TaskId, usize> = HashMap::new();
    let mut at: HashSet<(&str, TaskId)> = HashSet::new();
    for ((process, _), target) in members.iter().zip(targets) {
        for (counts, tasks) in [(&mut active, &target.active), (&mut standby, &target.standby)] {
            for task in tasks.iter().flat_map(|(id, own)| own.iter().map(move |partition| (id.clone(), *partition))) {
                assert!(at.insert((process, task.clone())), "seed {seed}: {process} has {task:?} twice");
                *counts.entry(task).or_default() += 1;
            }
        }
    }
    let all = tasks_of(parts.iter());
    let copies = replicas.min(processes.len() - 1);
    for task in &all {
        assert_eq!(active.get(task), Some(&1), "seed {seed}: {task:?}");
        assert_eq!(
            standby.get(task).copied().unwrap_or(0),
            copies,
            "seed {seed}: standbys of {task:?} at {} processes",
            processes.len()
        );
    }
    let most = all.len().div_ceil(members.len());
    let largest = targets.iter().map(|target| count(&target.active)).max().unwrap_or(0);
    assert!(largest <= all.len().div_ceil(processes.len()).max(most), "seed {seed}: {largest} tasks at one member");
}
