"""Confluent's serializers for Python, with their default settings, through topics whose values the broker validates in full.

Each format goes the same way: a schema is registered by the serializer, a compatible one follows, an incompatible one is refused, and old and
new records are read back with either version. Protobuf classes are made without protoc (messages.py).
"""

import dataclasses
import json
import typing

from confluent_kafka import KafkaError, Producer
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryError, record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext, StringSerializer

import kafka_client as kafka
import messages
import orders
from registry import RegistrySuite
from suite import expect_equal, fresh

FULL = {"value.schema.validation": "full"}

suite = RegistrySuite("serializers")


@dataclasses.dataclass
class Serde:
    """What a format needs: serializer and deserializer of a version's schema, and its records from and to plain dictionaries."""

    schemas: dict
    serializer: typing.Callable
    deserializer: typing.Callable
    record: typing.Callable = lambda schema, values: values
    plain: typing.Callable = lambda found: found


def order_class(file):
    return messages.message_class("shop.Order", file)


def without_note(record):
    """As the first version has it."""
    return {name: value for name, value in record.items() if name != "note"}


SERDES = {
    "AVRO": Serde(
        {"first": orders.AVRO.first, "second": orders.AVRO.second, "incompatible": orders.AVRO.incompatible},
        lambda client, schema, conf=None: AvroSerializer(client, schema, conf=conf),
        AvroDeserializer,
        plain=lambda found: {name: value for name, value in found.items() if value is not None},
    ),
    "JSON": Serde(
        {"first": orders.JSON.first, "second": orders.JSON.second, "incompatible": orders.JSON.incompatible},
        lambda client, schema, conf=None: JSONSerializer(schema, client, conf=conf),
        # What the second version added is no property of the first, which is closed: the reader takes the writer's word.
        lambda client, schema: JSONDeserializer(None, schema_registry_client=client),
    ),
    "PROTOBUF": Serde(
        {name: order_class(file) for name, file in [("first", messages.FIRST), ("second", messages.SECOND), ("incompatible", messages.INCOMPATIBLE)]},
        lambda client, schema, conf=None: ProtobufSerializer(schema, client, conf=conf),
        lambda client, schema: ProtobufDeserializer(schema, schema_registry_client=client),
        record=lambda schema, values: schema(**values),
        plain=lambda found: {field.name: value for field, value in found.ListFields()},
    ),
}


def value_of(topic):
    return SerializationContext(topic, MessageField.VALUE)


def write(broker, topic, serializer, records):
    """(partition, offset) of each."""
    return kafka.produce(broker, topic, [serializer(record, value_of(topic)) for record in records])


def read(broker, topic, deserializer):
    return [deserializer(message.value(), value_of(topic)) for message in kafka.read_all(broker, topic)]


@suite.test
def each_format_evolves_and_old_and_new_records_are_read(broker):
    old, new = {"id": "o-1", "total": 5}, {"id": "o-2", "total": 6, "note": "gift"}
    for kind, serde in SERDES.items():
        topic = kafka.create(broker, fresh(kind.lower()), **FULL)
        first, second = serde.schemas["first"], serde.schemas["second"]
        write(broker, topic, serde.serializer(broker.client(), first), [serde.record(first, old)])
        write(broker, topic, serde.serializer(broker.client(), second), [serde.record(second, new)])
        # A producer that was not restarted yet goes on with the first version.
        write(broker, topic, serde.serializer(broker.client(), first), [serde.record(first, old)])
        expect_equal(broker.client().get_versions(f"{topic}-value"), [1, 2], f"{kind}: versions")
        by_second = [serde.plain(found) for found in read(broker, topic, serde.deserializer(broker.client(), second))]
        expect_equal(by_second, [old, new, old], f"{kind}: read by the second version")
        by_first = [serde.plain(found) for found in read(broker, topic, serde.deserializer(broker.client(), first))]
        expect_equal([without_note(found) for found in by_first], [old, without_note(new), old], f"{kind}: read by the first")


