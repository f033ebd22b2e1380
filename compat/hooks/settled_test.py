"""The checker of the webhooks' torture must see what it is there for: each test breaks one thing and expects Mismatch."""

import dataclasses
import pathlib

import settled
from settled import Attempt, Counts, Event, Letter
from suite import expect_equal, run_checks

EVENTS = [Event(1, "a"), Event(2, "b"), Event(3, "a")]


def taken(number, endpoint="e", **changes):
    return dataclasses.replace(Attempt(endpoint, f"{endpoint}-{number}", number, number, True), **changes)


def refused(number, endpoint="e"):
    return taken(number, endpoint, is_taken=False)


def letter(number, endpoint="e", **changes):
    return dataclasses.replace(Letter(endpoint, f"{endpoint}-{number}", number), **changes)


def checked(attempts, letters=(), ordered=(), untaken=(), endpoints=("e",)):
    return settled.check(EVENTS, attempts, list(letters), endpoints, ordered, untaken)


def expect_mismatch(words, *arguments, **options):
    try:
        checked(*arguments, **options)
    except settled.Mismatch as error:
        if words not in str(error):
            raise AssertionError(f"{error}: expected {words!r}") from None
    else:
        raise AssertionError(f"nothing found, expected {words!r}")


def complete_delivery_passes():
    expect_equal(checked([taken(2), taken(1), taken(3)], ordered=["e"]), {"e": Counts(attempts=3, taken=3)})


def retries_and_dead_letters_pass():
    found = checked([refused(1), taken(2), refused(1), taken(3)], [letter(1)], ordered=["e"])
    expect_equal(found, {"e": Counts(attempts=4, taken=2, letters=1)})


def repeated_deliveries_are_counted():
    found = checked([taken(1), taken(2), taken(1), taken(3), taken(1), taken(3)], ordered=["e"])
    expect_equal(found, {"e": Counts(attempts=6, taken=3, repeated=3)})


def repeated_dead_letters_and_taken_ones_are_counted():
    found = checked([taken(1), taken(2)], [letter(1), letter(3), letter(3)])
    expect_equal(found, {"e": Counts(attempts=2, taken=2, letters=2, letters_repeated=1, both=1)})


def endpoints_are_counted_apart():
    found = checked([taken(number, name) for number in (1, 2, 3) for name in ("e", "f")], endpoints=("e", "f"))
    expect_equal(found, {name: Counts(attempts=3, taken=3) for name in ("e", "f")})


def an_endpoint_that_nothing_reaches_has_only_letters():
    found = checked([], [letter(1), letter(2), letter(3)], untaken=["e"])
    expect_equal(found, {"e": Counts(letters=3)})


def lost_event_is_found():
    expect_mismatch("1 events were neither taken nor given up, the first is 3", [taken(1), taken(2)])


def event_that_was_only_refused_is_lost():
    expect_mismatch("the first is 1", [refused(1), refused(1), taken(2), taken(3)])


def event_lost_at_one_of_two_endpoints_is_found():
    expect_mismatch("f: 3 events", [taken(1), taken(2), taken(3)], endpoints=("e", "f"))


def event_that_was_not_committed_is_found():
    expect_mismatch("event 4 was delivered or given up, but was not committed", [taken(1), taken(2), taken(3), taken(4)])


def dead_letter_that_was_not_committed_is_found():
    expect_mismatch("event 4", [taken(1), taken(2), taken(3)], [letter(4)])


def request_of_an_unknown_endpoint_is_found():
    expect_mismatch("is of an endpoint that is none of e", [taken(1), taken(2), taken(3), taken(1, "other")])


def id_that_changes_is_found():
    expect_mismatch("event 1 has the ids e-1 and new", [refused(1), taken(1, id="new"), taken(2), taken(3)])


def id_that_differs_in_the_dead_letter_is_found():
    expect_mismatch("event 1 has the ids", [refused(1), taken(2), taken(3)], [letter(1, id="new")])


def id_of_two_events_is_found():
    expect_mismatch("id e-1 is of event 2", [taken(1), taken(2, id="e-1"), taken(3)])


def id_of_two_endpoints_is_found():
    attempts = [taken(number) for number in (1, 2, 3)] + [taken(number, "f") for number in (2, 3)]
    expect_mismatch("id e-1", [*attempts, taken(1, "f", id="e-1")], endpoints=("e", "f"))


def missing_id_is_found():
    expect_mismatch("without an id", [taken(1, id=""), taken(2), taken(3)])


def body_that_changes_is_found():
    expect_mismatch("two bodies", [refused(1), taken(1, body=9), taken(2), taken(3)])


def request_to_an_endpoint_that_nothing_may_reach_is_found():
    expect_mismatch("nothing may reach", [refused(1)], [letter(1), letter(2), letter(3)], untaken=["e"])


def key_out_of_order_is_found():
    expect_mismatch("event 3 of key a was tried before event 1", [taken(3), taken(1), taken(2)], ordered=["e"])


def try_before_the_earlier_one_was_taken_is_found():
    expect_mismatch("event 3 of key a was tried before event 1", [refused(1), refused(3), taken(1), taken(2), taken(3)], ordered=["e"])


def order_holds_across_a_dead_letter():
    events = [Event(1, "a"), Event(2, "a"), Event(3, "a")]
    attempts = [refused(2), taken(3), taken(1)]
    try:
        settled.check(events, attempts, [letter(2)], ["e"], ordered=["e"])
    except settled.Mismatch as error:
        expect_equal("event 2" in str(error), True, f"the mismatch names event 2: {error}")
    else:
        raise AssertionError("nothing found")


def keys_do_not_wait_for_each_other():
    checked([refused(1), taken(2), taken(1), taken(3)], ordered=["e"])


def order_is_not_asked_of_others():
    checked([taken(3), taken(1), taken(2)])


TESTS = [
    complete_delivery_passes,
    retries_and_dead_letters_pass,
    repeated_deliveries_are_counted,
    repeated_dead_letters_and_taken_ones_are_counted,
    endpoints_are_counted_apart,
    an_endpoint_that_nothing_reaches_has_only_letters,
    lost_event_is_found,
    event_that_was_only_refused_is_lost,
    event_lost_at_one_of_two_endpoints_is_found,
    event_that_was_not_committed_is_found,
    dead_letter_that_was_not_committed_is_found,
    request_of_an_unknown_endpoint_is_found,
    id_that_changes_is_found,
    id_that_differs_in_the_dead_letter_is_found,
    id_of_two_events_is_found,
    id_of_two_endpoints_is_found,
    missing_id_is_found,
    body_that_changes_is_found,
    request_to_an_endpoint_that_nothing_may_reach_is_found,
    key_out_of_order_is_found,
    try_before_the_earlier_one_was_taken_is_found,
    order_holds_across_a_dead_letter,
    keys_do_not_wait_for_each_other,
    order_is_not_asked_of_others,
]

if __name__ == "__main__":
    run_checks(TESTS, pathlib.Path(__file__).parent)
