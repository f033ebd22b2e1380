"""The checker of the tour must see what it is there for: each test breaks one thing and expects Mismatch."""

import pathlib
import tempfile

import deliveries
from suite import expect_equal, run_checks

PRODUCED = b"LAX\tone\nSFO\ttwo\nLAX\tthree\n"
GOOD = [b"@1\n0\t0\tLAX\tone\n1\t0\tSFO\ttwo\n", b"@2\n0\t1\tLAX\tthree\n"]


def checked(*members):
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, content in enumerate([PRODUCED, *members]):
            files.append(pathlib.Path(folder) / str(number))
            files[-1].write_bytes(content)
        return deliveries.check(files[0], files[1:], 2)


def expect_mismatch(words, *members):
    try:
        checked(*members)
    except deliveries.Mismatch as error:
        if words not in str(error):
            raise AssertionError(f"{error}: expected {words!r}") from None
    else:
        raise AssertionError(f"nothing found, expected {words!r}")


def complete_reading_passes():
    expect_equal(checked(*GOOD), (2, 0))


def repeated_delivery_is_counted():
    expect_equal(checked(GOOD[0], GOOD[1] + b"@3\n0\t0\tLAX\tone\n"), (2, 1))


def record_cut_by_a_kill_is_not_read():
    expect_equal(checked(GOOD[0] + b"@4\n0\t1\tLA", GOOD[1]), (2, 0))


def lost_record_is_found():
    expect_mismatch("1 of 2 records", GOOD[0])


def skipped_offset_is_found():
    expect_mismatch("before offset 1", GOOD[0], b"@2\n0\t2\tLAX\tthree\n")


def later_offset_read_first_is_found():
    expect_mismatch("before offset 0", b"@3\n0\t0\tLAX\tone\n1\t0\tSFO\ttwo\n", b"@2\n0\t1\tLAX\tthree\n")


def swapped_order_of_a_key_is_found():
    expect_mismatch("not record 0", b"@1\n0\t0\tLAX\tthree\n0\t1\tLAX\tone\n1\t0\tSFO\ttwo\n")


def record_twice_in_the_log_is_found():
    expect_mismatch("more records", *GOOD, b"@9\n1\t1\tSFO\ttwo\n")


def key_in_two_partitions_is_found():
    expect_mismatch("is in partition 0 too", GOOD[0], b"@2\n1\t1\tLAX\tthree\n")


def changed_bytes_on_redelivery_are_found():
    expect_mismatch("other bytes", *GOOD, b"@9\n1\t0\tSFO\tTWO\n")


TESTS = [
    complete_reading_passes,
    repeated_delivery_is_counted,
    record_cut_by_a_kill_is_not_read,
    lost_record_is_found,
    skipped_offset_is_found,
    later_offset_read_first_is_found,
    swapped_order_of_a_key_is_found,
    record_twice_in_the_log_is_found,
    key_in_two_partitions_is_found,
    changed_bytes_on_redelivery_are_found,
]

if __name__ == "__main__":
    run_checks(TESTS, pathlib.Path(__file__).parent)
