"""The numbered messages of the copier's test: what each is, where it belongs, and what is wrong with a copy of them.

Message n has n and blanks as its value, one of KEYS keys, and belongs to partition n % partitions. A copier keeps the partition
and copies in order, so that a partition of the copy must have exactly these numbers, each once, in ascending order.
"""

import collections

KEYS = 97
# The tool's producer makes batches of 512 bytes, so that a transaction of some messages has several batches under way.
VALUE_BYTES = 100


def key_of(number):
    return b"k%d" % (number % KEYS)


def value_of(number):
    return (b"%d" % number).ljust(VALUE_BYTES)


def numbers_of(partition, partitions, messages):
    """The numbers that a partition has, in their order."""
    return range(partition, messages, partitions)


def wrong_with(records, numbers):
    """What is wrong with a partition's `records`, (offset, key, value) in the log's order, in words; None when nothing is.

    `numbers`: what must be there.
    """
    offsets, foreign, wrong = collections.defaultdict(list), [], []
    for offset, key, value in records:
        digits = (value or b"").rstrip()
        number = int(digits) if digits.isdigit() else -1
        if number not in numbers or (key, value) != (key_of(number), value_of(number)):
            foreign.append((offset, key, value))
        else:
            offsets[number].append(offset)
    missing = [number for number in numbers if number not in offsets]
    if missing:
        wrong.append(f"{len(missing)} of {len(numbers)} missing, the first is {missing[0]}, the last {missing[-1]}")
    repeated = [number for number in numbers if len(offsets[number]) > 1]
    if repeated:
        wrong.append(f"{len(repeated)} more than once, the first is {repeated[0]} at offsets {offsets[repeated[0]]}")
    if foreign:
        wrong.append("{} that nobody wrote here, the first at offset {}: {!r} {!r}".format(len(foreign), *foreign[0]))
    return "; ".join(wrong or disorder(offsets)) or None


def disorder(offsets):
    """The first number whose offset is below its predecessor's. `offsets`: number -> its one offset."""
    highest, holder = -1, None
    for number in sorted(offsets):
        [offset] = offsets[number]
        if offset < highest:
            return [f"{number} at offset {offset} comes before {holder} at offset {highest}"]
        highest, holder = offset, number
    return []
