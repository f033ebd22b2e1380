"""Where requests may not go (server-side request forgery): every form of an address that is not public, other schemes, users, odd ports, redirects,
and names whose address changes. With `hooks.allow_private_addresses = false`, and plain HTTP allowed, so that nothing else is what refuses them.

Each case is refused when the endpoint is made, or, should that be taken, when something is delivered; the message names what is wrong, and nothing
reaches the receiver on 127.0.0.1 that most of the cases lead to.

Names are resolved by the server, which cannot be told to ask a resolver of ours. Where this may make a mount namespace (as root), the server gets a
hosts file of its own that changes while it runs; elsewhere those tests are left out, and say so. The unit tests of src/hooks have the rest.
"""

import contextlib
import shutil
import subprocess
import sys
import time

from api import all_of, expect_error
from receiver import Receiver, Reply
from server import HttpBroker, HttpSuite, started
from suite import Results, eventually, expect_equal, fresh
from webhooks import ATTEMPTS, SETTINGS, dead_letters, event, header, webhooks

STRICT = {**SETTINGS, "hooks.allow_private_addresses": "false", "hooks.allow_http": "true"}
# How long nothing must arrive: enough for a request that should not be made.
QUIET_SECONDS = 1
# A public address that nobody answers at, for a name that changes before anything is sent.
PUBLIC = "1.2.3.4"
REBOUND, HARMLESS = "rebound.example.com", "inside.example.com"

