# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""look.py DOOR STATUS PROMETHEUS LISTENER WATCHER KEY: asks through the door, then Prometheus through the status
listener, then the listener for another Prometheus, and that one. Prints JSON."""

from __future__ import annotations

import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

DOOR, STATUS, PROMETHEUS, LISTENER, WATCHER, KEY = sys.argv[1:7]
WITHOUT_CHECK = ssl._create_unverified_context()


def get(url, body=None, key=""):
    headers = {"Authorization": "Bearer a-key-of-the-test", "Content-Type": "application/json"} if body else {}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(
        request, timeout=60, context=WITHOUT_CHECK if url.startswith("https") else None
    ) as answer:
        return answer.read().decode()


def status_of(url, body=None, key=""):
    try:
        get(url, body, key)
        return 200
    except urllib.error.HTTPError as error:
        return error.code


OWN, OTHER = f"http://{STATUS}/prometheus/api/v1", f"http://{WATCHER}/api/v1"


def query(words, api=OWN):
    return json.loads(get(f"{api}/query?{urllib.parse.urlencode({'query': words})}"))["data"]["result"]


def until(what, seconds=40):
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found or time.monotonic() > end:
            return found
        time.sleep(0.5)


body = json.dumps({"model": "tiny-llama", "prompt": "Say", "max_tokens": 32}).encode()


def ask():
    for _number in range(8):
        get(f"https://{DOOR}/v1/completions", body)
    return True


def exprs():
    dashboard = json.loads(get(f"http://{STATUS}/dashboard.json"))
    return [(p["title"], t["expr"].replace("$instance", ".*")) for p in dashboard["panels"] for t in p["targets"]]


def empty(api=OWN):
    return [title for title, words in exprs() if not query(words, api)]


def rules_of(api):
    return [rule for group in json.loads(get(f"{api}/rules"))["data"]["groups"] for rule in group["rules"]]


until(lambda: ask() and not empty() and not empty(OTHER))
rules = rules_of(OWN)
print(
    json.dumps(
        {
            "up": sorted([row["metric"].get("replica", "host"), row["value"][1]] for row in query("up")),
            "empty_panels": empty(),
            "rules": sorted(rule["name"] for rule in rules),
            "rules_bad": [rule["name"] for rule in rules if rule["health"] == "err"],
            "firing": [row["metric"]["alertname"] for row in query('ALERTS{alertstate="firing"}')],
            "page": "dashboard.json" in get(f"http://{STATUS}/dashboard"),
            # neither is there at the public door, and Prometheus' other routes are nowhere
            "closed": [
                status_of(f"https://{DOOR}/dashboard"),
                status_of(f"https://{DOOR}/prometheus/api/v1/query"),
                status_of(f"http://{STATUS}/prometheus/api/v1/admin/tsdb/snapshot"),
                status_of(f"http://{STATUS}/prometheus/"),
                status_of(f"http://{STATUS}/prometheus/api/v1/query?query=up", b"query=up"),
            ],
            "watcher": {
                "up": sorted(
                    [row["metric"].get(name, "") for name in ("job", "instance", "replica")] + [row["value"][1]]
                    for row in query("up", OTHER)
                ),
                "empty_panels": empty(OTHER),
                "rules_bad": [rule["name"] for rule in rules_of(OTHER) if rule["health"] == "err"],
                "page": "dashboard.json" in get(f"http://{WATCHER}/user/dashboard.html")
                and "panels" in get(f"http://{WATCHER}/user/dashboard.json"),
            },
            "listener": [
                status_of(f"https://{LISTENER}/metrics/gpu0", key=KEY),
                status_of(f"https://{LISTENER}/metrics/gpu0"),
                status_of(f"https://{LISTENER}/targets", key=KEY.upper()),
                status_of(f"https://{LISTENER}/metrics/host", key="a-key-of-the-test"),
                status_of(f"https://{LISTENER}/metrics/gpu0", b"x", KEY),
                status_of(f"https://{LISTENER}/health", key=KEY),
                status_of(f"https://{LISTENER}/metrics/../prometheus/api/v1/query?query=up", key=KEY),
            ],
        }
    )
)
