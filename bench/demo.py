"""How long `make demo` takes to its pages, from nothing and a second time, once packages are there; needs root.

.venv/bin/python -m bench.demo
"""

import sys
import tempfile
import time
from pathlib import Path

from config.demo import engines
from config.redis_server import free_port
from tests.running import Running

BUDGET_SECONDS = {"from nothing": 180.0, "a second time": 20.0}


def main() -> None:
    if reason := engines.why_not():
        print(f"left out: {reason}")
        return
    failed = False
    with tempfile.TemporaryDirectory(prefix="drydock-b-") as folder:
        for name, budget in BUDGET_SECONDS.items():
            began = time.monotonic()
            site = Running(Path(folder) / "demo", free_port(), "config.demo")
            site.until(lambda site=site: "Ctrl-C stops it" in site.output, budget)  # type: ignore[misc]
            started = time.monotonic()
            site.stop()
            ended = time.monotonic() - started
            print(
                f"{name}: {started - began:.1f} s (budget {budget:.0f}), stopped in {ended:.1f} s", flush=True
            )
            failed |= started - began > budget
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
