"""The routes as they are asked for in tests that go through all of them: (method, path below the root, body)."""

from api import topic_path


def routes_of(topic):
    """Requests that are right in everything but, perhaps, the topic; producing is not among them, since it may create one."""
    path = topic_path(topic)
    return [
        ("GET", path, None),
        ("DELETE", path, None),
        ("GET", f"{path}/stats", None),
        ("GET", f"{path}/consume?group=readers", None),
        ("GET", f"{path}/consume?from=earliest", None),
        ("POST", f"{path}/offsets", {"group": "readers", "partition": 0, "offset": 1}),
        ("POST", f"{path}/groups/readers/reset", {"to": "earliest"}),
        ("GET", f"{path}/stream", None),
    ]
