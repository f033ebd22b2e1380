"""Endpoints as they are kept: made, read, changed, switched off and on, taken away; per project, within limits, refused where they make no sense."""

import projects
from api import Refused, all_of, expect_error, moment, now
from receiver import Receiver, Reply
from server import started
from suite import expect_equal, fresh
from webhooks import ENDPOINTS_MAX, SETTINGS, HookSuite, event, webhooks

URL = "http://127.0.0.1:2/in"
LIMIT = 3

suite = HookSuite("webhooks' endpoints")


def without(endpoint, *fields):
    return {name: value for name, value in endpoint.items() if name not in fields}


@suite.test
def an_endpoint_is_what_was_asked_for(broker):
    hooks, name = webhooks(broker), fresh("crm")
    asked = {
        **{"events": ["order.*", "**.failed"], "description": "all settings", "metadata": {"team": "crm", "stage": "ä"}},
        **{"filters": {"headers": {"region": "eu"}, "data": {"/total": 5, "/items/0": "a"}}, "ordered": True},
        **{"timeout_ms": 500, "concurrency": 2},
    }
    before = now()
    found = hooks.create(name, URL, **asked)
    expect_equal({field: found[field] for field in asked}, asked, "what was asked for")
    expect_equal((found["name"], found["url"], found["enabled"]), (name, URL, True), "endpoint")
    expect_equal(found["secret"].startswith("whsec_") and len(found["secret"]) > 32, True, "a secret as Standard Webhooks has them")
    expect_equal(found["group"] != "", True, "a consumer group")
    expect_equal(abs((moment(found["created_at"]) - before).total_seconds()) < 60, True, f"created_at {found['created_at']} is now")
    expect_equal(hooks.get(name), found, "what get gives")
    expect_equal([each for each in hooks.list() if each["name"] == name], [found], "what list gives")


@suite.test
def an_endpoint_of_which_little_is_said_has_defaults(broker):
    hooks, name = webhooks(broker), fresh("bare")
    found = hooks.create(name, URL)
    kept = {field: found.get(field) for field in ("events", "metadata", "enabled", "ordered")}
    expect_equal(kept, {"events": [], "metadata": {}, "enabled": True, "ordered": False}, "defaults")
    optional = ["events", "description", "metadata", "filters", "ordered", "enabled", "timeout_ms", "concurrency", "secret"]
    nulls = hooks.create(fresh("bare"), URL, **dict.fromkeys(optional))
    of_its_own = {"endpoint_id", "name", "secret", "created_at", "group"}
    expect_equal(without(nulls, *of_its_own), without(found, *of_its_own), "where nothing is said with null")
    expect_equal(hooks.update(name, **dict.fromkeys(["events", "metadata", "filters", "ordered", "enabled"])), found, "after a change of nothing")
    other = hooks.create(fresh("bare"), URL)
    expect_equal(other["secret"] == found["secret"] or other["endpoint_id"] == found["endpoint_id"], False, "another one has the same secret or id")


@suite.test
def create_answers_201_and_delete_204(broker):
    hooks, name = webhooks(broker), fresh("status")
    expect_equal(hooks.call("POST", body={"name": name, "url": URL}).status, 201, "create")
    expect_error(hooks.call("POST", body={"name": name, "url": URL}), 409, name, what="the same name again")
    expect_equal(hooks.call("DELETE", name).status, 204, "delete")
    for method, action, body in [("GET", "", None), ("DELETE", "", None), ("PATCH", "", {"url": URL}), *ACTIONS]:
        expect_error(hooks.call(method, name, action, body), 404, name, what=f"{method} {action} of one that is gone")
    expect_equal(hooks.create(name, URL)["name"], name, "the name is free again")


ACTIONS = [
    ("POST", "/enable", None),
    ("POST", "/disable", None),
    ("POST", "/rotate-secret", None),
    ("POST", "/test", None),
    ("POST", "/replay", {"status": "failed"}),
    ("GET", "/deliveries", None),
    ("GET", "/deliveries/msg_none", None),
]


@suite.test
def patch_changes_what_it_names_and_nothing_else(broker):
    hooks, name = webhooks(broker), fresh("patched")
    found = hooks.create(name, URL, events=["order.*"], description="old", metadata={"a": "1"}, timeout_ms=700)
    for change in [
        {"url": "http://127.0.0.1:2/other"},
        {"events": ["order.placed", "**.paid"]},
        {"metadata": {"b": "2"}},
        {"filters": {"headers": {"a": "b"}, "data": {"/n": 1}}},
        {"ordered": True},
        {"timeout_ms": 900},
        {"concurrency": 3},
        {"enabled": False},
        {"enabled": True},
        {"description": "new"},
    ]:
        expected = {**found, **change}
        found = hooks.update(name, **change)
        gone = ("disabled_reason", "updated_at")
        expect_equal(without(found, *gone), without(expected, *gone), f"after {change}")
        expect_equal(hooks.get(name), found, f"what get gives after {change}")
    found = hooks.update(name, description=None, timeout_ms=None, concurrency=None)
    expect_equal([field for field in ("description", "timeout_ms", "concurrency") if found.get(field) is not None], [], "what null takes away")
    expect_equal(hooks.update(name), found, "what an empty change gives")


