"""`http.auth = "keys"`: who may do what, projects whose topics are Kafka's under a prefix, and who may be without keys at all."""

import os
import subprocess
import tempfile

import broker as brokers
import kafka_client as kafka
from api import NDJSON, SSE, all_of, expect_error, topic_path
from server import HttpSuite
from projects import BOTH, CONFIG, LAB, OPEN, ORIGIN, SHOP, hashed
from routes import routes_of
from suite import expect_equal, fresh

suite = HttpSuite("http access", config=CONFIG)


def below(project, key):
    return lambda broker: broker.api(f"/projects/{project}", key=key)


shop, lab = below("shop", SHOP), below("lab", LAB)


def names(client):
    return {topic["name"] for topic in client.get("/topics")["topics"]}


@suite.test
def without_a_known_key_everything_is_401(broker):
    topic = fresh("guarded")
    shop(broker).create(topic)
    client = broker.api(key=None)
    routes = [("GET", "/topics", None), ("POST", "/topics", {"name": fresh("never")}), *routes_of(topic)]
    routes.append(("POST", f"{topic_path(topic)}/produce", {"value": 1}))
    wrong = [None, "Bearer", "Bearer ", "Bearer nobodys-key", f"Bearer {hashed(SHOP)}", f"Basic {SHOP}", SHOP]
    with all_of() as check:
        for method, path, body in routes:
            for root in ["", "/projects/shop"]:
                for authorization in wrong:
                    answer = client.call(method, root + path, body, {"Authorization": authorization})
                    check(expect_error, answer, 401, what=f"{method} {root + path} with {authorization}")
    expect_equal(answer.headers.get("WWW-Authenticate", "").split(" ")[0], "Bearer", "WWW-Authenticate")
    expect_equal(kafka.ends(broker, f"shop.{topic}"), {0: 0}, "ends")


@suite.test
def the_word_bearer_may_be_written_in_any_case(broker):
    for word in ["bearer", "BEARER"]:
        answer = broker.api(key=None).call("GET", "/projects/shop/topics", headers={"Authorization": f"{word} {SHOP}"})
        expect_equal(answer.status, 200, word)


@suite.test
def another_project_is_403_whether_it_exists_or_not(broker):
    topic = fresh("guarded")
    lab(broker).create(topic)
    with all_of() as check:
        for project in ["lab", "open", "nowhere"]:
            client = below(project, SHOP)(broker)
            for method, path, body in [("GET", "/topics", None), *routes_of(topic)]:
                check(expect_error, client.call(method, path, body), 403, what=f"{method} {path} of {project}")
    expect_equal(topic in names(lab(broker)), True, "the topic of lab is still there")


@suite.test
def at_the_root_a_key_means_its_only_project(broker):
    topic = fresh("root")
    at_root = broker.api(key=SHOP)
    at_root.create(topic)
    expect_equal([topic in names(client(broker)) for client in (shop, lab)], [True, False], "seen by shop and by lab")
    expect_equal(f"shop.{topic}" in kafka.topics(broker), True, "seen by Kafka under the prefix")
    expect_error(broker.api(key=BOTH).call("GET", "/topics"), 403, what="a key of several projects at the root")
    for project in ["shop", "lab"]:
        expect_equal(topic in names(below(project, BOTH)(broker)), project == "shop", f"a key of several projects below {project}")


@suite.test
def a_projects_topic_is_kafkas_topic_under_the_prefix(broker):
    topic, group = f"{fresh('order')}.placed", fresh("workers")
    client = shop(broker)
    expect_equal(client.create(topic, partitions=2)["name"], topic, "name in the answer")
    expect_equal(kafka.topics(broker)[f"shop.{topic}"], 2, "partitions in Kafka")
    expect_equal(topic in kafka.topics(broker), False, "without the prefix")
    expect_equal(client.produce(topic, {"n": 1}, partition=1)["topic"], topic, "topic in the answer to produce")
    kafka.produce(broker, f"shop.{topic}", [{"value": '{"n": 2}', "partition": 1}])
    page = client.consume(topic, group=group)
    expect_equal([(record["topic"], record["value"]["n"]) for record in page["records"]], [(topic, 1), (topic, 2)], "consumed")
    expect_equal(page["next_offsets"], {topic: {"1": 2}}, "next_offsets")
    client.commit(topic, group, 1, 2)
    expect_equal(kafka.committed(broker, group, f"shop.{topic}", 1), 2, "committed in Kafka")
    expect_equal(client.reset(topic, group, "earliest", partition=1), {topic: {"1": 0}}, "reset")
    expect_equal(client.get(f"{topic_path(topic)}/stats")["name"], topic, "name in stats")
    for accept in [SSE, NDJSON]:
        with client.stream(topic, accept, **{"from": "earliest"}) as stream:
            expect_equal([record["topic"] for record in stream.take(2)], [topic] * 2, f"topics in {accept}")


