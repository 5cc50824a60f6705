"""`make test`: every check, the fast tests on SQLite and PostgreSQL, then those with engines and a browser.

Ends with what each step came to, pytest's closing lines among it; the status is 0 only if all is well.
"""

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests import postgres

BIN = Path(sys.executable).parent
CODE = ("config", "images", "cleanup", "tests", "bench")
TEMPLATES = sorted(str(path) for path in Path("templates").rglob("*.html"))
PROCESSES = int(os.environ.get("TEST_PROCESSES", "2"))
FAST = ("-m", "not engine and not browser", "-n", str(PROCESSES))
WAITING = str(PROCESSES + 1)  # these wait for engines much of the time; each process has engines of its own
# What a real installation sets; without it `check --deploy` warns of the settings' own defaults.
DEPLOYED = {
    "DJANGO_SETTINGS_MODULE": "config.settings", "DEBUG": "0", "HTTPS": "1", "SECURE_SSL_REDIRECT": "1",
    "SECURE_HSTS_SECONDS": "31536000", "ALLOWED_HOSTS": "drydock.example.com",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "SECURE_HSTS_INCLUDE_SUBDOMAINS": "1", "SECURE_HSTS_PRELOAD": "1",
}  # fmt: skip
IS_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


@dataclass
class Outcome:
    """One step: what it came to, how long it took, and the lines worth repeating at the end."""

    name: str
    is_well: bool
    seconds: float
    lines: list[str] = field(default_factory=list)


def main(wanted: str = "all") -> int:
    outcomes = list(checks())
    if wanted != "lint":
        outcomes += tests()
    print("\n" + "=" * 30 + " Drydock: summary " + "=" * 30)
    for outcome in outcomes:
        print(f"{'ok    ' if outcome.is_well else 'FAILED'} {outcome.name:<38} {outcome.seconds:6.1f} s")
        for line in outcome.lines:
            print(f"       {line}")
    return 0 if all(outcome.is_well for outcome in outcomes) else 1


def checks() -> Iterator[Outcome]:
    python = sys.executable
    yield step("ruff check", [f"{BIN}/ruff", "check", "--quiet", *CODE])
    yield step("ruff format", [f"{BIN}/ruff", "format", "--check", "--quiet", *CODE])
    yield step("djade (templates)", [f"{BIN}/djade", "--check", "--target-version", "5.2", *TEMPLATES])
    yield step("hadolint (our own Dockerfile)", [f"{BIN}/hadolint", "Dockerfile"])
    yield step("makemigrations --check", [python, "manage.py", "makemigrations", "--check", "--dry-run"])
    yield step(
        "check --deploy", [python, "manage.py", "check", "--deploy", "--fail-level", "WARNING"], **DEPLOYED
    )
    yield step("mypy", [f"{BIN}/mypy", "--no-error-summary", *CODE])


def tests() -> Iterator[Outcome]:
    yield pytest("fast tests on SQLite", *FAST)
    if reason := postgres.why_not():
        yield Outcome("fast tests on PostgreSQL", not IS_CI, 0, [f"LEFT OUT: {reason}"])
    else:
        with postgres.PrivatePostgres() as server:
            yield pytest("fast tests on PostgreSQL", *FAST, "--database", DATABASE_URL=server.url)
    yield pytest("tests with engines and a browser", "-m", "engine or browser", "-n", WAITING)


def pytest(name: str, *arguments: str, **environment: str) -> Outcome:
    return step(name, [sys.executable, "-m", "pytest", "-q", "-r", "fE", *arguments], **environment)


def step(name: str, command: list[str], **environment: str) -> Outcome:
    """Runs the command, shows its output as it comes, and keeps the lines that say what it came to."""
    print(f"\n--- {name}", flush=True)
    begun, closing = time.monotonic(), []
    with subprocess.Popen(
        command, env=os.environ | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if is_closing(line):
                closing.append(line.strip())
    return Outcome(name, process.returncode == 0, time.monotonic() - begun, closing)


def is_closing(line: str) -> bool:
    """pytest's last line, and what it left out."""
    if line.startswith("LEFT OUT"):
        return True
    return bool(re.search(r"(passed|failed|errors?|deselected|no tests ran).* in [0-9.]+s", line))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
