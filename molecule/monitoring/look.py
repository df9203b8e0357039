# Copyright (c) 2026, gpuserve contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""look.py DOOR STATUS PROMETHEUS: asks through the door, then Prometheus through the status listener. Prints JSON."""

from __future__ import annotations

import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

DOOR, STATUS, PROMETHEUS = sys.argv[1:4]
WITHOUT_CHECK = ssl._create_unverified_context()


def get(url, body=None):
    headers = {"Authorization": "Bearer a-key-of-the-test", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers if body else {})
    with urllib.request.urlopen(
        request, timeout=60, context=WITHOUT_CHECK if url.startswith("https") else None
    ) as answer:
        return answer.read().decode()


def status_of(url, body=None):
    try:
        get(url, body)
        return 200
    except urllib.error.HTTPError as error:
        return error.code


def query(words):
    found = json.loads(get(f"http://{STATUS}/prometheus/api/v1/query?{urllib.parse.urlencode({'query': words})}"))
    return found["data"]["result"]


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


def empty():
    ask()
    missing = [title for title, words in exprs() if not query(words)]
    return [] if missing else ["none"]


until(empty)
groups = json.loads(get(f"http://{STATUS}/prometheus/api/v1/rules"))["data"]["groups"]
rules = [rule for group in groups for rule in group["rules"]]
print(
    json.dumps(
        {
            "up": sorted([row["metric"].get("replica", "host"), row["value"][1]] for row in query("up")),
            "empty_panels": [title for title, words in exprs() if not query(words)],
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
        }
    )
)
