"""The registry over plain HTTP: paths and content types as curl sees them, what is refused and how, and what survives kill -9.

What Confluent's client can ask is in registry_client.py.
"""

import json
import time

import orders
from api import all_of
from orders import AVRO, FORMATS, JSON
from registry import CONTENT_TYPE, RegistrySuite, expect_refused, schema_body
from suite import expect_equal, fresh

suite = RegistrySuite("registry API")


@suite.test
def all_that_was_answered_survives_kill_9(broker):
    registry, subject, deleted = broker.registry(), fresh("kept"), fresh("deleted")
    for kind in FORMATS:
        registry.register(f"{subject}-{kind.type}", kind.first, kind.type)
        registry.register(f"{subject}-{kind.type}", kind.second, kind.type)
    registry.register(deleted, AVRO.first)
    registry.delete(f"/subjects/{deleted}")
    registry.put(f"/config/{subject}-AVRO", {"compatibility": "FULL"})
    registry.put(f"/mode/{subject}-JSON", {"mode": "READONLY"})

    def state():
        return {
            path: registry.get(path)
            for path in [
                *(f"/subjects/{subject}-{kind.type}/versions/{version}" for kind in FORMATS for version in (1, 2)),
                "/subjects",
                "/subjects?deleted=true",
                f"/config/{subject}-AVRO",
                f"/mode/{subject}-JSON",
                "/config",
                "/mode",
                "/contexts",
            ]
        }

    before, started = state(), time.monotonic()
    broker.kill()
    broker.start()
    registry.close()
    expect_equal(state(), before, "after kill -9")
    print(f"started again in {time.monotonic() - started:.1f} s", flush=True)


@suite.test
def answers_are_as_curl_sees_them(broker):
    registry, subject = broker.registry(), fresh("raw")
    answer = registry.call("POST", f"/subjects/{subject}/versions", schema_body(JSON.first, "JSON"))
    expect_equal((answer.status, answer.headers.get_content_type()), (200, CONTENT_TYPE), "status and content type")
    schema_id = answer.json()["id"]
    for content_type in ["application/json", "application/vnd.schemaregistry+json", f"{CONTENT_TYPE}; charset=utf-8"]:
        again = registry.call("POST", f"/subjects/{subject}/versions", schema_body(JSON.first, "JSON"), {"Content-Type": content_type})
        expect_equal((again.status, again.json()["id"]), (200, schema_id), content_type)
    for path in [f"/schemas/ids/{schema_id}/schema", f"/subjects/{subject}/versions/latest/schema", f"/subjects/{subject}/versions/1/schema"]:
        expect_equal(registry.get(path), json.loads(JSON.first), path)
    # -1 is Confluent's other word for the latest.
    expect_equal(registry.version(subject, -1)["version"], 1, "version -1")
    listed = registry.get("/schemas", subjectPrefix=subject)
    expect_equal([(found["subject"], found["version"], found["id"]) for found in listed], [(subject, 1, schema_id)], "list")
    # An Avro schema has no type in an answer; that is how clients of old tell it.
    registry.register(f"{subject}-avro", AVRO.first)
    expect_equal("schemaType" in registry.version(f"{subject}-avro"), False, "an Avro schema with its type")
    expect_equal(sorted(registry.get("/schemas/types")), ["AVRO", "JSON", "PROTOBUF"], "types")
    expect_equal(registry.get(f"/config/{subject}", defaultToGlobal=True)["compatibilityLevel"], "BACKWARD", "level when the global one will do")
    expect_equal(registry.get(f"/mode/{subject}", defaultToGlobal=True)["mode"], "READWRITE", "mode when the global one will do")
    expect_equal(registry.get(f"/subjects/{subject}/versions", limit=0), [1], "a limit of 0 is none")
    registry.put(f"/config/{subject}", {"normalize": True})
    own = {"compatibilityLevel": "BACKWARD", "normalize": True}
    expect_equal(registry.get(f"/config/{subject}"), own, "a configuration without a level of its own")
    expect_equal(registry.delete(f"/config/{subject}"), {"normalize": True}, "what was set")
    for setting in ["config", "mode"]:
        expect_refused(registry.call("DELETE", f"/{setting}/{subject}"), 40401, what=f"{setting}: nothing to take back")
    registry.delete(f"/subjects/{subject}")
    expect_equal(registry.get("/subjects", subjectPrefix=subject, deletedOnly=True), [subject], "deleted subjects only")
    for deleted, expected in [(True, [subject]), (False, [])]:
        holders = registry.get(f"/schemas/ids/{schema_id}/subjects", subject=subject, deleted=deleted)
        expect_equal(holders, expected, f"who has the schema, deleted={deleted}")


