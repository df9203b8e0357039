"""Runs on the machine: clients without a pause while a key is changed. Prints what they were answered.

load.py DOOR_PORT SECONDS    Half of them stay with the old key, half take the new one two seconds after it is there.
"""

from __future__ import annotations

import collections
import json
import sys
import threading
import time

from attack import ask

CLIENTS = "/etc/gpuserve/gateway/clients"


def keys(name="default"):
    """The client's keys, the one that counts first."""
    with open(CLIENTS, encoding="utf-8") as handle:
        rows = [line.split() for line in handle if line.strip() and not line.startswith("#")]
    return [row[1] for row in rows if row[0] == name]


def main():
    door, seconds = int(sys.argv[1]), float(sys.argv[2])
    old = keys()[0]
    end = time.monotonic() + seconds
    answers = collections.Counter()
    changed = threading.Event()
    body = json.dumps({"model": "tiny-llama", "prompt": "Hello", "max_tokens": 1})

    def client(number):
        key = old
        while time.monotonic() < end:
            if number % 2 and changed.is_set():
                key = keys()[0]
            try:
                if number % 4 < 2:
                    status = ask(door, "GET", "/v1/models", key)[0]
                else:
                    status = ask(door, "POST", "/v1/completions", key, {"Content-Type": "application/json"}, body)[0]
            except OSError as error:
                status = type(error).__name__
            answers[f"{'old' if key == old else 'new'} {status}"] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end and not changed.is_set():
        time.sleep(0.2)
        if keys()[0] != old:
            time.sleep(2)
            changed.set()
    for thread in threads:
        thread.join()
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
