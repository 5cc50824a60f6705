"""What installs what a machine lacks. Nothing is installed here: the apt-get that is called only takes notes."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from config import install
from config.install import Need
from config.programs import BASE_DIR

MISSING = Need("unheard-of", lambda: False, "tea is not made", ("test",))
THERE = Need("coreutils", lambda: True, "nothing works", ("test",))


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the apt-get on PATH, the only program there, was asked for."""
    path, tool = tmp_path / "notes", tmp_path / "bin" / "apt-get"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\necho "$DEBIAN_FRONTEND $*" >> {path}\n[ -x {tmp_path}/policy ] || echo unguarded >> {path}\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent))
    monkeypatch.setattr(install, "POLICY", tmp_path / "policy")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return path


def test_only_what_is_missing_for_the_purpose_is_installed(
    notes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Need("for-the-demo", lambda: False, "no demo", ("demo",))
    monkeypatch.setattr(install, "NEEDS", [MISSING, THERE, other])
    assert install.main("test") == 0
    update, packages = notes.read_text().splitlines()
    assert "update" in update
    assert packages == "noninteractive install -q=2 -y --no-install-recommends unheard-of"
    assert "unheard-of could not be installed: tea is not made." in capsys.readouterr().out


def test_nothing_missing_calls_nothing(
    notes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "NEEDS", [THERE])
    assert install.main("test") == 0
    assert not notes.exists()
    assert capsys.readouterr().out == ""


def test_without_root_it_says_what_each_package_is_missed_for(
    notes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(install, "NEEDS", [MISSING])
    assert install.main("test") == 0, "the next step may still work"
    assert not notes.exists()
    told = capsys.readouterr().out
    assert told == "Not installed (this needs root):\n  unheard-of: without it, tea is not made\n"


def test_system_without_apt_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    install.install([MISSING])
    assert "there is no apt-get" in capsys.readouterr().out


def test_no_service_starts_while_packages_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy"
    monkeypatch.setattr(install, "POLICY", policy)
    with install.no_service_starts():
        assert subprocess.run([policy], check=False).returncode == 101, "Debian reads this as: forbidden"
        assert policy.stat().st_mode & stat.S_IXOTH
    assert not policy.exists()
    with pytest.raises(RuntimeError), install.no_service_starts():
        raise RuntimeError
    assert not policy.exists(), "nor after an installation that failed"


def test_policy_of_somebody_else_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy"
    policy.write_text("theirs")
    monkeypatch.setattr(install, "POLICY", policy)
    with install.no_service_starts():
        assert policy.read_text() == "theirs"
    assert policy.read_text() == "theirs"


def test_daemons_are_found_outside_an_ordinary_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install.has("ldconfig", "no-such-program-at-all"), "one of them is enough"
    assert not install.has("no-such-program-at-all")


def test_every_need_says_what_is_missed_without_it() -> None:
    for need in install.NEEDS:
        assert need.without
        assert set(need.purposes) <= {"run", "demo", "test", "translations"}
        assert isinstance(need.is_there(), bool)
    assert len({need.package for need in install.NEEDS}) == len(install.NEEDS)


def test_it_runs_before_anything_is_installed() -> None:
    """With the standard library alone; -S leaves out what pip installed. The purpose needs no package."""
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-I", "-S", "config/install.py", "nothing"],
        cwd=BASE_DIR, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