@suite.test
def a_client_learns_with_whom_it_speaks(broker):
    registry = broker.registry()
    clusters = registry.get("/v1/metadata/id")["scope"]["clusters"]
    expect_equal((bool(clusters["kafka-cluster"]), clusters["schema-registry-cluster"]), (True, "schema-registry"), "clusters")
    expect_equal(bool(registry.get("/v1/metadata/version")["version"]), True, "a version")
    document = registry.get("/openapi.json")
    expect_equal(document["openapi"].split(".")[0], "3", "OpenAPI version")
    expect_equal(registry.call("GET", "/").status, 200, "status of the root, which tools take for a sign of life")


@suite.test
def a_verbose_test_says_what_is_wrong(broker):
    registry = broker.registry()
    for kind in FORMATS:
        subject = fresh("verbose")
        registry.register(subject, kind.first, kind.type)
        path = f"/compatibility/subjects/{subject}/versions/latest"
        found = registry.post(f"{path}?verbose=true", schema_body(kind.incompatible, kind.type))
        expect_equal((found["is_compatible"], bool(found["messages"])), (False, True), f"{kind.type}: verbose")
        if "total" not in str(found["messages"]) and "/1" not in str(found["messages"]):
            raise AssertionError(f"{kind.type}: the messages do not say where: {found['messages']}")
        expect_equal(registry.post(path, schema_body(kind.incompatible, kind.type))["is_compatible"], False, f"{kind.type}: in short")
        refused = registry.call("POST", f"/subjects/{subject}/versions", schema_body(kind.incompatible, kind.type))
        expect_refused(refused, 409, what=f"{kind.type}: registration")


@suite.test
def schemas_of_another_registry_come_with_their_ids(broker):
    registry, subject = broker.registry(), fresh("import")
    registry.put(f"/mode/{subject}", {"mode": "IMPORT"})
    expect_equal(registry.register(subject, orders.fields("a", note=subject), id=70_001, version=4), 70_001, "id")
    expect_equal(registry.versions(subject), [4], "versions")
    # The same id for another schema would change what records mean.
    refused = registry.call("POST", f"/subjects/{subject}/versions", schema_body(orders.fields("b", note=subject), id=70_001, version=5))
    expect_refused(refused, 42205, what="an id that is taken")
    registry.put(f"/mode/{subject}", {"mode": "READWRITE"})
    if registry.register(fresh("next"), orders.fields("c", note=subject)) == 70_001:
        raise AssertionError("the imported id was given to another schema")


@suite.test
def nonsense_is_refused_and_the_registry_lives(broker):
    registry, subject = broker.registry(), fresh("nonsense")
    path = f"/subjects/{subject}/versions"
    with all_of() as check:
        for body in [b"", b'{"schema": ', b"[]", b'{"schema": 7}', b"{}", b'{"schema": "\xff"}']:
            answer = registry.call("POST", path, body)
            check(expect_equal, answer.status in (400, 422), True, f"{body}: status {answer.status} is 400 or 422")
        for what, text in {"deep": '{"type": "array", "items": ' * 5000 + '"int"' + "}" * 5000, "long": '"' + "x" * 2_000_000 + '"'}.items():
            answer = registry.call("POST", path, schema_body(text))
            check(expect_equal, 400 <= answer.status < 500, True, f"{what}: status {answer.status} is the client's fault")
        for unknown in ["/nothing", f"/subjects/{subject}/nothing", "/schemas/ids/one"]:
            check(expect_equal, registry.call("GET", unknown).status, 404, unknown)
        check(expect_equal, registry.call("PATCH", path, {}).status, 405, "PATCH")
    registry.get("/subjects")


if __name__ == "__main__":
    suite.main()
