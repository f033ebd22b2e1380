"""The settings of a topic that ask for validation: shown by Kafka's tools, changed while there are records, and refused when they make no sense."""

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

import kafka_client as kafka
from api import all_of
from deliveries import expect_invalid, expect_taken
from orders import JSON
from registry import RegistrySuite
from suite import eventually, expect_equal, fresh

ASKED = {
    "value.schema.validation": "full",
    "value.schema.subject": "orders-of-all",
    "value.schema.subject.name.strategy": "TopicRecordNameStrategy",
    "key.schema.validation": "id",
    "key.schema.subject": "keys-of-all",
    "key.schema.subject.name.strategy": "RecordNameStrategy",
    "on.invalid.record": "dead-letter",
}
NONSENSE = [
    ("value.schema.validation", "maybe"),
    ("value.schema.validation", ""),
    ("key.schema.validation", "true"),
    ("value.schema.subject.name.strategy", "SomeStrategy"),
    ("key.schema.subject.name.strategy", "io.example.RecordNameStrategy"),
    ("on.invalid.record", "ignore"),
    ("confluent.value.schema.validation", "full"),
    ("confluent.value.subject.name.strategy", "io.example.SomeStrategy"),
    ("value.schema.validations", "full"),
]

suite = RegistrySuite("schema settings")


def described(broker, topic):
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return kafka.admin(broker).describe_configs([resource])[resource].result(kafka.SECONDS)


def alter(broker, topic, **settings):
    """`settings`: with `_` for each dot; None deletes one."""
    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
    kafka.admin(broker).incremental_alter_configs([resource])[resource].result(kafka.SECONDS)


def refusal(call):
    """The code with which a call is refused, None when it is not."""
    try:
        call()
    except KafkaException as error:
        if not error.args[0].str():
            raise AssertionError("a refusal without a message") from None
        return error.args[0].code()
    return None


@suite.test
def settings_are_described_where_they_are_set(broker):
    """And only there: tools that compare a topic's settings with those of Kafka find what they expect."""
    plain, asked = kafka.create(broker, fresh("plain")), kafka.create(broker, fresh("asked"), **ASKED)
    expect_equal([name for name in described(broker, plain) if name in ASKED], [], "of a topic that asks for nothing")
    found = described(broker, asked)
    expect_equal({name: found[name].value for name in ASKED}, ASKED, "of a topic that asks")
    expect_equal([name for name in ASKED if found[name].is_default], [], "defaults")


@suite.test
def settings_survive_kill_9(broker):
    asked = kafka.create(broker, fresh("kept"), **ASKED)
    broker.kill()
    broker.start()
    found = described(broker, asked)
    expect_equal({name: found[name].value for name in ASKED}, ASKED, "after kill -9")


@suite.test
def confluents_names_are_described_as_they_were_given(broker):
    given = {
        "confluent.value.schema.validation": "true",
        "confluent.value.subject.name.strategy": "io.confluent.kafka.serializers.subject.RecordNameStrategy",
    }
    found = described(broker, kafka.create(broker, fresh("confluents"), **given))
    expect_equal({name: found[name].value for name in given}, given, "Confluent's names")


@suite.test
def values_that_make_no_sense_are_refused(broker):
    with all_of() as check:
        for name, value in NONSENSE:
            topic = fresh("never")
            found = refusal(lambda topic=topic, config={name: value}: kafka.create(broker, topic, **config))
            check(expect_equal, found, KafkaError.INVALID_CONFIG, f"{name}={value}")
            check(expect_equal, topic in kafka.topics(broker), False, f"the topic with {name}={value} exists")


@suite.test
def values_that_make_no_sense_are_refused_later_too(broker):
    topic = kafka.create(broker, fresh("later"))
    with all_of() as check:
        for name, value in NONSENSE:
            found = refusal(lambda config={name: value}: alter(broker, topic, **config))
            check(expect_equal, found, KafkaError.INVALID_CONFIG, f"{name}={value}")
    expect_equal([name for name in described(broker, topic) if "schema" in name or "invalid" in name], [], "settings after that")


@suite.test
def a_dry_run_says_the_same_and_creates_nothing(broker):
    topic = fresh("dry")
    for config, code in [({"on.invalid.record": "ignore"}, KafkaError.INVALID_CONFIG), (ASKED, None)]:
        [made] = kafka.admin(broker).create_topics([NewTopic(topic, 1, 1, config=config)], validate_only=True).values()
        expect_equal(refusal(lambda made=made: made.result(kafka.SECONDS)), code, str(config))
    expect_equal(topic in kafka.topics(broker), False, "the topic exists")


@suite.test
def validation_is_turned_on_and_off_while_there_are_records(broker):
    topic = kafka.create(broker, fresh("changing"))
    schema_id = broker.registry().register(f"{topic}-value", JSON.first, "JSON")
    expect_taken(broker, topic, b"plain", "anything at first")
    alter(broker, topic, value_schema_validation="full")
    expect_equal(described(broker, topic)["value.schema.validation"].value, "full", "described")
    expect_invalid(broker, topic, b"plain")
    expect_taken(broker, topic, JSON.value(schema_id))
    # What was written before stays readable.
    expect_equal([message.value() for message in kafka.read_all(broker, topic)], [b"plain", JSON.value(schema_id)], "what can be read")
    alter(broker, topic, value_schema_validation="id")
    expect_taken(broker, topic, JSON.value(schema_id, total=-1), "a value that does not fit, at id")
    expect_invalid(broker, topic, b"plain", "no id, at id")
    broker.kill()
    broker.start()
    expect_invalid(broker, topic, b"plain", "no id, after kill -9")
    alter(broker, topic, value_schema_validation=None)
    expect_taken(broker, topic, b"plain", "anything again")


@suite.test
def dead_letters_are_turned_on_while_there_are_records(broker):
    topic = kafka.create(broker, fresh("later"), **{"value.schema.validation": "full"})
    broker.registry().register(f"{topic}-value", JSON.first, "JSON")
    expect_invalid(broker, topic, b"plain")
    alter(broker, topic, on_invalid_record="dead-letter")
    expect_taken(broker, topic, b"plain", "a bad one, for the other topic")
    eventually(lambda: f"{topic}.dlq" in kafka.topics(broker), what="the topic of dead letters")
    expect_equal([message.value() for message in kafka.read_all(broker, f"{topic}.dlq")], [b"plain"], "dead letters")


if __name__ == "__main__":
    suite.main()
