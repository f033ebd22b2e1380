"""The product's TypeScript quick start, word for word, from the package as `npm pack` makes it; and the package's own tests.

sdk/typescript is copied, so that nothing is built in the checkout. FBF_WITHOUT_NODE=1 skips this where Node is not to be had.
"""

import json
import os
import pathlib
import shutil
import subprocess

import kafka_client as kafka
import nodejs
from server import HttpSuite
from suite import expect_equal, fresh

HERE = pathlib.Path(__file__).parent
SDK = HERE.parent.parent / "sdk" / "typescript"
COMMAND_SECONDS = 110
# As ../../../shared/design/sdk-contract.md prints it.
QUICK_START = """\
const client = new Fourbyfour({ apiKey: 'your-api-key', projectId: 'your-project-id' });
await client.stream.topics.create({ name: 'order.placed', partitions: 3 });
await client.stream.topics.produce('order.placed', { key: 'order-123', value: { orderId: '123', total: 99.99 } });
const { records } = await client.stream.topics.consume('order.placed', { group: 'checkout-service' });
"""
IMPORT = "import { Fourbyfour } from '@fourbyfour/sdk';\n"
# The program says what it has, for this one to look at.
PRINT = "console.log(JSON.stringify(records));\n"

suite = HttpSuite("quick start")


def run(command, folder, **environment):
    """What a command prints; raises with the end of it when it fails."""
    found = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_SECONDS
    )
    if found.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {found.returncode}: ...{(found.stdout + found.stderr)[-1500:]}")
    return found.stdout


def npm(folder, *words):
    return run(["npm", "--no-audit", "--no-fund", "--no-update-notifier", *words], folder)


def copied(broker):
    """A copy of the SDK with what it needs to be built; made once."""
    folder = broker.home / "sdk"
    if not folder.exists():
        partial = broker.home / "sdk.partial"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(SDK, partial, ignore=shutil.ignore_patterns("node_modules", "dist"))
        npm(partial, "ci", "--prefer-offline")
        partial.rename(folder)
    return folder


def packed(broker):
    """The tarball that would be published."""
    folder = copied(broker)
    if not list(folder.glob("*.tgz")):
        npm(folder, "pack")
    [tarball] = folder.glob("*.tgz")
    return tarball


def installed(broker):
    """A folder of a user's, with the package from its tarball and nothing else."""
    folder = broker.home / "user"
    if not (folder / "node_modules").exists():
        folder.mkdir(exist_ok=True)
        (folder / "package.json").write_text('{"private": true}\n')
        npm(folder, "install", "--offline", str(packed(broker)))
    return folder


@suite.test
def the_packages_own_tests_pass(broker):
    print("\n".join(npm(copied(broker), "test").splitlines()[-10:]), flush=True)


@suite.test
def the_packages_readme_has_the_quick_start_word_for_word(broker):
    del broker
    readme = (SDK / "README.md").read_text(encoding="utf-8")
    expect_equal(QUICK_START in readme, True, "in sdk/typescript/README.md")


@suite.test
def the_package_has_no_dependencies_and_only_what_was_built(broker):
    names = [path.relative_to(installed(broker) / "node_modules") for path in (installed(broker) / "node_modules").rglob("package.json")]
    expect_equal({name.parts[:2] for name in names}, {("@fourbyfour", "sdk")}, "packages")
    files = {path.name for path in (installed(broker) / "node_modules" / "@fourbyfour" / "sdk").iterdir()}
    expect_equal(files - {"dist", "package.json", "README.md", "LICENSE"}, set(), "files besides")


@suite.test
def the_quick_start_runs_as_it_is_printed(broker):
    program = installed(broker) / "quickstart.mjs"
    program.write_text(IMPORT + QUICK_START + PRINT, encoding="utf-8")
    said = run(["node", str(program)], program.parent, FOURBYFOUR_BASE_URL=f"http://127.0.0.1:{broker.http_port}")
    [record] = json.loads(said)
    found = (record["topic"], record["key"], record["value"], record["offset"])
    expect_equal(found, ("order.placed", "order-123", {"orderId": "123", "total": 99.99}, 0), "record")
    expect_equal(kafka.topics(broker)["order.placed"], 3, "partitions as Kafka sees them")
    [message] = kafka.read_all(broker, "order.placed")
    expect_equal((message.key(), json.loads(message.value())), (b"order-123", {"orderId": "123", "total": 99.99}), "as Kafka reads it")


@suite.test
def subscribe_and_stream_of_the_package_live_through_kill_9(broker):
    """Against the real server, for once: what its own tests show against a stub."""
    topic = fresh("sdk")
    broker.api().create(topic, partitions=2)
    file = installed(broker) / "living.mjs"
    shutil.copy(HERE / "living.mjs", file)
    environment = {**os.environ, "FOURBYFOUR_BASE_URL": f"http://127.0.0.1:{broker.http_port}"}
    command = ["setpriv", "--pdeathsig", "KILL", "node", str(file), topic]
    with subprocess.Popen(command, cwd=file.parent, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        try:
            expect_equal(program.stdout.readline().strip(), "half", "the first line")
            broker.kill()
            program.stdin.write("on\n")
            program.stdin.flush()
            broker.start()
            expect_equal(program.stdout.readline().strip(), "done", "the last line")
            expect_equal(program.wait(30), 0, "exit status")
        finally:
            program.kill()


if __name__ == "__main__":
    nodejs.run(suite)
