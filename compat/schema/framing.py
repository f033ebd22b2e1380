"""Confluent's wire format, and orders in the three formats, byte by byte: what a broker sees, whatever library wrote it.

A value is a zero byte, the schema's id in four bytes and the payload; in Protobuf, the place of the message in its file stands before the
payload. Sources: Confluent's "Wire format"; the Avro specification, "Binary encoding"; Protobuf's "Encoding".
"""

import json
import struct

# The first message of a file is written in short.
FIRST_MESSAGE = b"\x00"


def framed(schema_id, payload, indexes=b""):
    return b"\x00" + struct.pack(">I", schema_id) + indexes + payload


def varint(number):
    """Seven bits a byte, the lowest first; negative numbers in 64 bits."""
    number &= 2**64 - 1
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def zigzag(number):
    return varint(number << 1 ^ number >> 63)


def message_index(*places):
    """The place of a message: of the outer one in the file, of the next one in that, and so on."""
    return zigzag(len(places)) + b"".join(map(zigzag, places))


def avro_text(text):
    return zigzag(len(text.encode())) + text.encode()


def avro_order(name, total):
    return avro_text(name) + zigzag(total)


def json_order(name, total):
    return json.dumps({"id": name, "total": total}).encode()


def protobuf_text(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def protobuf_order(name, total):
    return protobuf_text(1, name.encode()) + varint(2 << 3) + varint(total)
