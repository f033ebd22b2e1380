"""Holds what the members of a group have read against the file that was produced.

The producer is idempotent, so the log must have each line of the file once, and the lines of one key in the order of the file.
The group is at-least-once: after a crash, records may be delivered again, from the last committed offset on. So, per partition
and in the order of time over all members: the first delivery of an offset comes after the first delivery of every earlier
offset (nothing skipped, nothing lost), and a repeated delivery brings the same bytes again.
"""

import array
import heapq


class Mismatch(Exception):
    """Something that was read is not what was produced."""


def check(produced, members, partitions):
    """`produced`: the file of keyed lines; `members`: the members' files; `partitions`: how many the topic has.

    Returns (number of keys, records that were delivered more than once). Raises Mismatch with the first difference.
    """
    expected = sequences(produced)
    progress = {key: 0 for key in expected}
    home = {}
    log = [array.array("q") for _ in range(partitions)]
    repeated = 0
    for partition, offset, key, value in in_time_order(members):
        seen = log[partition]
        where = f"partition {partition}, offset {offset}"
        if offset > len(seen):
            raise Mismatch(f"{where} was delivered before offset {len(seen)}")
        if offset < len(seen):
            repeated += 1
            if seen[offset] != hash(value):
                raise Mismatch(f"{where} brought other bytes the second time: {value!r}")
            continue
        seen.append(hash(value))
        if home.setdefault(key, partition) != partition:
            raise Mismatch(f"{where}: key {key!r} is in partition {home[key]} too")
        place = progress.get(key)
        if place is None or place >= len(expected[key]):
            raise Mismatch(f"{where}: key {key!r} has more records than the file: {value!r}")
        if expected[key][place] != hash(value):
            raise Mismatch(f"{where}: not record {place} of key {key!r} in the file: {value!r}")
        progress[key] = place + 1
    for key, place in progress.items():
        if place != len(expected[key]):
            raise Mismatch(f"key {key!r}: {place} of {len(expected[key])} records were read")
    return len(expected), repeated


def sequences(produced):
    """Key -> the hashes of its values, in the order of the file; hashes, since three million lines are many."""
    expected = {}
    with open(produced, "rb") as file:
        for text in file:
            key, value = text.rstrip(b"\n").split(b"\t", 1)
            expected.setdefault(key, array.array("q")).append(hash(value))
    return expected


def in_time_order(members):
    for _, _, records in heapq.merge(*(batches(number, path) for number, path in enumerate(members))):
        for record in records:
            partition, offset, key, value = record.split(b"\t", 3)
            yield int(partition), int(offset), key, value


def batches(number, path):
    """(time, member, records) of one member's file; the member's number decides between equal times."""
    time, records = 0, []
    with open(path, "rb") as file:
        for text in file:
            if not text.endswith(b"\n"):
                break  # Cut by kill -9 while it was written; it was never counted as read.
            if text.startswith(b"@"):
                yield time, number, records
                time, records = int(text[1:]), []
            else:
                records.append(text.rstrip(b"\n"))
    yield time, number, records