@suite.test
def a_project_sees_nothing_of_another(broker):
    topic, group, root = fresh("mine"), fresh("workers"), fresh("p")
    shop(broker).create(topic)
    shop(broker).produce(topic, "secret")
    for method, path, body in [*routes_of(topic), *routes_of(f"shop.{topic}")]:
        answer = lab(broker).call(method, path, body)
        expect_error(answer, 404, what=f"{method} {path} of lab")
        if b"shop." in answer.body and f"shop.{topic}" not in path:
            raise AssertionError(f"the error tells the other project's prefix: {answer.body.decode()}")
    expect_equal(names(lab(broker)) & {topic, f"shop.{topic}"}, set(), "in lab's list")
    shop(broker).create(f"{root}.a")
    shop(broker).produce(f"{root}.a", "secret")
    for pattern in ["**", "*", "*.*", f"{root}.*", "**.a", f"shop.{root}.*"]:
        found = lab(broker).consume(pattern, group=group, limit=1000)["records"]
        expect_equal([record for record in found if record["value"] == "secret"], [], f"what lab gets of {pattern}")
    lab(broker).create(topic)
    expect_equal(lab(broker).consume(topic, group=fresh("workers"))["records"], [], "the topic of the same name is another one")


@suite.test
def one_prefix_does_not_reach_into_another_that_begins_like_it(broker):
    """A topic of Kafka's that has no project's prefix belongs to the default one, if there is one, and to no other."""
    kafka.create(broker, stray := fresh("stray"), 1)
    kafka.create(broker, like := f"shopping.{fresh('cart')}", 1)
    seen = {project: names(below(project, key)(broker)) for project, key in [("shop", SHOP), ("lab", LAB), ("open", OPEN)]}
    expect_equal([name in seen["open"] for name in (stray, like)], [True, True], "seen by the project without a prefix")
    leaked = [name for project in ("shop", "lab") for name in seen[project] if name.endswith(like) or name.endswith(stray)]
    expect_equal(leaked, [], "seen by the others")


@suite.test
def idempotency_keys_of_projects_do_not_meet(broker):
    topic, key = fresh("keys"), fresh("request")
    for client in [shop(broker), lab(broker)]:
        client.create(topic, partitions=1)
        expect_equal(client.produce(topic, client.root, idempotency_key=key)["offset"], 0, f"offset below {client.root}")
    for client in [shop(broker), lab(broker)]:
        expect_equal([record["value"] for record in client.consume(topic, **{"from": "earliest"})["records"]], [client.root], "records")


@suite.test
def health_needs_no_key(broker):
    for path in ["/healthz", "/readyz"]:
        expect_equal(broker.api(key=None).call("GET", path).status, 200, path)


@suite.test
def browsers_of_a_known_origin_may_ask_and_others_may_not(broker):
    allowed = {}
    for origin in [ORIGIN, "https://elsewhere.example.com"]:
        answer = shop(broker).call("GET", "/topics", headers={"Origin": origin})
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
        before = broker.api(key=None).call("OPTIONS", "/projects/shop/topics", headers=asked)
        allowed[origin] = [found.headers.get("Access-Control-Allow-Origin") for found in (answer, before)]
    expect_equal(allowed[ORIGIN], [ORIGIN, ORIGIN], "Access-Control-Allow-Origin, of an answer and of a preflight")
    expect_equal(allowed["https://elsewhere.example.com"], [None, None], "the same for another origin")


@suite.test
def hash_key_prints_what_the_configuration_wants(broker):
    del broker
    for text in [SHOP, f"{SHOP}\n"]:
        found = subprocess.run([os.environ["FBF_BIN"], "hash-key"], input=text, capture_output=True, text=True, check=True, timeout=30)
        expect_equal(found.stdout.strip(), hashed(SHOP), f"of {text!r}")
        expect_equal(SHOP in found.stdout + found.stderr, False, "the key itself is printed")


@suite.test
def keys_are_not_logged(broker):
    shop(broker).get("/topics")
    below("lab", SHOP)(broker).call("GET", "/topics")
    log = broker.log.read_text(errors="replace")
    expect_equal([key for key in (SHOP, LAB, BOTH, OPEN) if key in log], [], "keys in the log")


@suite.test
def without_keys_fbf_listens_on_loopback_only(broker):
    del broker
    with tempfile.TemporaryDirectory() as folder:
        command = [os.environ["FBF_BIN"], "serve", "--data", folder, "--listen", "127.0.0.1:0", "--set", "http.listen=0.0.0.0:0"]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=30)
    said = refused.stdout + refused.stderr
    expect_equal(refused.returncode == 0, False, "it started")
    expect_equal([word for word in ("http.listen", "http.auth") if word not in said], [], f"words that {said!r} lacks")


@suite.test
def an_empty_address_turns_the_listener_off(broker):
    del broker
    off = brokers.Fbf({"http.listen": ""})
    try:
        expect_equal("http://" in off.start().started_log(), False, "an HTTP address in the banner")
    finally:
        off.close()


if __name__ == "__main__":
    suite.main()
