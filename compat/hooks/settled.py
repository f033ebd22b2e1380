"""Holds what receivers have got, and what the dead-letter topic has, against the events that were committed.

For each endpoint: every event was taken (answered with 2xx) at least once or is a dead letter; nothing else has come; all attempts for one event,
and its dead letter, have one webhook-id and one body, and no two events share an id. Where order per key was asked for, the first attempt for an
event comes only after every earlier event of its key was taken, unless that one is a dead letter. What was taken more than once is counted.

A receiver that was about to answer when the server died has taken the event all the same, and gets it again: at least once.
"""

import collections
import dataclasses


class Mismatch(Exception):
    """Something that was delivered, or was not, is not as it must be."""


@dataclasses.dataclass(frozen=True)
class Event:
    """`number`: of its own; the events of one key are in the order in which they were written."""

    number: int
    key: str


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A request that came in whole; in the order of time for each endpoint. `is_taken`: it was, or was to be, answered with 2xx."""

    endpoint: str
    id: str
    number: int
    body: int
    is_taken: bool


@dataclasses.dataclass(frozen=True)
class Letter:
    endpoint: str
    id: str
    number: int


@dataclasses.dataclass
class Counts:
    """`attempts`: requests that came in. `repeated`: of the taken ones, those beyond the first for their event. `letters`: events that are dead
    letters, `both`: and were taken, too. `letters_repeated`: dead letters beyond the first for their event."""

    attempts: int = 0
    taken: int = 0
    repeated: int = 0
    letters: int = 0
    letters_repeated: int = 0
    both: int = 0


def check(events, attempts, letters, endpoints, ordered=(), untaken=()):
    """`endpoints`: names of those that get all events; `ordered`: of them, those with order per key; `untaken`: those that nothing may reach, so
    that all events are dead letters. Returns endpoint -> Counts. Raises Mismatch with the first difference."""
    known = {event.number: event for event in events}
    if len(known) != len(events):
        raise Mismatch("two events have the same number")
    by_endpoint = {name: ([], []) for name in endpoints}
    for place, entries in enumerate([attempts, letters]):
        for entry in entries:
            if entry.endpoint not in by_endpoint:
                raise Mismatch(f"{entry} is of an endpoint that is none of {', '.join(endpoints)}")
            if entry.number not in known:
                raise Mismatch(f"{entry.endpoint}: event {entry.number} was delivered or given up, but was not committed")
            by_endpoint[entry.endpoint][place].append(entry)
    check_ids(attempts, letters)
    counts = {}
    for name, (tried, given_up) in by_endpoint.items():
        if name in untaken and tried:
            raise Mismatch(f"{name}: event {tried[0].number} reached a receiver that nothing may reach")
        counts[name] = check_endpoint(name, known, tried, given_up)
        if name in ordered:
            check_order(name, events, tried, {letter.number for letter in given_up})
    return counts


def check_ids(attempts, letters):
    """One id and one body for an event at an endpoint, and one event at one endpoint for an id."""
    ids, owners, bodies = {}, {}, {}
    for entry in [*attempts, *letters]:
        owner = (entry.endpoint, entry.number)
        if not entry.id:
            raise Mismatch(f"{entry.endpoint}: event {entry.number} came without an id")
        if ids.setdefault(owner, entry.id) != entry.id:
            raise Mismatch(f"{entry.endpoint}: event {entry.number} has the ids {ids[owner]} and {entry.id}")
        if owners.setdefault(entry.id, owner) != owner:
            raise Mismatch(f"id {entry.id} is of event {owner[1]} at {owner[0]} and of event {owners[entry.id][1]} at {owners[entry.id][0]}")
    for attempt in attempts:
        if bodies.setdefault(attempt.id, attempt.body) != attempt.body:
            raise Mismatch(f"{attempt.endpoint}: event {attempt.number} came with two bodies")


def check_endpoint(name, known, tried, given_up):
    taken = collections.Counter(attempt.number for attempt in tried if attempt.is_taken)
    dead = collections.Counter(letter.number for letter in given_up)
    lost = sorted(known.keys() - taken.keys() - dead.keys())
    if lost:
        raise Mismatch(f"{name}: {len(lost)} events were neither taken nor given up, the first is {lost[0]}")
    return Counts(
        attempts=len(tried),
        taken=len(taken),
        repeated=taken.total() - len(taken),
        letters=len(dead),
        letters_repeated=dead.total() - len(dead),
        both=len(taken.keys() & dead.keys()),
    )


def check_order(name, events, tried, dead):
    # (attempts that came earlier, of the first one at all and of the first that was taken) per event.
    first, first_taken = {}, {}
    for place, attempt in enumerate(tried):
        first.setdefault(attempt.number, place)
        if attempt.is_taken:
            first_taken.setdefault(attempt.number, place)
    before = {}
    for event in events:
        previous = before.get(event.key)
        if event.number in first and previous is not None and first[event.number] < first_taken[previous]:
            raise Mismatch(f"{name}: event {event.number} of key {event.key} was tried before event {previous} was taken")
        # A dead letter lets its key go on, at a time that no receiver knows; the one before it still holds.
        if event.number not in dead:
            before[event.key] = event.number
