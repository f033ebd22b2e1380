"""Produce requests by hand: what a broker answers for each record, which librdkafka keeps from Python, and the same batch sent twice.

Version 8 of Produce is the first that has errors of records (KIP-467) and the last before tagged fields. Sources: Kafka's protocol guide;
DefaultRecordBatch for the layout of a batch.
"""

import dataclasses
import socket
import struct
import time

import framing

PRODUCE, INIT_PRODUCER_ID = 0, 22
INVALID_RECORD = 87
SECONDS = 30


@dataclasses.dataclass
class Answer:
    error: int
    base_offset: int
    # Index in the batch -> message.
    records: dict
    message: str | None


@dataclasses.dataclass(frozen=True)
class Record:
    value: bytes | None
    key: bytes | None = None
    headers: tuple = ()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def crc_of(byte):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


CRC_TABLE = [crc_of(byte) for byte in range(256)]


def record_bytes(number, record):
    def sized(data):
        return framing.zigzag(-1) if data is None else framing.zigzag(len(data)) + data

    headers = b"".join(sized(name.encode()) + sized(value) for name, value in record.headers)
    # Attributes, and what to add to the batch's time and offset.
    head = b"\x00" + framing.zigzag(0) + framing.zigzag(number)
    body = head + sized(record.key) + sized(record.value) + framing.zigzag(len(record.headers)) + headers
    return framing.zigzag(len(body)) + body


def batch(records, producer_id=-1, epoch=-1, sequence=-1):
    """An uncompressed batch, magic 2."""
    now = time.time_ns() // 1_000_000
    body = struct.pack(">hiqqqhii", 0, len(records) - 1, now, now, producer_id, epoch, sequence, len(records))
    body += b"".join(record_bytes(number, record) for number, record in enumerate(records))
    after_length = struct.pack(">ibI", -1, 2, crc32c(body)) + body
    return struct.pack(">qi", 0, len(after_length)) + after_length


def text(value):
    return struct.pack(">h", -1) if value is None else struct.pack(">h", len(value.encode())) + value.encode()


def call(port, key, version, body):
    """The answer's bytes behind its header."""
    request = struct.pack(">hhi", key, version, 7) + text("by-hand") + body
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as stream:
            [length] = struct.unpack(">i", stream.read(4))
            return Reader(stream.read(length)[4:])


class Reader:
    def __init__(self, data):
        self.data, self.place = data, 0

    def take(self, shape):
        """One number."""
        [value] = struct.unpack_from(f">{shape}", self.data, self.place)
        self.place += struct.calcsize(f">{shape}")
        return value

    def text(self):
        length = self.take("h")
        if length < 0:
            return None
        self.place += length
        return self.data[self.place - length : self.place].decode()


def send(broker, topic, records_or_batch, partition=0):
    """Produces one batch with acks=all and gives the partition's answer."""
    data = records_or_batch if isinstance(records_or_batch, bytes) else batch(records_or_batch)
    head = text(None) + struct.pack(">hii", -1, SECONDS * 1000, 1) + text(topic)
    found = call(broker.port, PRODUCE, 8, head + struct.pack(">iii", 1, partition, len(data)) + data)
    if found.take("i") != 1 or found.text() != topic or found.take("i") != 1 or found.take("i") != partition:
        raise AssertionError(f"an answer for something else: {found.data}")
    error, base_offset, _append_time, _start = found.take("h"), found.take("q"), found.take("q"), found.take("q")
    records = {}
    for _ in range(found.take("i")):
        index = found.take("i")
        records[index] = found.text()
    return Answer(error, base_offset, records, found.text())


def producer_id(broker):
    """A new idempotent producer's (id, epoch)."""
    found = call(broker.port, INIT_PRODUCER_ID, 1, text(None) + struct.pack(">i", 60_000))
    _throttle, error, new_id, epoch = found.take("i"), found.take("h"), found.take("q"), found.take("h")
    if error:
        raise AssertionError(f"InitProducerId: error {error}")
    return new_id, epoch
