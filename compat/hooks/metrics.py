"""What GET /metrics shows of webhooks: attempts, what became of events, and endpoints as long as they are there."""

from exposition import scrape
from receiver import Receiver, Reply
from suite import eventually, expect_equal, fresh
from webhooks import ATTEMPTS, HookSuite, webhooks

suite = HookSuite("webhooks' metrics")


class Counted:
    """How much counters have grown since this was made."""

    def __init__(self, broker):
        self.broker, self.before = broker, scrape(broker)

    def grown(self, name, **labels):
        return scrape(self.broker).value(name, **labels) - self.before.value(name, **labels)

    def wait(self, count, name, **labels):
        eventually(lambda: self.grown(name, **labels) >= count, what=f"{count} of {name} {labels}")
        expect_equal(self.grown(name, **labels), count, f"{name} {labels}")


def made(broker, name, url):
    broker.api().create(name, partitions=1)
    return webhooks(broker).create(name, url, events=[name])


@suite.test
def a_delivered_event_is_one_attempt_and_one_success(broker):
    name = fresh("delivered")
    with Receiver() as receiver:
        endpoint = made(broker, name, receiver.url())
        counted = Counted(broker)
        broker.api().produce_all(name, [{"value": number} for number in range(4)])
        receiver.wait(4)
        counted.wait(4, "fbf_webhook_deliveries_total", status="success")
        counted.wait(4, "fbf_webhook_attempts_total", outcome="success")
        counted.wait(4, "fbf_webhook_attempt_duration_seconds_count")
        expect_equal(counted.grown("fbf_webhook_retries_total"), 0, "retries")
        shown = scrape(broker)
        expect_equal(endpoint["endpoint_id"] in shown.values("fbf_webhook_unsettled_events", "endpoint"), True, "the endpoint is shown")
        eventually(lambda: scrape(broker).value("fbf_webhook_unsettled_events", endpoint=endpoint["endpoint_id"]) == 0, what="nothing unsettled")
        [delivery, *_] = webhooks(broker).settled(name, 4)
        webhooks(broker).replay(name, delivery_id=delivery["delivery_id"])
        counted.wait(1, "fbf_webhook_replayed_ranges_total")
        counted.wait(1, "fbf_webhook_replayed_offsets_total")
        counted.wait(5, "fbf_webhook_deliveries_total", status="success")


@suite.test
def a_refused_event_is_retried_and_then_a_dead_letter(broker):
    name = fresh("refused")
    with Receiver(lambda _: Reply(500)) as receiver:
        made(broker, name, receiver.url())
        counted = Counted(broker)
        broker.api().produce(name, 1)
        counted.wait(1, "fbf_webhook_deliveries_total", status="failed")
        counted.wait(1, "fbf_webhook_dead_letters_total", reason="attempts-exhausted")
        expect_equal(counted.grown("fbf_webhook_attempts_total", outcome="refused"), ATTEMPTS, "attempts")
        expect_equal(counted.grown("fbf_webhook_retries_total"), ATTEMPTS - 1, "retries")


@suite.test
def a_receiver_that_is_not_there_is_unreachable_and_its_events_are_unsettled(broker):
    name = fresh("nowhere")
    counted = Counted(broker)
    endpoint = made(broker, name, "http://127.0.0.1:2/in")
    broker.api().produce(name, 1)
    eventually(lambda: counted.grown("fbf_webhook_attempts_total", outcome="unreachable") >= 1, what="an attempt that reaches nobody")
    counted.wait(1, "fbf_webhook_deliveries_total", status="failed")
    labels = scrape(broker).values("fbf_webhook_attempts_total", "outcome")
    expect_equal(labels, {"success", "throttled", "gone", "refused", "timeout", "unreachable"}, "outcomes, the ones that did not come included")
    webhooks(broker).delete(name)
    expect_equal(endpoint["endpoint_id"] in scrape(broker).values("fbf_webhook_unsettled_events", "endpoint"), False, "a deleted one is shown")


@suite.test
def endpoints_are_counted_by_state_and_nothing_says_where_they_are(broker):
    name = fresh("secret")
    states = ["enabled", "disabled"]

    def counts():
        shown = scrape(broker)
        return [shown.value("fbf_webhook_endpoints", state=state) for state in states]

    enabled, disabled = counts()
    made(broker, name, f"http://127.0.0.1:2/{name}")
    expect_equal(counts(), [enabled + 1, disabled], f"endpoints that are {states}")
    webhooks(broker).disable(name)
    expect_equal(counts(), [enabled, disabled + 1], f"endpoints that are {states}")
    shown = broker.api().call("GET", "/metrics").body.decode()
    expect_equal(name in shown or "127.0.0.1" in shown, False, "names or URLs of endpoints")
    for pool in ["unknown", "quick", "slow"]:
        expect_equal(scrape(broker).value("fbf_webhook_slots", pool=pool) >= 1, True, f"slots of those who are {pool}")
    webhooks(broker).delete(name)
    expect_equal(counts(), [enabled, disabled], f"endpoints that are {states}, after delete")


if __name__ == "__main__":
    suite.main()
