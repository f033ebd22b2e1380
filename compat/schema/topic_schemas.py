"""The schema of a topic over HTTP: one request sets it, and from then on JSON that does not fit is refused, whoever sends it.

Values of such a topic are plain JSON, without magic byte and id. PUT, GET and DELETE /topics/{name}/schema are ours, not Confluent's.
"""

import json

import kafka_client as kafka
from api import all_of, expect_error, topic_path
from deliveries import INVALID, OTHER_INVALID, deliver, deliver_one, expect_invalid, expect_taken, values
from orders import AVRO, JSON, PROTOBUF
from registry import RegistrySuite
from suite import eventually, expect_equal, fresh

GOOD, BAD = {"id": "o-1", "total": 5}, {"id": "o-2", "total": -4}

suite = RegistrySuite("topic schemas")


def schema_path(topic):
    return f"{topic_path(topic)}/schema"


def body_of(text=JSON.first, schema_type="JSON", validation="full", on_invalid="refuse"):
    return {"type": schema_type, "schema": json.loads(text) if schema_type == "JSON" else text, "validation": validation, "on_invalid": on_invalid}


def put(client, topic, **body):
    """The answer's JSON, of a PUT that must be a success."""
    return client.call("PUT", schema_path(topic), body_of(**body)).success()


def with_schema(broker, **body):
    client, topic = broker.api(), fresh("orders")
    client.create(topic, partitions=1)
    return client, topic, put(client, topic, **body)


def expect_422(answer, indexes, *words, what="answer"):
    expect_equal(answer.status, 422, f"{what}: status of {answer.body[:200]}")
    error = answer.json()["error"]
    expect_equal(error["code"], "INVALID_RECORD", f"{what}: code")
    expect_equal([record["index"] for record in error["records"]], indexes, f"{what}: indexes")
    for word in words:
        if word not in error["message"] + str(error["records"]):
            raise AssertionError(f"{what}: nothing names {word}: {error}")


@suite.test
def what_is_no_schema_of_a_topic_is_refused(broker):
    client, topic = broker.api(), fresh("wrong")
    expect_error(client.call("PUT", schema_path(topic), body_of()), 404, topic, what="PUT for an unknown topic")
    expect_error(client.call("GET", schema_path(topic)), 404, topic, what="GET for an unknown topic")
    expect_error(client.call("DELETE", schema_path(topic)), 404, topic, what="DELETE for an unknown topic")
    client.create(topic)
    expect_error(client.call("GET", schema_path(topic)), 404, topic, what="GET for a topic without schema")
    wrong = {
        "no schema": {"type": "JSON"},
        "a number for a schema": {**body_of(), "schema": 7},
        "no JSON Schema": {**body_of(), "schema": {"type": "no such type"}},
        "text that is no JSON": {**body_of(), "schema": "{"},
        "an unknown type": {**body_of(), "type": "XML"},
        "an unknown validation": {**body_of(), "validation": "maybe"},
        "an unknown way": {**body_of(), "on_invalid": "ignore"},
        "an object for Protobuf": {**body_of(), "type": "PROTOBUF"},
        "an array": [],
    }
    with all_of() as check:
        for what, body in wrong.items():
            answer = client.call("PUT", schema_path(topic), body)
            check(expect_equal, answer.status in (400, 422), True, f"{what}: status {answer.status} is 400 or 422")
    expect_error(client.call("PUT", schema_path(topic), body_of(), {"Content-Type": "text/plain"}), 415, what="another type of body")
    # Nothing of all that has stayed.
    client.produce(topic, "anything")
    expect_error(client.call("GET", schema_path(topic)), 404, topic, what="GET after all that")