@suite.test
def a_changed_url_is_where_the_next_event_goes(broker):
    hooks, client, topic = webhooks(broker), broker.api(), fresh("moved")
    client.create(topic, partitions=1)
    with Receiver() as receiver:
        hooks.create(topic, receiver.url("/old"), events=[topic])
        client.produce(topic, 1)
        receiver.wait(1)
        hooks.update(topic, url=receiver.url("/new"))
        client.produce(topic, 2)
        receiver.wait(2)
        expect_equal([(request.path, event(request)) for request in receiver.requests], [("/old", 1), ("/new", 2)], "requests")


@suite.test
def what_is_disabled_gets_nothing_and_when_enabled_everything(broker):
    hooks, client, topic = webhooks(broker), broker.api(), fresh("off")
    client.create(topic, partitions=1)
    with Receiver() as receiver:
        hooks.create(topic, receiver.url("/off"), events=[topic])
        hooks.create(f"{topic}-other", receiver.url("/on"), events=[topic])
        expect_equal(hooks.disable(topic)["enabled"], False, "after disable")
        expect_equal(hooks.get(topic)["enabled"], False, "what get gives")
        for number in range(3):
            client.produce(topic, number)
        receiver.wait(3, where=lambda request: request.path == "/on")
        expect_equal([request for request in receiver.requests if request.path == "/off"], [], "requests while disabled")
        expect_equal(hooks.enable(topic)["enabled"], True, "after enable")
        found = receiver.wait(3, where=lambda request: request.path == "/off")
        expect_equal(sorted(event(request) for request in found), [0, 1, 2], "events that had to wait")


@suite.test
def endpoints_are_as_they_were_after_kill_9(broker):
    hooks = webhooks(broker)
    names = [fresh("kept") for _ in range(4)]
    for name in names:
        hooks.create(name, URL, events=["kept.**"], metadata={"name": name}, ordered=True)
    hooks.disable(names[1])
    hooks.rotate_secret(names[2])
    hooks.delete(names[3])
    before = hooks.list()
    broker.kill()
    broker.start()
    hooks.client.close()
    expect_equal(hooks.list(), before, "endpoints after kill -9")
    expect_equal(names[3] in {each["name"] for each in before}, False, "the deleted one is listed")


# (why, fields that are wrong, what the message must name)
WRONG = [
    ("no name", {"name": None}, ["name"]),
    ("an empty name", {"name": ""}, ["name"]),
    ("a name with a slash", {"name": "a/b"}, ["name"]),
    ("a name with a control character", {"name": "a\nb"}, ["name"]),
    ("a long name", {"name": "a" * 300}, ["name"]),
    ("a name that is a number", {"name": 7}, ["name"]),
    ("no URL", {"url": None}, ["url"]),
    ("an empty URL", {"url": ""}, ["url"]),
    ("a URL that is a word", {"url": "crm"}, ["url", "crm"]),
    ("a URL without a host", {"url": "http://:8080/in"}, ["url"]),
    ("a URL of another scheme", {"url": "ftp://files.example.com/in"}, ["url", "ftp"]),
    ("a URL with a password", {"url": "https://me:hunter2@example.com/in"}, ["url"]),
    ("a URL with a fragment", {"url": "https://example.com/in#here"}, ["url"]),
    ("a long URL", {"url": "https://example.com/" + "a" * 5000}, ["url"]),
    ("events that are no list", {"events": "order.placed"}, ["events"]),
    ("an event that is a number", {"events": [7]}, ["events"]),
    ("an empty event", {"events": [""]}, ["events"]),
    ("a star inside a word", {"events": ["order*"]}, ["order*"]),
    ("three stars", {"events": ["***"]}, ["***"]),
    ("an event that can be no topic's name", {"events": ["no spaces"]}, ["no spaces"]),
    ("an event that is longer than topics' names", {"events": ["a" * 250]}, ["events"]),
    ("metadata that are no texts", {"metadata": {"n": 1}}, ["metadata"]),
    ("metadata that are a list", {"metadata": ["a"]}, ["metadata"]),
    ("a pointer that is none", {"filters": {"data": {"total": 5}}}, ["total"]),
    ("a pointer with a broken escape", {"filters": {"data": {"/a~2": 5}}}, ["/a~2"]),
    ("a header that is no text", {"filters": {"headers": {"region": 5}}}, ["headers"]),
    ("a filter that is unknown", {"filters": {"keys": {"a": "b"}}}, ["keys"]),
    ("a time-out of 0", {"timeout_ms": 0}, ["timeout_ms"]),
    ("a negative time-out", {"timeout_ms": -1}, ["timeout_ms"]),
    ("a time-out of a day", {"timeout_ms": 86_400_000}, ["timeout_ms"]),
    ("a concurrency of 0", {"concurrency": 0}, ["concurrency"]),
    ("a secret that is no base64", {"secret": "whsec_%%%"}, ["secret"]),
    ("a secret that is too short", {"secret": "whsec_YQ=="}, ["secret"]),
    ("a secret without its prefix", {"secret": "swordfish"}, ["secret"]),
    ("a field that is unknown", {"urls": [URL]}, ["urls"]),
]
CANNOT_BE_PATCHED = {"name", "secret"}


