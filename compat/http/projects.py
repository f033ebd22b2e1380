"""Projects and their keys, as a configuration for `http.auth = "keys"`."""

import hashlib

SHOP, LAB, BOTH, OPEN = "shop-key", "lab-key", "key-of-both", "key of the default"
ORIGIN = "https://app.example.com"


def hashed(key):
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


CONFIG = f"""
[http]
auth = "keys"
cors_origins = ["{ORIGIN}"]

[http.projects.shop]
topic_prefix = "shop."
api_keys = ["{hashed(SHOP)}", "{hashed(BOTH)}"]

[http.projects.lab]
topic_prefix = "lab."
api_keys = ["{hashed(LAB)}", "{hashed(BOTH)}"]

[http.projects.open]
topic_prefix = ""
api_keys = ["{hashed(OPEN)}"]
"""