@suite.test
def a_schema_is_set_shown_and_taken_away(broker):
    client, topic, made = with_schema(broker)
    expected = {"subject": f"{topic}-value", "version": 1, "type": "JSON", "validation": "full", "on_invalid": "refuse"}
    expect_equal({name: made[name] for name in expected}, expected, "answered")
    schema = made["schema"]
    expect_equal(json.loads(schema) if isinstance(schema, str) else schema, json.loads(JSON.first), "schema answered")
    expect_equal(client.get(schema_path(topic)), made, "GET")
    expect_equal(broker.registry().version(f"{topic}-value")["id"], made["id"], "id in the registry")
    expect_equal(kafka.topic_config(broker, topic, "value.schema.validation"), "full", "as Kafka's tools see it")
    gone = client.call("DELETE", schema_path(topic))
    expect_equal((gone.status, gone.body), (204, b""), "status and body of DELETE")
    expect_error(client.call("GET", schema_path(topic)), 404, topic)
    expect_equal(kafka.is_configured(broker, topic, "value.schema.validation"), False, "as Kafka's tools see it, after DELETE")
    client.produce(topic, "anything")


@suite.test
def a_schema_that_another_refers_to_stays_and_so_does_what_its_topic_asks(broker):
    client, topic, made = with_schema(broker, on_invalid="dead-letter")
    other = fresh("refers")
    client.create(other, partitions=1)
    schema = {"type": "object", "properties": {"order": {"$ref": "order.json"}}}
    references = [{"name": "order.json", "subject": made["subject"], "version": made["version"]}]
    client.call("PUT", schema_path(other), {"schema": schema, "references": references}).success()
    expect_error(client.call("DELETE", schema_path(topic)), 409, made["subject"])
    expect_equal(client.get(schema_path(topic)), made, "GET after the refusal")
    client.delete(schema_path(other))
    client.delete(schema_path(topic))
    client.produce(topic, "anything")


@suite.test
def both_path_styles_and_both_ways_to_write_a_schema_do_the_same(broker):
    for root in ["", "/projects/some-project"]:
        client, topic = broker.api(root), fresh("styles")
        client.create(topic)
        as_object = client.call("PUT", schema_path(topic), body_of()).success()
        as_text = client.call("PUT", schema_path(topic), {**body_of(), "schema": JSON.first}).success()
        expect_equal((as_text["id"], as_text["version"]), (as_object["id"], 1), "id and version")
        expect_equal(client.get(schema_path(topic)), as_text, "GET")


@suite.test
def a_value_that_does_not_fit_is_422(broker):
    client, topic, made = with_schema(broker)
    client.produce(topic, GOOD)
    path = f"{topic_path(topic)}/produce"
    said = ["/total", "-4 is less than the minimum of 0", f"schema id {made['id']}"]
    expect_422(client.call("POST", path, {"value": BAD}), [0], *said)
    with all_of() as check:
        for value in ["text", 7, [], {}, {"id": "o-1"}, {**GOOD, "more": 1}, {**GOOD, "total": "5"}]:
            check(expect_422, client.call("POST", path, {"value": value}), [0], what=str(value))
    expect_equal([json.loads(value) for value in values(broker, topic)], [GOOD], "what can be read")


@suite.test
def records_that_do_not_fit_are_named_and_none_of_their_batch_is_written(broker):
    client, topic, _ = with_schema(broker)
    path = f"{topic_path(topic)}/records"
    mixed = [{"value": BAD if number in (3, 7) else {**GOOD, "id": f"o-{number}"}} for number in range(10)]
    expect_422(client.call("POST", path, {"records": mixed}), [3, 7], "/total")
    expect_equal(values(broker, topic), [], "what can be read")
    results = client.produce_all(topic, [record for record in mixed if record["value"] != BAD])
    expect_equal([result["offset"] for result in results], list(range(8)), "offsets of the good ones alone")


@suite.test
def kafkas_producers_are_held_to_it_too(broker):
    client, topic, _ = with_schema(broker)
    good, bad = json.dumps(GOOD).encode(), json.dumps(BAD).encode()
    expect_taken(broker, topic, good, "plain JSON")
    expect_invalid(broker, topic, bad, "plain JSON that does not fit")
    expect_invalid(broker, topic, b"hello", "no JSON")
    for codec in ["gzip", "zstd"]:
        expect_equal(deliver(broker, topic, [good, bad, good], compression_type=codec), [OTHER_INVALID, INVALID, OTHER_INVALID], codec)
    expect_equal(values(broker, topic), [good], "what can be read")
    expect_equal([record["value"] for record in client.consume(topic, **{"from": "earliest"})["records"]], [GOOD], "over HTTP")


