"""`python -m config.health web|worker|beat|watch`: status 0 when that process does its work."""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ADDRESS = "http://127.0.0.1:8000/health/"
BEAT_SECONDS = 300  # celery's beat writes its schedule at least every three minutes
WATCH_SECONDS = 60  # a round takes a second or two


def main(program: str) -> int:
    checks = {"web": web, "worker": worker, "beat": beat, "watch": watch}
    try:
        return 0 if checks[program]() else 1
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def web() -> bool:
    # As a proxy that ended TLS would ask, so that a redirect to https is not taken for an answer.
    host = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].strip()
    request = urllib.request.Request(ADDRESS, headers={"Host": host, "X-Forwarded-Proto": "https"})
    with urllib.request.urlopen(request, timeout=4) as answer:  # noqa: S310 - a constant address
        return bool(answer.status == 200)


def worker() -> bool:
    """Asks the worker of this container through Redis."""
    name = f"{os.environ['WORKER_QUEUE']}@{os.uname().nodename}"
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "config",
        "inspect",
        "ping",
        "--destination",
        name,
        "--timeout",
        "5",
    ]
    return subprocess.run(command, check=False, capture_output=True, timeout=25).returncode == 0


def beat() -> bool:
    """The schedule's file is written again and again while beat lives."""
    found = list(Path(os.environ.get("DATA_DIR", "/data")).glob("beat*"))
    return any(time.time() - path.stat().st_mtime < BEAT_SECONDS for path in found)


def watch() -> bool:
    """It touches a file after every round of its hosts: not while it hangs, nor while the database is away."""
    path = Path(os.environ.get("DATA_DIR", "/data")) / "watch"
    return path.exists() and time.time() - path.stat().st_mtime < WATCH_SECONDS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