@suite.test
def what_makes_no_sense_is_refused_with_what_is_wrong(broker):
    hooks, name = webhooks(broker), fresh("right")
    found = hooks.create(name, URL, events=["right.*"])
    with all_of() as check:
        for what, fields, words in WRONG:
            body = {field: value for field, value in {"name": fresh("wrong"), "url": URL, **fields}.items() if value is not None}
            check(expect_error, hooks.call("POST", body=body), 400, *words, what=f"create with {what}")
            if not CANNOT_BE_PATCHED & fields.keys() and None not in fields.values():
                check(expect_error, hooks.call("PATCH", name, body=fields), 400, *words, what=f"a change to {what}")
        for what, body in [("a list", []), ("a text", "crm"), ("no JSON", b"{"), ("null", b"null")]:
            check(expect_error, hooks.call("POST", body=body), 400, what=f"create with {what}")
    expect_equal(hooks.get(name), found, "the endpoint after all those changes")
    expect_equal([each["name"] for each in hooks.list() if each["name"].startswith("wrong")], [], "endpoints after all that")


@suite.test
def no_error_shows_a_password_or_a_secret(broker):
    hooks = webhooks(broker)
    for fields in [{"url": "https://me:hunter2@example.com/in"}, {"url": URL, "secret": "whsec_hunter2%%"}]:
        answer = hooks.call("POST", body={"name": fresh("secret"), **fields})
        expect_error(answer, 400)
        expect_equal(b"hunter2" in answer.body, False, f"it is in {answer.body.decode()}")
    expect_equal("hunter2" in broker.started_log(), False, "it is in the log")


@suite.test
def more_endpoints_than_the_limit_are_refused(broker):
    del broker
    with started({**SETTINGS, ENDPOINTS_MAX: LIMIT}, projects.CONFIG) as small:
        shop, lab = webhooks(small, "/projects/shop", key=projects.SHOP), webhooks(small, "/projects/lab", key=projects.LAB)
        for number in range(LIMIT):
            shop.create(f"crm-{number}", URL)
        expect_error(shop.call("POST", body={"name": "one-more", "url": URL}), 409, str(LIMIT), what="one more")
        lab.create("crm-0", URL)
        shop.delete("crm-0")
        shop.create("one-more", URL)


@suite.test
def a_project_sees_and_gets_nothing_of_another(broker):
    del broker
    with started(SETTINGS, projects.CONFIG) as guarded, Receiver() as receiver:
        shop, lab = webhooks(guarded, "/projects/shop", key=projects.SHOP), webhooks(guarded, "/projects/lab", key=projects.LAB)
        name, topic = "crm", "order.placed"
        shop_endpoint = shop.create(name, receiver.url("/shop"), events=["**", topic])
        for method, action, body in [("GET", "", None), ("DELETE", "", None), ("PATCH", "", {"url": URL}), *ACTIONS]:
            expect_error(lab.call(method, name, action, body), 404, name, what=f"{method} {action} by lab")
        expect_equal(lab.list(), [], "what lab's list has")
        expect_equal(lab.stats()["by_endpoint"], {}, "what lab's statistics have")
        lab_endpoint = lab.create(name, receiver.url("/lab"), events=["**"])
        expect_equal(lab_endpoint["group"] == shop_endpoint["group"], False, "both have the same group")
        for hooks in (shop, lab):
            hooks.client.create(topic)
            hooks.client.produce(topic, hooks.client.root)
        receiver.wait(2)
        expect_error(lab.call("GET", name, f"/deliveries/{shop.settled(name, 1)[0]['delivery_id']}"), 404, what="shop's delivery by lab")
        shop.send("said", "by shop", endpoints=[name])
        receiver.wait(3)
        # Events of both that come afterwards show that nothing else was on its way.
        for hooks in (shop, lab):
            hooks.client.produce(topic, "last")
        receiver.wait(2, where=lambda request: event(request) == "last")
        found = {path: sorted(event(request) for request in receiver.requests if request.path == path) for path in ("/shop", "/lab")}
        expect_equal(found, {"/shop": ["/projects/shop", "by shop", "last"], "/lab": ["/projects/lab", "last"]}, "what each gets")
        expect_equal({request.json()["type"] for request in receiver.requests}, {topic, "said"}, "types, without the projects' prefixes")


