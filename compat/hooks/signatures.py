"""Signatures of deliveries, checked by the published packages `standardwebhooks` for Python and for Node (node/verify.mjs).

  signatures.py           runs the tests
  signatures.py --fetch   only puts the Node package in place, in $FBF_CACHE/standardwebhooks

FBF_WITHOUT_NODE=1 leaves Node out where it is not to be had.
"""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

import kafka_client as kafka
import nodejs
from receiver import Receiver, Reply
from suite import eventually, expect_equal, fresh
from webhooks import OVERLAP, HookSuite, event, webhooks

HERE = pathlib.Path(__file__).parent
FILES = ["package.json", "package-lock.json", "verify.mjs"]
COMMAND_SECONDS = 60
OVERLAP_MS = 4000
# Values whose bytes a signature must cover as they are.
VALUES = [{"n": 1}, "text", 7, 1.5, True, None, [], {"ä": "\u20ac \U0001f600", "quote": '"', "line": "\n"}, {"deep": [[[{}]]]}]

suite = HookSuite("webhooks' signatures", settings={OVERLAP: OVERLAP_MS, "storage.segment_bytes": 16 << 20})


def fetched():
    """The folder that has the package and our program; installs it when it is not there."""
    folder = pathlib.Path(os.environ["FBF_CACHE"]) / "standardwebhooks"
    stamp = hashlib.sha256(b"".join((HERE / "node" / name).read_bytes() for name in FILES)).hexdigest()
    stamped = folder / "stamp"
    if stamped.exists() and stamped.read_text() == stamp:
        return folder
    print(f"installing standardwebhooks to {folder}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy(HERE / "node" / name, folder)
    npm = ["npm", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error", "ci", "--prefer-offline", "--ignore-scripts"]
    subprocess.run(npm, cwd=folder, check=True, stdout=sys.stderr)
    stamped.write_text(stamp)
    return folder


def is_signed(request, secret):
    """As the Python package sees it."""
    try:
        Webhook(secret).verify(request.body, request.headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def without_node():
    return nodejs.missing() is not None and os.environ.get("FBF_WITHOUT_NODE") == "1"


def are_signed_for_node(requests, secret):
    """As the Node package sees it: a list of True and of what is wrong."""
    given = [{"secret": secret, "headers": request.headers, "body": base64.b64encode(request.body).decode()} for request in requests]
    if reason := nodejs.missing():
        raise AssertionError(f"{reason}, or set FBF_WITHOUT_NODE=1 to skip this")
    folder = fetched()
    command = ["node", str(folder / "verify.mjs")]
    found = subprocess.run(command, cwd=folder, input=json.dumps(given), capture_output=True, text=True, timeout=COMMAND_SECONDS)
    if found.returncode != 0:
        raise AssertionError(found.stderr.strip() or f"node ended with {found.returncode}")
    return json.loads(found.stdout)


def expect_signed(requests, secret):
    """Both packages agree to each of the requests, and to none that was tampered with."""
    expect_equal([is_signed(request, secret) for request in requests], [True] * len(requests), "signed, for Python")
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    expect_equal(any(is_signed(request, other) for request in requests), False, "signed with another secret, for Python")
    if without_node():
        print("Node is missing: its package was not asked", flush=True)
        return
    expect_equal(are_signed_for_node(requests, secret), [True] * len(requests), "signed, for Node")
    expect_equal(True in are_signed_for_node(requests, other), False, "signed with another secret, for Node")


@suite.test
def every_delivery_is_signed_whoever_published_the_event(broker):
    topic = fresh("signed")
    hooks, client = webhooks(broker), broker.api()
    client.create(topic, partitions=1)
    with Receiver() as receiver:
        endpoint = hooks.create(topic, receiver.url(), events=[topic])
        client.produce_all(topic, [{"value": value} for value in VALUES])
        kafka.produce(broker, topic, [json.dumps(value, ensure_ascii=False).encode() for value in VALUES])
        hooks.send(f"{topic}.sent", {"by": "send"}, endpoints=[topic])
        hooks.test(topic)
        requests = receiver.wait(2 * len(VALUES) + 2)
    expect_signed(requests, endpoint["secret"])
    for value in VALUES:
        expect_equal(sum(is_same(event(request), value) for request in requests), 2, f"deliveries of {value!r}")


def is_same(found, value):
    """Python's True is 1."""
    return json.dumps(found, sort_keys=True) == json.dumps(value, sort_keys=True)


@suite.test
def an_attempt_has_the_same_id_and_a_signature_for_its_own_time(broker):
    topic = fresh("again")
    hooks, client = webhooks(broker), broker.api()
    client.create(topic, partitions=1)
    with Receiver(lambda request: Reply(503) if request.attempt < 3 else Reply()) as receiver:
        endpoint = hooks.create(topic, receiver.url(), events=[topic])
        client.produce(topic, {"n": 1})
        requests = receiver.wait(3)
        expect_signed(requests, endpoint["secret"])
        expect_equal(len({request.id for request in requests}), 1, "ids")
        expect_equal(len({request.body for request in requests}), 1, "bodies")
        for request in requests:
            age = time.time() - int(request.headers["webhook-timestamp"])
            expect_equal(-5 < age < 60, True, f"an age of {age} s is about now")


@suite.test
def during_the_overlap_both_secrets_sign_and_then_only_the_new_one(broker):
    topic = fresh("rotated")
    hooks, client = webhooks(broker), broker.api()
    client.create(topic, partitions=1)
    with Receiver() as receiver:
        old = hooks.create(topic, receiver.url(), events=[topic])["secret"]
        client.produce(topic, "before")
        new = hooks.rotate_secret(topic)["secret"]
        expect_equal(old == new, False, "the new secret is the old one")
        expect_equal(hooks.get(topic)["secret"], new, "the secret that the endpoint has")
        client.produce(topic, "during")
        [during] = receiver.wait(1, where=lambda request: event(request) == "during")
        expect_equal((is_signed(during, old), is_signed(during, new)), (True, True), "signed with the old and the new secret")
        expect_signed([during], old)
        expect_signed([during], new)

        def last():
            client.produce(topic, "after")
            request = receiver.wait(1, where=lambda request: event(request) == "after")[-1]
            return request if not is_signed(request, old) else None

        after = eventually(last, OVERLAP_MS / 1000 + 30, "the end of the overlap")
        expect_signed([after], new)


@suite.test
def a_secret_survives_kill_9_and_is_in_no_file_and_no_log_as_it_is(broker):
    topic = fresh("kept")
    hooks, client = webhooks(broker), broker.api()
    client.create(topic, partitions=1)
    with Receiver() as receiver:
        secret = hooks.create(topic, receiver.url(), events=[topic])["secret"]
        broker.kill()
        broker.start()
        hooks.client.close()
        expect_equal(hooks.get(topic)["secret"], secret, "the secret after kill -9")
        broker.api().produce(topic, 1)
        expect_signed(receiver.wait(1), secret)
    text = secret.removeprefix("whsec_")
    raw = base64.b64decode(text + "==")
    forms = [text.encode(), raw, raw.hex().encode()]
    found = [str(file) for file in broker.home.rglob("*") if file.is_file() and has_one_of(file.read_bytes(), forms)]
    expect_equal(found, [], "files that have the secret")
    readable = [str(file) for file in broker.home.rglob("*key*") if file.is_file() and file.stat().st_mode & 0o077]
    expect_equal(readable, [], "files of keys that others may read")


def has_one_of(content, forms):
    return any(form in content for form in forms)


if __name__ == "__main__":
    if sys.argv[1:] == ["--fetch"]:
        if nodejs.missing() is None:
            fetched()
    else:
        suite.main()
