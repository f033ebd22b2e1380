"""One kind of record, an order, as a schema of each format: a first version, a second that reads the first, and one that cannot."""

import dataclasses
import json
import typing

import framing


@dataclasses.dataclass(frozen=True)
class Format:
    type: str
    first: str
    second: str
    incompatible: str
    # No schema at all.
    broken: str
    # (id, total) -> the payload, and what stands between the schema's id and the payload.
    payload: typing.Callable
    indexes: bytes
    # What is wrong -> a payload that does not fit the first version.
    misfits: dict

    def value(self, schema_id, name="o-1", total=5):
        return framing.framed(schema_id, self.payload(name, total), self.indexes)

    def misfit_values(self, schema_id):
        return {what: framing.framed(schema_id, payload, self.indexes) for what, payload in self.misfits.items()}


def avro(*more, total="long"):
    fields = [{"name": "id", "type": "string"}, {"name": "total", "type": total}, *more]
    return json.dumps({"type": "record", "name": "Order", "namespace": "shop", "fields": fields})


def fields(*names, **defaults):
    """An Avro record with text fields without default, and with one."""
    plain = [{"name": name, "type": "string"} for name in names]
    defaulting = [{"name": name, "type": "string", "default": default} for name, default in defaults.items()]
    return json.dumps({"type": "record", "name": "Fields", "fields": [*plain, *defaulting]})


def json_schema(total="number", **more):
    properties = {"id": {"type": "string"}, "total": {"type": total, **({"minimum": 0} if total == "number" else {})}, **more}
    # Closed: a property that is added to an open schema may have had any value before, which makes the versions incompatible.
    return json.dumps({"title": "Order", "type": "object", "properties": properties, "required": ["id", "total"], "additionalProperties": False})


def protobuf(*more, total="int64"):
    fields = ["string id = 1;", f"{total} total = 2;", *more]
    return "\n".join(['syntax = "proto3";', "package shop;", "message Order {", *(f"  {field}" for field in fields), "}", ""])


AVRO = Format(
    "AVRO",
    avro(),
    avro({"name": "note", "type": ["null", "string"], "default": None}),
    avro(total="string"),
    '{"type": "record", "name": "Order"}',
    framing.avro_order,
    b"",
    {
        "nothing": b"",
        "cut short": framing.avro_text("o-1"),
        "something behind": framing.avro_order("o-1", 5) + b"\x00",
        "a text longer than the value": framing.zigzag(1000) + b"o-1",
        "a text of negative length": framing.zigzag(-1) + framing.zigzag(5),
        "invalid UTF-8": framing.zigzag(2) + b"\xff\xff" + framing.zigzag(5),
        "a number without end": framing.avro_text("o-1") + b"\xff" * 11,
    },
)
JSON = Format(
    "JSON",
    json_schema(),
    json_schema(note={"type": "string"}),
    json_schema(total="string"),
    '{"type": "no such type"}',
    framing.json_order,
    b"",
    {
        "nothing": b"",
        "no JSON": b"{",
        "something behind": framing.json_order("o-1", 5) + b"{}",
        "less than the minimum": framing.json_order("o-1", -4),
        "another type": b'{"id": 1, "total": 5}',
        "a property missing": b'{"id": "o-1"}',
        "a property too many": b'{"id": "o-1", "total": 5, "more": 1}',
        "no object": b"[]",
        "invalid UTF-8": b'{"id": "\xff", "total": 5}',
    },
)
PROTOBUF = Format(
    "PROTOBUF",
    protobuf(),
    protobuf("string note = 3;"),
    protobuf(total="string"),
    "message {",
    framing.protobuf_order,
    framing.FIRST_MESSAGE,
    {
        "cut short": framing.protobuf_order("o-1", 5)[:-1],
        "a text longer than the value": b"\x0a\x7fo-1",
        "a number without end": b"\x10" + b"\xff" * 11,
        "field number 0": b"\x00\x05",
        "a group that does not end": b"\x1b",
        "invalid UTF-8": framing.protobuf_text(1, b"\xff\xff"),
    },
)
FORMATS = [AVRO, JSON, PROTOBUF]
# Of the frame, not the payload. Protobuf has one more: a message that the file does not have.
MISFRAMED = {
    "empty": b"",
    "only the magic byte": b"\x00",
    "half an id": b"\x00\x00\x00",
    "another magic byte": b"\x07" + framing.framed(1, b"{}")[1:],
    "an unknown id": framing.framed(2_000_000_000, b"{}"),
    "an id below zero": b"\x00\xff\xff\xff\xff{}",
    "plain text": b"hello, world",
}
