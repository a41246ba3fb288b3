"""Has the worker run a release, and waits until the scheduler has heard it: by root on the device, no packages needed.

Prints `started` where it was (re)started, and what is wrong at the end; exit code 1 then.
"""

from __future__ import annotations

import argparse
import json
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

UNIT = "pew-worker.service"
RELEASES = Path("/opt/pew/releases")
#: Presences that the scheduler says of a worker it does not hear.
SILENT = ("UNKNOWN", "LOST")


class NotYetError(Exception):
    """What is not as it should be."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--release", required=True)
    parser.add_argument("--seconds", type=float, required=True, help="within which it must be heard")
    parser.add_argument("--restart", action="store_true", help="also where it runs that release already")
    given = parser.parse_args()
    since = 0
    try:
        check_process(given.release)
        start = given.restart
    except NotYetError:
        start = True
    if start:
        # what the old process says while it ends does not count
        subprocess.run(["systemctl", "stop", UNIT], check=False, capture_output=True)
        since = scheduler_time()
        subprocess.run(["systemctl", "reset-failed", UNIT], check=False, capture_output=True)
        subprocess.run(["systemctl", "start", UNIT], check=False, capture_output=True)
        print("started")
    end, trouble = time.monotonic() + given.seconds, ""
    while True:
        try:
            check_process(given.release)
            check_heard(since)
            return 0
        except NotYetError as error:
            trouble = str(error)
        if time.monotonic() > end:
            print(f"after {given.seconds:.0f} s {trouble}{last_words()}")
            return 1
        time.sleep(0.5)


def check_process(release: str) -> None:
    """The unit's process works in that release's folder."""
    asked = ["systemctl", "show", UNIT, "-p", "ActiveState", "-p", "MainPID"]
    shown = subprocess.run(asked, check=False, capture_output=True, text=True).stdout
    said = dict(line.partition("=")[::2] for line in shown.splitlines())
    if said.get("ActiveState") != "active":
        raise NotYetError(f"the worker's service is {said.get('ActiveState')}")
    try:
        folder = Path(f"/proc/{said['MainPID']}/cwd").resolve(strict=True)
    except OSError:
        raise NotYetError("the worker's process has just ended") from None
    if folder != RELEASES / release:
        raise NotYetError(f"the worker runs release {folder.name}")


def check_heard(since: int) -> None:
    """The scheduler has been polled by this wallet after that second."""
    wallet = Path("/etc/pew/address").read_text().strip()
    found = [one for one in status()["workers"] if one["wallet"] == wallet]
    if not found:
        raise NotYetError(f"the scheduler does not know {wallet}")
    if found[0]["presence"] in SILENT or found[0]["last_seen"] <= since:
        raise NotYetError("the scheduler has not heard of it since its start")


def scheduler_time() -> int:
    """The scheduler's clock; this device's where it does not answer."""
    try:
        return int(status()["time"])
    except NotYetError:
        return int(time.time())


def status() -> dict[str, Any]:
    settings = json.loads(Path("/etc/pew/scheduler.json").read_text())
    tls = ssl.create_default_context(cafile=settings.get("ca_file")) if settings["url"].startswith("https") else None
    try:
        with urllib.request.urlopen(f"{settings['url']}/status", timeout=15, context=tls) as answer:  # noqa: S310
            return dict(json.load(answer))
    except (OSError, ValueError) as error:
        raise NotYetError(f"the scheduler {settings['url']} does not answer: {error}") from None


def last_words() -> str:
    """The end of the worker's log; it holds no secrets."""
    asked = ["journalctl", "-q", "-u", UNIT, "-n", "3", "-o", "cat", "--no-pager"]
    text = subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip()
    return f"; its log: {text[-500:]}" if text else ""


if __name__ == "__main__":
    sys.exit(main())