@suite.test
def each_format_refuses_an_incompatible_schema_before_anything_is_sent(broker):
    for kind, serde in SERDES.items():
        topic = kafka.create(broker, fresh(f"strict-{kind.lower()}"), **FULL)
        first, incompatible = serde.schemas["first"], serde.schemas["incompatible"]
        write(broker, topic, serde.serializer(broker.client(), first), [serde.record(first, {"id": "o-1", "total": 5})])
        try:
            write(broker, topic, serde.serializer(broker.client(), incompatible), [serde.record(incompatible, {"id": "o-2", "total": "six"})])
        except SchemaRegistryError as error:
            expect_equal(error.error_code, 409, f"{kind}: code")
        else:
            raise AssertionError(f"{kind}: an incompatible schema was registered")
        expect_equal(broker.client().get_versions(f"{topic}-value"), [1], f"{kind}: versions")
        expect_equal(len(kafka.read_all(broker, topic)), 1, f"{kind}: records")


@suite.test
def registered_schemas_are_enough_when_producers_may_not_register(broker):
    for kind, serde in SERDES.items():
        topic = kafka.create(broker, fresh(f"fixed-{kind.lower()}"), **FULL)
        first, second = serde.schemas["first"], serde.schemas["second"]
        write(broker, topic, serde.serializer(broker.client(), first), [serde.record(first, {"id": "o-1", "total": 5})])
        careful = {"auto.register.schemas": False}
        write(broker, topic, serde.serializer(broker.client(), first, careful), [serde.record(first, {"id": "o-2", "total": 6})])
        try:
            write(broker, topic, serde.serializer(broker.client(), second, careful), [serde.record(second, {"id": "o-3", "total": 7})])
        except SchemaRegistryError as error:
            expect_equal(error.error_code, 40403, f"{kind}: code of a schema that is not there")
        else:
            raise AssertionError(f"{kind}: an unknown schema was used")
        expect_equal(len(kafka.read_all(broker, topic)), 2, f"{kind}: records")


@suite.test
def the_latest_schema_may_be_taken_instead_of_ones_own(broker):
    for kind, serde in SERDES.items():
        topic = kafka.create(broker, fresh(f"latest-{kind.lower()}"), **FULL)
        first, second = serde.schemas["first"], serde.schemas["second"]
        for schema, name in [(first, "o-1"), (second, "o-2")]:
            write(broker, topic, serde.serializer(broker.client(), schema), [serde.record(schema, {"id": name, "total": 5})])
        latest = {"auto.register.schemas": False, "use.latest.version": True}
        # Avro writes with the schema it was told to use; a field that the record has not is written by its default.
        write(broker, topic, serde.serializer(broker.client(), first, latest), [serde.record(first, {"id": "o-3", "total": 6})])
        latest_id = broker.client().get_latest_version(f"{topic}-value").schema_id
        message = kafka.read_all(broker, topic)[-1]
        expect_equal(int.from_bytes(message.value()[1:5], "big"), latest_id, f"{kind}: id in the record")


@suite.test
def avro_follows_references(broker):
    client, topic, currency = broker.client(), kafka.create(broker, fresh("avro-refs"), **FULL), fresh("currency")
    client.register_schema(currency, Schema('{"type": "enum", "name": "Currency", "namespace": "shop", "symbols": ["EUR", "USD"]}'))
    text = orders.avro({"name": "currency", "type": "shop.Currency"})
    schema = Schema(text, "AVRO", [SchemaReference("shop.Currency", currency, 1)])
    record = {"id": "o-1", "total": 5, "currency": "USD"}
    write(broker, topic, AvroSerializer(client, schema), [record])
    expect_equal(read(broker, topic, AvroDeserializer(broker.client())), [record], "read back")


@suite.test
def json_follows_references(broker):
    client, topic, currency = broker.client(), kafka.create(broker, fresh("json-refs"), **FULL), fresh("currency")
    client.register_schema(currency, Schema('{"type": "string", "enum": ["EUR", "USD"]}', "JSON"))
    schema = Schema(orders.json_schema(currency={"$ref": "currency.json"}), "JSON", [SchemaReference("currency.json", currency, 1)])
    record = {"id": "o-1", "total": 5, "currency": "USD"}
    write(broker, topic, JSONSerializer(schema, client), [record])
    expect_equal(read(broker, topic, JSONDeserializer(None, schema_registry_client=broker.client())), [record], "read back")
    # The broker follows them, too.
    unchecked = JSONSerializer(schema, client, conf={"validate": False})
    expect_invalid(broker, topic, unchecked({**record, "currency": "DEM"}, value_of(topic)))


