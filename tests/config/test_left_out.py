"""What can not run on a machine is left out aloud, and fails where CI is set; also with several processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BASE_DIR = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("processes", ["0", "2"])
@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_tests_that_can_not_run_are_said_and_fail_in_ci(
    tmp_path: Path, processes: str, ci: str, status: int
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"CI": ci, "PATH": str(tmp_path), "DATA_DIR": str(tmp_path / "data")}
    environment.pop("DATABASE_URL", None)
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", processes,
         "tests/contracts/test_translations.py"],
        cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "LEFT OUT 1 gettext tests: gettext is not installed" in told.stdout, told.stdout + told.stderr
    assert told.returncode == status
