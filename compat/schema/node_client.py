"""KafkaJS's registry client, @kafkajs/confluent-schema-registry, as it comes from npm (node/registry.mjs); what it writes and what it can read.

  node_client.py           runs the tests
  node_client.py --fetch   only puts the package in place, in $FBF_CACHE/kafkajs-registry

Node 22 or newer is what the package's 4.1.0 asks for; 3.9.0 is the last one for older ones. FBF_WITHOUT_NODE=1 skips this where Node is not
to be had.
"""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import kafka_client as kafka
import nodejs
from deliveries import deliver_one, expect_invalid, expect_taken
from orders import FORMATS, PROTOBUF
from registry import RegistrySuite
from suite import expect_equal, fresh

HERE = pathlib.Path(__file__).parent
FILES = ["package.json", "package-lock.json", "registry.mjs"]
COMMAND_SECONDS = 110
RECORD, NEWER = {"id": "o-1", "total": 5}, {"id": "o-2", "total": 6, "note": "gift"}
INPUT = [
    {"type": kind.type, "first": kind.first, "second": kind.second, "incompatible": kind.incompatible, "record": RECORD, "newer": NEWER}
    for kind in FORMATS
]

suite = RegistrySuite("registry client for Node")


def fetched():
    """The folder that has the package and our program; installs it when it is not there."""
    folder = pathlib.Path(os.environ["FBF_CACHE"]) / "kafkajs-registry"
    stamp = hashlib.sha256(b"".join((HERE / "node" / name).read_bytes() for name in FILES)).hexdigest()
    stamped = folder / "stamp"
    if stamped.exists() and stamped.read_text() == stamp:
        return folder
    print(f"installing @kafkajs/confluent-schema-registry to {folder}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy(HERE / "node" / name, folder)
    npm = ["npm", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error", "ci", "--prefer-offline", "--ignore-scripts"]
    subprocess.run(npm, cwd=folder, check=True, stdout=sys.stderr)
    stamped.write_text(stamp)
    return folder


def kafkajs(given, *arguments):
    """What the program says; raises with what it had to say when it fails."""
    folder = fetched()
    command = ["node", str(folder / "registry.mjs"), *arguments]
    found = subprocess.run(command, cwd=folder, input=json.dumps(given), capture_output=True, text=True, timeout=COMMAND_SECONDS)
    if found.returncode != 0:
        raise AssertionError(f"ended with {found.returncode}: ...{(found.stdout + found.stderr)[-1500:]}")
    return {each["type"]: each for each in json.loads(found.stdout)}


def topic_for(broker, subject, validation):
    return kafka.create(broker, fresh("kafkajs"), **{"value.schema.validation": validation, "value.schema.subject": subject})


@suite.test
def each_format_is_registered_encoded_decoded_and_refused(broker):
    found = kafkajs(INPUT, "check", broker.registry_url, fresh("kafkajs"))
    expect_equal(sorted(found), ["AVRO", "JSON", "PROTOBUF"], "formats")
    for kind in FORMATS:
        latest = broker.registry().version(found[kind.type]["subject"])
        expect_equal(latest["version"], 2, f"{kind.type}: latest version")


@suite.test
def what_it_writes_is_what_the_broker_takes(broker):
    found = kafkajs(INPUT, "check", broker.registry_url, fresh("written"))
    for kind in FORMATS:
        value = base64.b64decode(found[kind.type]["value"])
        if kind is not PROTOBUF:
            expect_taken(broker, topic_for(broker, found[kind.type]["subject"], "full"), value, kind.type)
        expect_taken(broker, topic_for(broker, found[kind.type]["subject"], "id"), value, f"{kind.type}, id alone")


@suite.test
def its_protobuf_has_no_place_of_the_message_and_is_refused_in_full(broker):
    """It leaves out what stands between id and payload, and readers of Confluent's would take the payload's first bytes for it."""
    found = kafkajs(INPUT, "check", broker.registry_url, fresh("protobuf"))["PROTOBUF"]
    expect_equal(base64.b64decode(found["value"])[5:], PROTOBUF.payload("o-1", 5), "what it writes behind the id")
    expect_invalid(broker, topic_for(broker, found["subject"], "full"), base64.b64decode(found["value"]), "Protobuf of KafkaJS")


@suite.test
def it_reads_what_others_write(broker):
    values = []
    for kind in FORMATS:
        topic = kafka.create(broker, fresh(kind.type.lower()), **{"value.schema.validation": "full"})
        schema_id = broker.registry().register(f"{topic}-value", kind.first, kind.type)
        expect_equal(deliver_one(broker, topic, kind.value(schema_id)), (0, 0), f"{kind.type}: place")
        [message] = kafka.read_all(broker, topic)
        values.append({"type": kind.type, "value": base64.b64encode(message.value()).decode()})
    found = kafkajs(values, "decode", broker.registry_url)
    for kind in FORMATS:
        expect_equal(found[kind.type]["record"], {"id": "o-1", "total": "5"}, f"{kind.type}: read")


def main():
    if sys.argv[1:] != ["--fetch"]:
        nodejs.run(suite)
        return
    reason = nodejs.missing()
    if reason is None:
        fetched()
    elif os.environ.get("FBF_WITHOUT_NODE") != "1":
        sys.exit(reason)


if __name__ == "__main__":
    main()