# Hosts that lead to the receiver on this machine, or would if the server took them for more than they are.
HERE = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.0.0.2",
    "127.255.255.254",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7F.0x0.0x0.0x1",
    "0x7f.1",
    "0177.0.0.1",
    "0177.0.0.01",
    "017700000001",
    "00000177.0.0.1",
    "0.0.0.0",
    "0",
    "0x0",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "\uff11\uff12\uff17.0.0.1",
    "127\u30020\u30020\u30021",
    "\u2460\u2461\u2466.0.0.1",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:7f00:0001::1]",
    "[2001:0:7f00:1::]",
    "[2001:0:0:0:0:0:80ff:fffe]",
    "[fe80::5efe:127.0.0.1]",
    "[2001:4860::5efe:127.0.0.1]",
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
]
# Hosts of other machines that only this one, its network or its cloud can reach, and what is nobody's.
ELSEWHERE = [
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "0xa.0.0.1",
    "167772161",
    "100.64.0.1",
    "100.127.255.255",
    "100.100.100.200",
    "169.254.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.254.170.2",
    "168.63.129.16",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.65535",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "[fc00::1]",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[ff05::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:192.168.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::10.0.0.1]",
    "[2002:a9fe:a9fe::1]",
    "[2002:a00:1::1]",
    "[2002:c0a8:1::]",
]
# Names that RFC 6761, 6762 and 8375, or clouds, keep for what is private; no resolver needs to be asked.
NAMES = ["localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "printer.local", "metadata.google.internal", "nas.home.arpa"]
# With {port} for the receiver's.
URLS = [
    ("a user", "http://me@example.com/in"),
    ("a user and a password", "https://me:hunter2@example.com/in"),
    ("only a password", "https://:hunter2@example.com/in"),
    ("an empty user with a password", "https://:@127.0.0.1:{port}/in"),
    ("a user that looks like the host", "http://example.com@127.0.0.1:{port}/in"),
    ("a user that looks like host and port", "http://example.com:80@127.0.0.1:{port}/in"),
    ("two users", "http://a@example.com@127.0.0.1:{port}/in"),
    ("a host behind a backslash", "http://127.0.0.1:{port}\\@example.com/in"),
    ("a fragment that looks like a host", "http://127.0.0.1:{port}#@example.com/"),
    ("a fragment", "https://example.com/in#here"),
    ("a query that looks like a host", "http://127.0.0.1:{port}?@example.com/"),
    ("slashes that lack", "http:127.0.0.1:{port}/in"),
    ("slashes too many", "http:////127.0.0.1:{port}/in"),
    ("backslashes", "http:\\\\127.0.0.1:{port}\\in"),
    ("a tab inside", "http://127.0.\t0.1:{port}/in"),
    ("a line break inside", "http://127.0.0.1:{port}/in\r\nX-Evil: 1"),
    ("blanks around", "  http://127.0.0.1:{port}/in  "),
    ("a null", "http://example.com\x00.127.0.0.1:{port}/in"),
    ("a blank in the host", "http://exa mple.com/in"),
    ("a soft hyphen in the address", "http://127.0.0\u00ad.1:{port}/in"),
    ("no scheme", "example.com/in"),
    ("no scheme but slashes", "//127.0.0.1:{port}/in"),
    ("no host", "http://:{port}/in"),
    ("only a scheme", "https://"),
    ("nothing", ""),
    ("a file", "file:///etc/passwd"),
    ("FTP", "ftp://127.0.0.1:{port}/in"),
    ("gopher", "gopher://127.0.0.1:{port}/_POST"),
    ("a dictionary", "dict://127.0.0.1:{port}/stat"),
    ("LDAP", "ldap://127.0.0.1:{port}/"),
    ("a script", "javascript:alert(1)"),
    ("data", "data:text/plain,hello"),
    ("a Unix socket", "unix:///run/docker.sock"),
    ("a web socket", "ws://127.0.0.1:{port}/in"),
    ("an address of IPv6 that is none", "http://[::1/in"),
    ("an address of five parts", "http://127.0.0.0.1:{port}/in"),
    ("an address beyond 32 bits", "http://4294967296:{port}/in"),
    ("a part beyond a byte", "http://127.0.0.256:{port}/in"),
]
PORTS = ["0", "00000", "-1", "65536", "99999999999999999999", "8O", "0x50", "80:80", " 80"]
# Services that would take an HTTP request for commands of their own.
PORTS += ["1", "7", "19", "21", "22", "23", "25", "53", "110", "143", "6667", "587", "2049", "6379", "11211"]

suite = HttpSuite("webhooks' addresses", settings=STRICT)


def expect_refused(broker, url, *words, what):
    """At creation, or else at delivery; `words`: one of them is in the message."""
    hooks, name = webhooks(broker), fresh("forged")
    answer = hooks.call("POST", body={"name": name, "url": url})
    if answer.status == 400:
        expect_error(answer, 400, what=what)
        message = answer.json()["error"]["message"]
    else:
        answer.success()
        found = hooks.test(name)
        hooks.delete(name)
        expect_equal(found["status"], "failed", f"{what}: the delivery's status")
        message = found.get("error_message") or ""
    if words and not any(word in message.lower() for word in words):
        raise AssertionError(f"{what}: the message names none of {', '.join(words)}: {message[:200]!r}")
    expect_equal("hunter2" in message, False, f"{what}: the message shows the password")


@contextlib.contextmanager
def quiet():
    """A receiver at which nothing may arrive, not even a connection."""
    with Receiver() as receiver:
        yield receiver
        time.sleep(QUIET_SECONDS)
        expect_equal([(request.path, request.headers.get("host")) for request in receiver.requests], [], "requests that arrived")
        expect_equal(receiver.connections, 0, "connections that were made")


@suite.test
def every_form_of_an_address_of_this_machine_is_refused(broker):
    with quiet() as receiver, all_of() as check:
        for host in HERE:
            check(expect_refused, broker, f"http://{host}:{receiver.port}/in", "public", "private", "url", what=host)


@suite.test
def every_form_of_a_private_address_is_refused(broker):
    with all_of() as check:
        for host in ELSEWHERE:
            check(expect_refused, broker, f"http://{host}/latest/meta-data/", "public", "private", "url", what=host)


@suite.test
def names_of_private_networks_are_refused(broker):
    with quiet() as receiver, all_of() as check:
        for name in NAMES:
            check(expect_refused, broker, f"http://{name}:{receiver.port}/in", "public", "private", what=name)


@suite.test
def urls_that_are_something_else_than_they_seem_are_refused(broker):
    with quiet() as receiver, all_of() as check:
        for what, url in URLS:
            check(expect_refused, broker, url.format(port=receiver.port), "url", "public", what=what)


@suite.test
def odd_ports_are_refused(broker):
    with all_of() as check:
        for port in PORTS:
            check(expect_refused, broker, f"https://example.com:{port}/in", "port", "url", what=f"port {port}")


@suite.test
def a_change_is_looked_at_as_a_creation_is(broker):
    hooks, name = webhooks(broker), fresh("changed")
    url = "https://example.com/in"
    hooks.create(name, url)
    with quiet() as receiver, all_of() as check:
        here = f"http://127.0.0.1:{receiver.port}/in"
        for bad in [here, "http://[::1]/", "http://2130706433/", "https://me:hunter2@example.com/", "ftp://example.com/"]:
            check(expect_error, hooks.call("PATCH", name, body={"url": bad}), 400, "url", what=bad)
    expect_equal(hooks.get(name)["url"], url, "the URL after that")
    hooks.delete(name)


@suite.test
def public_addresses_are_taken(broker):
    """Otherwise everything above would hold for a server that refuses whatever it is given. Nothing is sent."""
    hooks = webhooks(broker)
    for host in ["example.com", "example.com:8443", "8.8.8.8", "172.15.255.255", "172.32.0.1", "100.128.0.1", "192.0.1.1", "[2606:4700:4700::1111]"]:
        name = fresh("public")
        hooks.create(name, f"https://{host}/in")
        hooks.delete(name)


@suite.test
def plain_http_is_refused_unless_it_is_allowed(broker):
    del broker
    with started({**STRICT, "hooks.allow_http": "false"}) as safe:
        expect_refused(safe, "http://example.com/in", "https", what="plain HTTP")
        webhooks(safe).create(fresh("public"), "https://example.com/in")


@suite.test
def what_was_allowed_once_is_refused_when_it_is_not_any_more(broker):
    """An endpoint that was made while private addresses were allowed: nothing is sent any more, a test event is told why, and nothing is lost."""
    del broker
    topic = fresh("was-allowed")
    with started(SETTINGS) as changing, Receiver() as receiver:
        changing.api().create(topic, partitions=1)
        webhooks(changing).create(topic, receiver.url(), events=[topic])
        changing.api().produce(topic, "allowed")
        receiver.wait(1)
        restart(changing, STRICT)
        before = receiver.connections
        changing.api().produce(topic, "waits")
        answer = webhooks(changing).call("POST", topic, "/test")
        expect_equal((answer.status, b"not a public address" in answer.body), (400, True), f"the test event ({answer.body.decode()})")
        time.sleep(QUIET_SECONDS)
        expect_equal(receiver.connections, before, "connections while it is not allowed")
        restart(changing, SETTINGS)
        receiver.wait(1, where=lambda request: event(request) == "waits")


def restart(broker, settings):
    expect_equal(broker.stop(), 0, "exit status")
    broker.settings = settings
    broker.start()


@suite.test
def a_redirect_leads_nowhere(broker):
    """To this machine, to metadata, and to where the next answer would be: none is followed, whatever is allowed."""
    del broker
    with started(SETTINGS) as lax, Receiver() as inner:
        here = [inner.url("/a"), f"http://localhost:{inner.port}/b", f"//127.0.0.1:{inner.port}/c"]
        targets = [*here, "/self", "http://169.254.169.254/", "file:///etc/passwd"]
        cases = [(status, target) for status in (301, 302, 303, 307, 308) for target in targets]
        with Receiver(lambda request: Reply(event(request)[0], headers={"location": event(request)[1]})) as receiver:
            topic = fresh("redirect")
            lax.api().create(topic, partitions=1)
            endpoint = webhooks(lax).create(topic, receiver.url("/first"), events=[topic])
            lax.api().produce_all(topic, [{"value": list(case)} for case in cases])
            eventually(lambda: len(dead_letters(lax, endpoint)) == len(cases), 60, "the dead letters")
            expect_equal({request.path for request in receiver.requests}, {"/first"}, "paths that were asked for")
            expect_equal((len(receiver.requests), inner.connections), (len(cases) * ATTEMPTS, 0), "requests, and connections to where they lead")


class BrokerWithHosts(HttpBroker):
    """Has /etc/hosts of its own, `hosts`: a mount that only it sees. It keeps the process id, and dies with this script all the same."""

    def __init__(self, settings):
        super().__init__(settings)
        self.hosts = self.home / "hosts"
        self.point({})

    def command(self):
        mounted = 'mount --bind "$1" /etc/hosts && shift && exec setpriv --pdeathsig KILL "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", mounted, "sh", str(self.hosts), *super().command()]

    def point(self, names):
        """Written in place: the mount shows this file, not another one of its name."""
        self.hosts.write_text("127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in names.items()))


def without_namespaces():
    if not shutil.which("unshare"):
        return "unshare is missing"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
    return f"a hosts file of the server's own needs a mount namespace: {tried.stderr.strip()}" if tried.returncode != 0 else None


def a_name_with_a_private_address_is_refused(broker):
    del broker
    named = BrokerWithHosts(STRICT)
    try:
        with quiet() as receiver, all_of() as check:
            for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1"]:
                named.point({HARMLESS: address})
                if not named.is_alive():
                    named.start()
                check(expect_refused, named, f"http://{HARMLESS}:{receiver.port}/in", "public", "private", what=f"a name of {address}")
    finally:
        named.close()


def a_name_that_changes_to_a_private_address_is_refused(broker):
    """DNS rebinding: public when the endpoint is made, this machine when something is delivered."""
    del broker
    named = BrokerWithHosts(STRICT)
    topic = fresh("rebound")
    try:
        named.point({REBOUND: PUBLIC})
        named.start()
        with quiet() as receiver:
            hooks = webhooks(named)
            named.api().create(topic, partitions=1)
            endpoint = hooks.create(topic, f"http://{REBOUND}:{receiver.port}/in", events=[topic])
            named.point({REBOUND: "127.0.0.1"})
            named.api().produce(topic, 1)
            found = hooks.test(topic)
            expect_equal((found["status"], "public" in found["error_message"]), ("failed", True), f"the test event ({found.get('error_message')})")
            [letter] = eventually(lambda: dead_letters(named, endpoint), 60, "the dead letter")
            said = header(letter, "webhook-last-error")
            expect_equal("public" in said, True, f"{said!r} says that the address is not public")
    finally:
        named.close()


def a_name_is_resolved_where_private_addresses_are_allowed(broker):
    """Otherwise the two above would hold for a server that resolves nothing."""
    del broker
    named = BrokerWithHosts(SETTINGS)
    try:
        named.point({HARMLESS: "127.0.0.1"})
        named.start()
        with Receiver() as receiver:
            hooks, name = webhooks(named), fresh("named")
            hooks.create(name, receiver.url(host=HARMLESS))
            expect_equal(hooks.test(name)["status"], "success", "the test event")
            expect_equal(receiver.requests[0].headers["host"], f"{HARMLESS}:{receiver.port}", "the header Host")
    finally:
        named.close()


WITH_HOSTS = [
    a_name_is_resolved_where_private_addresses_are_allowed,
    a_name_with_a_private_address_is_refused,
    a_name_that_changes_to_a_private_address_is_refused,
]


def main():
    reason = without_namespaces()
    if reason is None or "--list" in sys.argv:
        for test in WITH_HOSTS:
            suite.test(test)
        suite.main()
        return
    # What finish() prints last is the suite's; these are told before.
    skipped = Results("/nonexistent")
    for test in WITH_HOSTS:
        skipped.add_skip(test.__name__, reason)
    suite.main()


if __name__ == "__main__":
    main()