@suite.test
def a_second_schema_has_to_be_compatible(broker):
    client, topic, first = with_schema(broker)
    second = put(client, topic, text=JSON.second)
    expect_equal((second["version"], second["id"] == first["id"]), (2, False), "version, and whether the id is the first's")
    client.produce(topic, {**GOOD, "note": "gift"})
    client.produce(topic, GOOD)
    refused = client.call("PUT", schema_path(topic), body_of(text=JSON.incompatible))
    expect_error(refused, 409, "total")
    expect_equal(client.get(schema_path(topic)), second, "GET after the refusal")


@suite.test
def validation_may_be_left_out_or_turned_off(broker):
    client, topic, _ = with_schema(broker, validation="none")
    client.produce(topic, BAD)
    expect_equal(put(client, topic)["validation"], "full", "turned on")
    expect_422(client.call("POST", f"{topic_path(topic)}/produce", {"value": BAD}), [0])
    minimal = client.call("PUT", schema_path(topic), {"type": "JSON", "schema": json.loads(JSON.first)}).success()
    expect_equal((minimal["on_invalid"], minimal["version"]), ("refuse", 1), "what is not said")
    nulls = dict.fromkeys(["type", "references", "validation", "on_invalid", "compatibility"])
    expect_equal(client.call("PUT", schema_path(topic), {"schema": json.loads(JSON.first), **nulls}).success(), minimal, "or is said with null")


@suite.test
def dead_letters_of_http_topics_are_put_aside(broker):
    client, topic, made = with_schema(broker, on_invalid="dead-letter")
    expect_equal(made["on_invalid"], "dead-letter", "answered")
    good, bad = json.dumps(GOOD).encode(), json.dumps(BAD).encode()
    expect_equal(isinstance(deliver_one(broker, topic, bad), tuple), True, "a bad record is taken")
    expect_taken(broker, topic, good)
    eventually(lambda: f"{topic}.dlq" in kafka.topics(broker), what="the topic of dead letters")
    expect_equal((values(broker, topic), values(broker, f"{topic}.dlq")), ([good], [bad]), "what can be read here and there")
    [letter] = client.consume(f"{topic}.dlq", **{"from": "earliest"})["records"]
    expect_equal(letter["value"], BAD, "the letter over HTTP")


@suite.test
def avro_and_protobuf_may_be_set_and_bind_kafkas_producers(broker):
    for kind in [AVRO, PROTOBUF]:
        _, topic, made = with_schema(broker, text=kind.first, schema_type=kind.type)
        expect_taken(broker, topic, kind.value(made["id"]), kind.type)
        for what, value in kind.misfit_values(made["id"]).items():
            expect_invalid(broker, topic, value, f"{kind.type}: {what}")


@suite.test
def a_schema_survives_kill_9_and_goes_with_its_topic(broker):
    client, topic, made = with_schema(broker)
    broker.kill()
    broker.start()
    client.close()
    expect_equal(client.get(schema_path(topic)), made, "GET after kill -9")
    expect_422(client.call("POST", f"{topic_path(topic)}/produce", {"value": BAD}), [0])
    client.delete(topic_path(topic))
    client.create(topic)
    expect_error(client.call("GET", schema_path(topic)), 404, topic)
    client.produce(topic, "anything")


@suite.test
def a_refused_request_may_be_mended_under_the_same_idempotency_key(broker):
    """A refusal wrote nothing, so the key was not used up."""
    client, topic, _ = with_schema(broker)
    path, key = f"{topic_path(topic)}/produce", {"Idempotency-Key": fresh("key")}
    expect_422(client.call("POST", path, {"value": BAD}, key), [0])
    client.call("POST", path, {"value": GOOD}, key).success()
    client.call("POST", path, {"value": GOOD}, key).success()
    expect_equal([json.loads(value) for value in values(broker, topic)], [GOOD], "what can be read")


if __name__ == "__main__":
    suite.main()