@suite.test
def protobuf_registers_what_a_file_imports_and_knows_googles_own(broker):
    topic = kafka.create(broker, fresh("proto-refs"), **FULL)
    priced = messages.message_class("shop.Priced", messages.MONEY_FILE, messages.PRICED)
    record = priced(id="o-1", price={"cents": 499, "currency": "EUR"}, at={"seconds": 1_800_000_000})
    write(broker, topic, ProtobufSerializer(priced, broker.client()), [record])
    latest = broker.client().get_latest_version(f"{topic}-value")
    # The serializer names the subject of an import after the imported file, and leaves out google's own (skip.known.types).
    expect_equal([(found.name, found.subject) for found in latest.schema.references], [(messages.MONEY, messages.MONEY)], "references")
    [found] = read(broker, topic, ProtobufDeserializer(priced, schema_registry_client=broker.client()))
    expect_equal(found, record, "read back")


@suite.test
def protobuf_finds_a_message_inside_another(broker):
    topic = kafka.create(broker, fresh("proto-nested"), **FULL)
    inner = messages.message_class("shop.Outer.Inner", messages.NESTING)
    record = inner(id="o-1", total=5)
    write(broker, topic, ProtobufSerializer(inner, broker.client()), [record])
    [found] = read(broker, topic, ProtobufDeserializer(inner, schema_registry_client=broker.client()))
    expect_equal(found, record, "read back")


@suite.test
def keys_and_values_have_schemas_of_their_own(broker):
    topic = kafka.create(broker, fresh("both"), **FULL, **{"key.schema.validation": "full"})
    client = broker.client()
    key_schema = json.dumps({"type": "record", "name": "Key", "fields": [{"name": "id", "type": "string"}]})
    keys, values = AvroSerializer(client, key_schema), AvroSerializer(client, orders.AVRO.first)
    key = keys({"id": "o-1"}, SerializationContext(topic, MessageField.KEY))
    value = values({"id": "o-1", "total": 5}, value_of(topic))
    kafka.produce(broker, topic, [{"key": key, "value": value}])
    expect_equal(set(client.get_subjects(subject_prefix=topic)), {f"{topic}-key", f"{topic}-value"}, "subjects")
    # The value's schema is none of the key's.
    expect_invalid(broker, topic, value, key=value)


@suite.test
def a_record_strategy_keeps_several_kinds_in_one_topic(broker):
    topic = kafka.create(broker, fresh("kinds"), **FULL, **{"value.schema.subject.name.strategy": "RecordNameStrategy"})
    names = [fresh("Kind").replace("-", "") for _ in range(2)]
    conf = {"subject.name.strategy": record_subject_name_strategy}
    for name in names:
        schema = json.dumps({"type": "record", "name": name, "namespace": "shop", "fields": [{"name": "id", "type": "string"}]})
        write(broker, topic, AvroSerializer(broker.client(), schema, conf=conf), [{"id": name}])
    expect_equal(sorted(broker.client().get_subjects(subject_prefix="shop.Kind")), sorted(f"shop.{name}" for name in names), "subjects")
    expect_equal(read(broker, topic, AvroDeserializer(broker.client())), [{"id": name} for name in names], "read back")


@suite.test
def a_producer_of_another_kind_is_refused_by_the_broker(broker):
    topic = kafka.create(broker, fresh("others"), **FULL)
    write(broker, topic, AvroSerializer(broker.client(), orders.AVRO.first), [{"id": "o-1", "total": 5}])
    expect_invalid(broker, topic, StringSerializer()("o-2", value_of(topic)))
    expect_equal(len(kafka.read_all(broker, topic)), 1, "records")


def expect_invalid(broker, topic, value, key=None):
    """The broker refuses the record."""
    producer, errors = Producer(kafka.settings(broker)), []
    producer.produce(topic, value, key, on_delivery=lambda error, _: errors.append(error))
    expect_equal(producer.flush(kafka.SECONDS), 0, "records without an answer")
    expect_equal([error and error.code() for error in errors], [KafkaError.INVALID_RECORD], "delivery")


if __name__ == "__main__":
    suite.main()