@suite.test
def keys_are_asked_for_as_everywhere(broker):
    del broker
    with started(SETTINGS, projects.CONFIG) as guarded:
        for key, status in [(None, 401), ("nobodys-key", 401), (projects.LAB, 403)]:
            hooks = webhooks(guarded, "/projects/shop", key=key)
            for method, action, body in [("GET", "", None), ("DELETE", "", None), *ACTIONS]:
                expect_error(hooks.call(method, "crm", action, body), status, what=f"{method} {action} with key {key}")
            expect_error(hooks.call("POST", body={"name": "crm", "url": URL}), status, what=f"create with key {key}")
            expect_error(hooks.client.call("POST", "/webhooks", {"event_type": "a", "payload": 1}), status, what=f"send with key {key}")
            expect_error(hooks.client.call("GET", "/webhooks/stats"), status, what=f"stats with key {key}")


@suite.test
def a_secret_of_ones_own_is_taken(broker):
    hooks, name, own = webhooks(broker), fresh("own"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    expect_equal(hooks.create(name, URL, secret=own)["secret"], own, "the secret")
    other = "whsec_" + own.removeprefix("whsec_")[::-1]
    found = hooks.rotate_secret(name, secret=other, overlap_ms=60_000)
    expect_equal(found["secret"], other, "the secret after a rotation")
    remaining = (moment(found["previous_secret_expires_at"]) - now()).total_seconds()
    expect_equal(0 < remaining <= 61, True, f"{remaining:.0f} s of overlap")
    try:
        hooks.rotate_secret(name, secret="swordfish")
    except Refused as refused:
        expect_error(refused.answer, 400, "secret")
    else:
        raise AssertionError("a secret that is none was taken")


@suite.test
def secrets_of_several_rotations_sign_side_by_side(broker):
    hooks, name = webhooks(broker), fresh("rotated")
    with Receiver() as receiver:
        hooks.create(name, receiver.url(), events=[])
        for _ in range(7):
            hooks.rotate_secret(name, overlap_ms=60_000)
        hooks.test(name)
        [request] = receiver.wait(1)
        expect_equal(len(request.headers["webhook-signature"].split()), 6, "signatures: the new secret's, and of the last five before")
        hooks.rotate_secret(name, overlap_ms=0)
        hooks.test(name)
        expect_equal(len(receiver.wait(2)[1].headers["webhook-signature"].split()), 1, "signatures after a rotation without overlap")


@suite.test
def what_one_endpoint_may_ask_for_is_bounded(broker):
    hooks = webhooks(broker)
    for field, most, setting in [("concurrency", 64, "hooks.endpoint_concurrency_max"), ("timeout_ms", 60_000, "hooks.timeout_max_ms")]:
        expect_error(hooks.call("POST", body={"name": fresh("greedy"), "url": URL, field: most + 1}), 400, setting)
        hooks.create(fresh("modest"), URL, **{field: most})


@suite.test
def what_is_sent_and_filtered_out_is_no_delivery(broker):
    hooks, name = webhooks(broker), fresh("filtered")
    with Receiver() as receiver:
        hooks.create(name, receiver.url(), events=["order.*"], filters={"data": {"/kind": "express"}})
        hooks.send("order.placed", {"kind": "slow"}, endpoints=[name])
        hooks.send("order.placed", {"kind": "express"}, endpoints=[name])
        hooks.settled(name, 1)
        expect_equal([each["status"] for each in hooks.deliveries(name)], ["success"], "deliveries")


@suite.test
def a_disabled_endpoint_keeps_no_memory_from_others(broker):
    """It has read ahead as much as there is room for when it is disabled."""
    del broker
    topic, other, value = fresh("heavy"), fresh("other"), "x" * 50_000
    with started({**SETTINGS, "hooks.memory_bytes": 1 << 20}) as small, Receiver(lambda request: Reply(seconds=0.3 if request.path == "/heavy" else 0)) as receiver:
        hooks, client = webhooks(small), small.api()
        for name in (topic, other):
            client.create(name)
        hooks.create(topic, receiver.url("/heavy"), events=[topic], concurrency=1)
        for _ in range(60):
            client.produce(topic, value)
        receiver.wait(4)
        hooks.disable(topic)
        hooks.create(other, receiver.url("/other"), events=[other])
        client.produce_all(other, [{"value": number} for number in range(100)])
        hooks.settled(other, 100)


if __name__ == "__main__":
    suite.main()
