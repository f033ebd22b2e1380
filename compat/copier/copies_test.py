"""The checker of the copier's test must see what it is there for: each test breaks one thing and expects it to be named."""

import pathlib

import copies
from suite import expect_equal, run_checks

# Partition 1 of 3, with 12 messages.
NUMBERS = copies.numbers_of(1, 3, 12)


def wrong_with(*numbers):
    """Of a partition with these numbers; the offsets leave room for transaction markers."""
    return copies.wrong_with([(2 * place, copies.key_of(number), copies.value_of(number)) for place, number in enumerate(numbers)], NUMBERS)


def expect_words(found, words):
    if words not in str(found):
        raise AssertionError(f"{found}: expected {words!r}")


def complete_copy_passes():
    expect_equal(wrong_with(1, 4, 7, 10), None)


def missing_message_is_found():
    expect_words(wrong_with(1, 4, 10), "1 of 4 missing, the first is 7")


def empty_copy_is_found():
    expect_words(wrong_with(), "4 of 4 missing, the first is 1, the last 10")


def message_copied_twice_is_found():
    expect_words(wrong_with(1, 4, 7, 4, 10), "1 more than once, the first is 4 at offsets [2, 6]")


def missing_and_repeated_are_both_named():
    found = wrong_with(1, 4, 4, 10)
    expect_words(found, "1 of 4 missing")
    expect_words(found, "1 more than once")


def swapped_order_is_found():
    expect_words(wrong_with(1, 7, 4, 10), "7 at offset 2 comes before 4 at offset 4")


def message_of_another_partition_is_found():
    expect_words(wrong_with(1, 4, 7, 10, 5), "nobody wrote here")


def message_beyond_the_last_is_found():
    expect_words(wrong_with(1, 4, 7, 10, 13), "nobody wrote here")


def other_key_is_found():
    others = [(number, copies.key_of(number), copies.value_of(number)) for number in NUMBERS[1:]]
    found = copies.wrong_with([(0, b"k2", copies.value_of(1)), *others], NUMBERS)
    expect_words(found, "1 that nobody wrote here, the first at offset 0: b'k2' b'1 ")


def cut_value_is_found():
    expect_words(copies.wrong_with([(0, copies.key_of(1), b"1")], NUMBERS), "nobody wrote here")


def record_without_value_is_found():
    expect_words(copies.wrong_with([(0, copies.key_of(1), None)], NUMBERS), "nobody wrote here")


TESTS = [
    complete_copy_passes,
    missing_message_is_found,
    empty_copy_is_found,
    message_copied_twice_is_found,
    missing_and_repeated_are_both_named,
    swapped_order_is_found,
    message_of_another_partition_is_found,
    message_beyond_the_last_is_found,
    other_key_is_found,
    cut_value_is_found,
    record_without_value_is_found,
]

if __name__ == "__main__":
    run_checks(TESTS, pathlib.Path(__file__).parent)
