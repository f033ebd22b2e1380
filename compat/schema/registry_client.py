"""Every method of Confluent's registry client for Python, the waiting and the asynchronous one, against the registry inside fbf.

Most tests run twice, once for each client. A client remembers what it has read, so each question comes from a new one. What a client
cannot ask is asked over plain HTTP in registry_api.py.
"""

import asyncio
import base64
import json
import pathlib

from confluent_kafka.schema_registry import (
    AssociationCreateOrUpdateInfo,
    AssociationCreateOrUpdateRequest,
    ConfigCompatibilityLevel,
    Metadata,
    MetadataProperties,
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    SchemaRegistryError,
    ServerConfig,
)
from google.protobuf import descriptor_pb2

import orders
from api import all_of
from orders import AVRO, FORMATS, PROTOBUF
from registry import RegistrySuite, expect_error
from suite import expect_equal, fresh

UNKNOWN_ID = 2_000_000_000
LOOP = asyncio.new_event_loop()

suite = RegistrySuite("registry client")


class Waiting:
    """The asynchronous client, whose calls wait for their answer."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        call = getattr(self.client, name)

        def waited(*arguments, **options):
            found = call(*arguments, **options)
            return LOOP.run_until_complete(found) if asyncio.iscoroutine(found) else found

        waited.__name__ = name
        return waited


def both_clients(test):
    """Adds the test once for each client; `client()` gives it a new one."""

    def with_sync(broker):
        test(broker.client)

    def with_async(broker):
        test(lambda: Waiting(broker.async_client()))

    for kind, run in [("sync", with_sync), ("async", with_async)]:
        run.__name__ = f"{test.__name__}_{kind}"
        suite.test(run)
    return test


def schema(text, schema_type="AVRO", references=(), **more):
    return Schema(text, schema_type, list(references), **more)


def expect_same_text(found, expected, what):
    """The registry may write a schema its own way; JSON is compared as JSON, and Protobuf by what it declares."""
    if expected.lstrip().startswith("{"):
        expect_equal(json.loads(found), json.loads(expected), what)
    else:
        expect_equal(found.split(), expected.split(), what)


@suite.test
def every_public_method_of_the_client_is_asked_here(broker):
    del broker
    source = pathlib.Path(__file__).read_text(encoding="utf-8")
    methods = [name for name, member in vars(SchemaRegistryClient).items() if callable(member) and not name.startswith("_")]
    # `new_client` chooses between this client and a mock, and asks no server.
    expect_equal(
        [name for name in methods if f".{name}(" not in source and f".{name}," not in source and f".{name})" not in source],
        ["new_client"],
        "methods nobody asks",
    )


@both_clients
def errors_have_confluents_codes(client):
    subject = fresh("codes")
    client().register_schema(subject, schema(AVRO.first))
    unknown = fresh("unknown")
    with all_of() as check:
        check(expect_error, 40403, client().get_schema, UNKNOWN_ID)
        check(expect_error, 40403, client().get_subjects_by_schema_id, UNKNOWN_ID)
        check(expect_error, 40403, client().get_schema_versions, UNKNOWN_ID)
        check(expect_error, 40401, client().get_versions, unknown)
        check(expect_error, 40401, client().get_version, unknown, 1)
        check(expect_error, 40401, client().get_latest_version, unknown)
        check(expect_error, 40401, client().lookup_schema, unknown, schema(AVRO.first))
        check(expect_error, 40401, client().delete_subject, unknown)
        check(expect_error, 40401, client().delete_version, unknown, 1)
        check(expect_error, 40401, client().get_referenced_by, unknown, 1)
        check(expect_error, 40402, client().get_version, subject, 99)
        check(expect_error, 40402, client().delete_version, subject, 99)
        check(expect_error, 40402, client().get_referenced_by, subject, 99)
        check(expect_error, 40402, client().test_compatibility, subject, schema(AVRO.first), 99)
        check(expect_error, 40403, client().lookup_schema, subject, schema(AVRO.second))
        check(expect_error, 42202, client().get_version, subject, "first")
        check(expect_error, 42202, client().get_version, subject, 0)
        check(expect_error, 42203, client().set_compatibility, subject, "SIDEWAYS")
        check(expect_error, 42203, client().set_compatibility, None, "SIDEWAYS")
        check(expect_error, 42204, client().update_mode, subject, "SOMETIMES")
        check(expect_error, 42204, client().update_global_mode, "SOMETIMES")
        for kind in FORMATS:
            check(expect_error, 42201, client().register_schema, fresh("broken"), schema(kind.broken, kind.type))
        check(expect_error, 42201, client().register_schema, fresh("broken"), schema(AVRO.first, "XML"))
        check(expect_error, 42201, client().register_schema, fresh("broken"), schema(AVRO.first, "PROTOBUF"))
        check(expect_error, 42201, client().register_schema, fresh("broken"), schema(""))


@both_clients
def schemas_are_registered_looked_up_and_read(client):
    expect_equal(sorted(client().get_schema_types()), ["AVRO", "JSON", "PROTOBUF"], "types")
    for kind in FORMATS:
        subject, first = fresh("life"), schema(kind.first, kind.type)
        schema_id = client().register_schema(subject, first)
        expect_equal(client().register_schema(subject, first), schema_id, "id when registered again")
        expect_equal(client().register_schema_full_response(subject, first).schema_id, schema_id, "id in the whole answer")
        second_id = client().register_schema(subject, schema(kind.second, kind.type))
        expect_equal(second_id == schema_id, False, "ids of two schemas are one")
        expect_equal(client().get_versions(subject), [1, 2], "versions")
        looked_up = client().lookup_schema(subject, first)
        expect_equal((looked_up.subject, looked_up.version, looked_up.schema_id), (subject, 1, schema_id), "looked up")
        for found in [client().get_version(subject, 2), client().get_version(subject), client().get_latest_version(subject)]:
            expect_equal((found.subject, found.version, found.schema_id), (subject, 2, second_id), "latest")
            expect_equal(found.schema.schema_type, kind.type, "type of latest")
            expect_same_text(found.schema.schema_str, kind.second, f"latest {kind.type}")
        for found in [client().get_schema(schema_id), client().get_schema(schema_id, subject), client().get_version(subject, 1).schema]:
            expect_equal((found.schema_type, found.references or []), (kind.type, []), "type and references")
            expect_same_text(found.schema_str, kind.first, f"first {kind.type}")
        expect_equal(subject in client().get_subjects(), True, "in the list of subjects")


@both_clients
def one_schema_has_one_id_in_all_subjects(client):
    text = orders.fields(fresh("a").replace("-", "_"))
    one, two = fresh("one"), fresh("two")
    schema_id = client().register_schema(one, schema(text))
    expect_equal(client().register_schema(two, schema(text)), schema_id, "id in the second subject")
    # White space makes no other schema.
    expect_equal(client().register_schema(two, schema(json.dumps(json.loads(text), indent=2))), schema_id, "id with other white space")
    expect_equal(sorted(client().get_subjects_by_schema_id(schema_id)), [one, two], "subjects of the id")
    expect_equal(client().get_subjects_by_schema_id(schema_id, subject_name=two), [two], "subjects of the id, of one name")
    pairs = [(pair.subject, pair.version) for pair in client().get_schema_versions(schema_id)]
    expect_equal(sorted(pairs), [(one, 1), (two, 1)], "versions of the id")
    expect_equal([pair.subject for pair in client().get_schema_versions(schema_id, subject_name=one)], [one], "versions of the id, of one name")
    client().delete_subject(two)
    expect_equal(client().get_subjects_by_schema_id(schema_id), [one], "subjects after a deletion")
    expect_equal(sorted(client().get_subjects_by_schema_id(schema_id, deleted=True)), [one, two], "deleted ones too")
    expect_equal(len(client().get_schema_versions(schema_id, deleted=True)), 2, "versions, deleted ones too")


@both_clients
def lists_come_in_pages(client):
    prefix = fresh("page")
    subjects = [f"{prefix}-{number}" for number in range(4)]
    ids = {client().register_schema(subject, schema(AVRO.first)) for subject in subjects}
    expect_equal(client().get_subjects(subject_prefix=prefix), subjects, "subjects")
    expect_equal(client().get_subjects(subject_prefix=prefix, offset=1, limit=2), subjects[1:3], "a page of subjects")
    expect_equal(client().get_subjects(subject_prefix=prefix, offset=9), [], "a page behind the end")
    [schema_id] = ids
    everywhere = client().get_subjects_by_schema_id(schema_id)
    expect_equal(client().get_subjects_by_schema_id(schema_id, offset=1, limit=2), everywhere[1:3], "a page of an id's subjects")
    expect_equal(len(client().get_schema_versions(schema_id, limit=2)), 2, "a page of an id's versions")
    client().register_schema(subjects[0], schema(AVRO.second))
    expect_equal(client().get_versions(subjects[0], offset=1, limit=1), [2], "a page of versions")


@both_clients
def versions_are_deleted_softly_then_for_good(client):
    subject = fresh("deleted")
    first_id = client().register_schema(subject, schema(orders.fields("a", note=subject)))
    client().register_schema(subject, schema(orders.fields("a", note=subject, more="")))
    expect_error(40407, client().delete_version, subject, 1, permanent=True)
    expect_equal(client().delete_version(subject, 1), 1, "what was deleted")
    expect_error(40406, client().delete_version, subject, 1)
    expect_equal(client().get_versions(subject), [2], "versions")
    expect_equal(client().get_versions(subject, deleted=True), [1, 2], "versions, deleted ones too")
    expect_error(40402, client().get_version, subject, 1)
    expect_equal(client().get_version(subject, 1, deleted=True).schema_id, first_id, "id of the deleted one")
    expect_error(40403, client().lookup_schema, subject, schema(orders.fields("a", note=subject)))
    expect_equal(client().lookup_schema(subject, schema(orders.fields("a", note=subject)), deleted=True).version, 1, "looked up among the deleted")
    # Records that were written with it can still be read.
    expect_same_text(client().get_schema(first_id).schema_str, orders.fields("a", note=subject), "the schema of the id")
    expect_equal(client().delete_version(subject, 1, permanent=True), 1, "what was deleted for good")
    expect_equal(client().get_versions(subject, deleted=True), [2], "versions after that")
    expect_error(40402, client().get_version, subject, 1, deleted=True)


@both_clients
def subjects_are_deleted_softly_then_for_good(client):
    subject, text = fresh("gone"), orders.fields("a", note=fresh("text"))
    schema_id = client().register_schema(subject, schema(text))
    expect_error(40405, client().delete_subject, subject, permanent=True)
    expect_equal(client().delete_subject(subject), [1], "versions deleted")
    expect_error(40404, client().delete_subject, subject)
    expect_error(40401, client().get_versions, subject)
    expect_equal(subject in client().get_subjects(), False, "in the list")
    expect_equal(subject in client().get_subjects(deleted=True), True, "in the list, deleted ones too")
    expect_equal(client().register_schema(subject, schema(text)), schema_id, "id when it is registered anew")
    expect_equal(client().get_versions(subject), [2], "its version")
    expect_equal(client().get_versions(subject, deleted=True), [2], "the deleted version of the same schema is gone for good")
    client().delete_subject(subject)
    expect_equal(client().delete_subject(subject, permanent=True), [2], "versions deleted for good")
    expect_error(40401, client().delete_subject, subject, permanent=True)
    expect_equal(subject in client().get_subjects(deleted=True), False, "in the list, deleted ones too, after that")


@both_clients
def incompatible_schemas_are_refused_in_every_format(client):
    for kind in FORMATS:
        subject = fresh("strict")
        first, second, incompatible = (schema(text, kind.type) for text in [kind.first, kind.second, kind.incompatible])
        client().register_schema(subject, first)
        expect_equal(client().test_compatibility(subject, second), True, f"{kind.type}: the second version is compatible")
        expect_equal(client().test_compatibility(subject, incompatible), False, f"{kind.type}: the other is compatible")
        expect_equal(client().test_compatibility(subject, incompatible, 1, verbose=True), False, f"{kind.type}: the same, verbose")
        expect_equal(client().test_compatibility_all_versions(subject, second), True, f"{kind.type}: with all versions")
        expect_equal(client().test_compatibility_all_versions(subject, incompatible), False, f"{kind.type}: the other with all versions")
        expect_error(409, client().register_schema, subject, incompatible)
        expect_equal(client().get_versions(subject), [1], f"{kind.type}: versions after the refusal")
        client().set_compatibility(subject, "NONE")
        client().register_schema(subject, incompatible)
        expect_equal(client().get_versions(subject), [1, 2], f"{kind.type}: versions when all is compatible")


@both_clients
def each_level_allows_what_it_says(client):
    old, optional, required = orders.fields("a"), orders.fields("a", b="x"), orders.fields("a", "b")
    allowed = {
        # From a version with field a to one with a and b, whether b has a default; and the other way round.
        ("BACKWARD", old, optional): True,
        ("BACKWARD", old, required): False,
        ("BACKWARD", required, old): True,
        ("FORWARD", old, required): True,
        ("FORWARD", required, old): False,
        ("FORWARD", optional, old): True,
        ("FULL", old, optional): True,
        ("FULL", old, required): False,
        ("FULL", required, old): False,
        ("NONE", old, AVRO.first): True,
    }
    with all_of() as check:
        for (level, before, after), is_allowed in allowed.items():
            subject = fresh("level")
            client().register_schema(subject, schema(before))
            client().set_compatibility(subject, level)
            check(expect_equal, client().test_compatibility(subject, schema(after)), is_allowed, f"{level} from {before} to {after}")
            if is_allowed:
                client().register_schema(subject, schema(after))
            else:
                check(expect_error, 409, client().register_schema, subject, schema(after))


@both_clients
def a_transitive_level_looks_at_all_versions(client):
    subject = fresh("transitive")
    for text in [orders.fields("a"), orders.fields("a", b="x")]:
        client().register_schema(subject, schema(text))
    third = schema(orders.fields("a", "b"))
    expect_equal(client().test_compatibility(subject, third), True, "with the latest")
    expect_equal(client().test_compatibility(subject, third, 1), False, "with the first")
    expect_equal(client().test_compatibility_all_versions(subject, third), True, "at BACKWARD")
    client().set_compatibility(subject, "BACKWARD_TRANSITIVE")
    expect_equal(client().test_compatibility_all_versions(subject, third), False, "at BACKWARD_TRANSITIVE")
    expect_error(409, client().register_schema, subject, third)


@both_clients
def the_configuration_of_a_subject_is_its_own_until_deleted(client):
    subject = fresh("config")
    client().register_schema(subject, schema(orders.fields("a")))
    expect_equal(client().get_compatibility(), "BACKWARD", "level of all")
    expect_error(40408, client().get_compatibility, subject)
    expect_error(40408, client().get_config, subject)
    expect_equal(client().set_compatibility(subject, "FULL")["compatibility"], "FULL", "answered level")
    expect_equal(client().get_compatibility(subject), "FULL", "level")
    client().set_config(subject, ServerConfig(ConfigCompatibilityLevel.FORWARD_TRANSITIVE))
    expect_equal(str(client().get_config(subject).compatibility_level), "FORWARD_TRANSITIVE", "configured level")
    client().delete_config(subject)
    expect_error(40408, client().get_compatibility, subject)
    expect_equal(client().get_compatibility(), "BACKWARD", "level of all, after that")


@both_clients
def the_configuration_of_all_holds_where_a_subject_has_none(client):
    subject = fresh("global")
    client().register_schema(subject, schema(orders.fields("a")))
    try:
        client().set_compatibility(level="NONE")
        expect_equal(client().get_compatibility(), "NONE", "level of all")
        client().set_config(config=ServerConfig(ConfigCompatibilityLevel.FORWARD))
        expect_equal(str(client().get_config().compatibility_level), "FORWARD", "configured level of all")
        expect_equal(client().test_compatibility(subject, schema(orders.fields("a", "b"))), True, "a field more, at FORWARD")
    finally:
        client().delete_config()
    expect_equal(client().get_compatibility(), "BACKWARD", "level of all, deleted")
    expect_equal(client().test_compatibility(subject, schema(orders.fields("a", "b"))), False, "a field more, at BACKWARD")


@both_clients
def modes_forbid_what_they_say(client):
    subject = fresh("mode")
    client().register_schema(subject, schema(orders.fields("a")))
    expect_equal(client().get_global_mode(), "READWRITE", "mode of all")
    expect_error(40409, client().get_mode, subject)
    expect_equal(client().update_mode(subject, "READONLY"), "READONLY", "answered mode")
    expect_equal(client().get_mode(subject), "READONLY", "mode")
    expect_error(42205, client().register_schema, subject, schema(orders.fields("a", b="x")))
    expect_error(42205, client().delete_subject, subject)
    expect_equal(client().get_versions(subject), [1], "versions")
    client().delete_mode(subject)
    expect_error(40409, client().get_mode, subject)
    client().register_schema(subject, schema(orders.fields("a", b="x")))
    # Imported schemas bring their ids; those that are there would be in the way.
    expect_error(42205, client().update_mode, subject, "IMPORT")
    expect_equal(client().update_mode(subject, "IMPORT", force=True), "IMPORT", "mode when forced")
    client().delete_mode(subject)


@both_clients
def the_mode_of_all_holds_for_every_subject(client):
    subject = fresh("all")
    try:
        expect_equal(client().update_global_mode("READONLY"), "READONLY", "answered mode")
        expect_equal(client().get_global_mode(), "READONLY", "mode of all")
        expect_error(42205, client().register_schema, subject, schema(orders.fields("a")))
    finally:
        client().update_global_mode("READWRITE", force=True)
    client().register_schema(subject, schema(orders.fields("a")))


def referring():
    """(schema type, the referenced text, the name it is referred to by, the text that refers)."""
    yield (
        "AVRO",
        '{"type": "enum", "name": "Currency", "namespace": "shop", "symbols": ["EUR"]}',
        "shop.Currency",
        orders.avro({"name": "currency", "type": "shop.Currency"}),
    )
    yield "JSON", '{"type": "string", "enum": ["EUR"]}', "currency.json", orders.json_schema(currency={"$ref": "currency.json"})
    currency = 'syntax = "proto3";\npackage shop;\nenum Currency {\n  EUR = 0;\n}\n'
    text = orders.protobuf("Currency currency = 3;").replace("package shop;", 'package shop;\nimport "shop/currency.proto";')
    yield "PROTOBUF", currency, "shop/currency.proto", text


@both_clients
def references_are_kept_followed_and_guarded(client):
    for kind, referenced, name, text in referring():
        currency, order = fresh("currency"), fresh("order")
        expect_error(42201, client().register_schema, order, schema(text, kind, [SchemaReference(name, currency, 1)]))
        client().register_schema(currency, schema(referenced, kind))
        order_id = client().register_schema(order, schema(text, kind, [SchemaReference(name, currency, 1)]))
        expect_equal(client().get_schema(order_id).references, [SchemaReference(name, currency, 1)], f"{kind}: references")
        looked_up = client().lookup_schema(order, schema(text, kind, [SchemaReference(name, currency, 1)]))
        expect_equal(looked_up.schema_id, order_id, f"{kind}: id when looked up")
        expect_equal(client().get_referenced_by(currency, 1), [order_id], f"{kind}: referenced by")
        expect_equal(client().get_referenced_by(currency), [order_id], f"{kind}: latest referenced by")
        expect_equal(client().get_referenced_by(order, 1), [], f"{kind}: the other way round")
        expect_error(42206, client().delete_version, currency, 1)
        expect_error(42206, client().delete_subject, currency)
        client().delete_subject(order)
        client().delete_subject(order, permanent=True)
        expect_equal(client().delete_subject(currency), [1], f"{kind}: deleted when nobody refers to it")


@both_clients
def normalised_schemas_are_one(client):
    def avro(*properties):
        return json.dumps({"type": "record", "name": "Normal", "fields": [{"name": "a", "type": "string", **dict(properties)}]})

    one, other = avro(("first", 1), ("second", 2)), avro(("second", 2), ("first", 1))
    json_one, json_other = '{"type": "object", "properties": {"a": {}, "b": {}}}', '{"properties": {"b": {}, "a": {}}, "type": "object"}'
    for kind, text, shuffled in [("AVRO", one, other), ("JSON", json_one, json_other)]:
        subject = fresh("normal")
        schema_id = client().register_schema(subject, schema(text, kind), normalize_schemas=True)
        expect_equal(client().register_schema(subject, schema(shuffled, kind), normalize_schemas=True), schema_id, f"{kind}: id")
        expect_equal(client().lookup_schema(subject, schema(shuffled, kind), normalize_schemas=True).version, 1, f"{kind}: looked up")
        expect_equal(client().test_compatibility(subject, schema(shuffled, kind), normalize=True), True, f"{kind}: compatible")
        expect_equal(client().get_versions(subject), [1], f"{kind}: versions")


@both_clients
def protobuf_comes_as_a_descriptor_when_asked_for(client):
    subject = fresh("serialized")
    schema_id = client().register_schema(subject, schema(PROTOBUF.first, "PROTOBUF"))
    answers = {
        "get_schema": client().get_schema(schema_id, fmt="serialized"),
        "get_version": client().get_version(subject, 1, fmt="serialized").schema,
        "get_latest_version": client().get_latest_version(subject, fmt="serialized").schema,
    }
    for what, found in answers.items():
        file = descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(found.schema_str, validate=True))
        [message] = file.message_type
        expect_equal((file.package, file.syntax, message.name), ("shop", "proto3", "Order"), what)
        expect_equal([(field.name, field.number, field.type) for field in message.field], [("id", 1, 9), ("total", 2, 3)], f"{what}: fields")
        # What came out goes in again: the serializer for Python registers descriptors.
        expect_equal(client().register_schema(subject, schema(found.schema_str, "PROTOBUF")), schema_id, f"{what}: id of the descriptor")


@both_clients
def contexts_keep_subjects_apart(client):
    name = fresh("ctx")
    plain, qualified = fresh("orders"), f":.{name}:orders"
    client().register_schema(plain, schema(orders.fields("a")))
    schema_id = client().register_schema(qualified, schema(orders.fields("a", note=name)))
    expect_equal(f".{name}" in client().get_contexts(), True, "in the list of contexts")
    expect_equal("." in client().get_contexts(), True, "the default one in the list")
    expect_equal(client().get_subjects(subject_prefix=f":.{name}:"), [qualified], "subjects of the context")
    expect_equal(qualified in client().get_subjects(subject_prefix=plain), False, "among those of another prefix")
    expect_equal(client().get_versions(qualified), [1], "versions")
    expect_same_text(client().get_schema(schema_id, qualified).schema_str, orders.fields("a", note=name), "the schema in its context")
    expect_error(40401, client().get_versions, "orders-of-no-context")
    client().set_compatibility(qualified, "NONE")
    client().register_schema(qualified, schema(AVRO.first))
    expect_equal(client().delete_subject(qualified), [1, 2], "versions deleted")
    expect_equal(client().get_versions(plain), [1], "versions of the other subject")


@both_clients
def the_latest_version_with_some_metadata_is_found(client):
    subject = fresh("metadata")
    for owner, text in [("sales", orders.fields("a")), ("audit", orders.fields("a", b="x"))]:
        client().register_schema(subject, schema(text, metadata=Metadata(None, MetadataProperties({"owner": owner}), None)))
    found = client().get_latest_with_metadata(subject, {"owner": "sales"})
    expect_equal((found.version, found.schema.metadata.properties.properties), (1, {"owner": "sales"}), "version and properties")
    expect_equal(client().get_latest_with_metadata(subject, {"owner": "audit"}).version, 2, "version of the other")
    expect_error(40403, client().get_latest_with_metadata, subject, {"owner": "nobody"})


@both_clients
def a_schema_has_one_guid_in_all_contexts(client):
    """They stand in headers of records (header_schema_id_serializer)."""
    subject = fresh("guid")
    made = schema(orders.fields("a"))
    client().register_schema(subject, made)
    client().register_schema(f":.elsewhere:{subject}", made)
    guid = client().get_version(subject, 1).guid
    expect_equal(client().get_version(f":.elsewhere:{subject}", 1).guid, guid, "guid elsewhere")
    expect_equal(json.loads(client().get_schema_by_guid(guid).schema_str), json.loads(made.schema_str), "schema of the guid")
    try:
        found = client().get_schema_by_guid("01234567-89ab-cdef-0123-456789abcdef")
    except SchemaRegistryError as error:
        expect_equal(error.http_status_code, 404, "status")
    else:
        raise AssertionError(f"a schema of an unknown guid: {found}")


@both_clients
def associations_are_not_there_and_the_client_is_told_so(client):
    """The serializers ask for one before anything else, and take 404 for “none” (AssociatedNameStrategy)."""
    info = AssociationCreateOrUpdateInfo("orders-value", "value")
    calls = [
        (client().get_associations_by_resource_name, ("orders", "-", "topic", ["value"])),
        (client().create_association, (AssociationCreateOrUpdateRequest("orders", "-", "id", "topic", [info]),)),
        (client().delete_associations, ("id",)),
    ]
    for call, arguments in calls:
        try:
            found = call(*arguments)
        except SchemaRegistryError as error:
            expect_equal(error.http_status_code, 404, call.__name__)
        else:
            raise AssertionError(f"{call.__name__} gave {found}")


@both_clients
def a_client_can_forget_and_be_closed(client):
    remembering, subject = client(), fresh("cache")
    remembering.register_schema(subject, schema(orders.fields("a")))
    expect_equal(remembering.get_latest_version(subject).version, 1, "latest")
    client().register_schema(subject, schema(orders.fields("a", b="x")))
    expect_equal(remembering.get_latest_version(subject).version, 1, "latest, remembered")
    remembering.clear_latest_caches()
    expect_equal(remembering.get_latest_version(subject).version, 2, "latest, forgotten")
    remembering.clear_caches()
    expect_equal(remembering.config()["url"].startswith("http://"), True, "configuration")
    # The asynchronous one has another name for it.
    (remembering.aclose if isinstance(remembering, Waiting) else remembering.close)()


@suite.test
def a_client_goes_on_after_kill_9(broker):
    """It finds its connection broken, and tries again by itself."""
    client, subject = broker.client(**{"retries.wait.ms": 200}), fresh("goes-on")
    schema_id = client.register_schema(subject, schema(orders.fields("a")))
    broker.kill()
    broker.start()
    client.clear_caches()
    expect_equal(client.register_schema(subject, schema(orders.fields("a"))), schema_id, "id over the connection that has broken")


if __name__ == "__main__":
    suite.main()
