"""What keeps the programs running: real child processes, started again, given up, and ended together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config import supervisor as module
from config.programs import BASE_DIR, Program
from config.supervisor import AlreadyRunning, ProgramFailed, Supervisor, only_one

SLEEPER = Program("sleeper", (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"))


def python(name: str, code: str) -> Program:
    return Program(name, (sys.executable, "-c", code))


def until(is_so: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that ended and waits to be taken note of does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Watched(Supervisor):
    """A supervisor that keeps what it shows."""

    def __init__(self, logs: Path, **environment: str) -> None:
        self.lines: list[str] = []
        super().__init__(logs=logs, environment=os.environ | environment, show=self.lines.append)

    @property
    def shown(self) -> str:
        return "\n".join(self.lines)

    def end(self, name: str) -> None:
        """Kills a program and waits until that is so."""
        process = self.children[name].process
        process.kill()
        process.wait(10)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path / "logs", GREETING="good morning")
    yield watched
    watched.stop()


# Running


def test_program_runs_in_the_project_with_its_environment(supervisor: Watched) -> None:
    supervisor.start(python("where", "import os; print(os.getcwd(), os.environ['GREETING'], flush=True)"))
    supervisor.children["where"].process.wait(10)
    supervisor.children["where"].pump.join(10)
    assert supervisor.lines == [f"where          | {BASE_DIR} good morning"]
    assert (supervisor.logs / "where.log").read_text() == f"{BASE_DIR} good morning\n"


def test_errors_are_in_the_log_too_and_bytes_of_any_kind_are_shown(supervisor: Watched) -> None:
    code = r"import os; os.write(2, b'\xff\xfe broken\n'); os.write(1, b'no line end')"
    supervisor.start(python("odd", code))
    supervisor.children["odd"].pump.join(10)
    assert (supervisor.logs / "odd.log").read_bytes() == b"\xff\xfe broken\nno line end"
    assert "broken" in supervisor.shown
    assert "no line end" in supervisor.shown


def test_program_that_runs_is_left_alone(supervisor: Watched) -> None:
    supervisor.start(SLEEPER)
    process = supervisor.children["sleeper"].process
    supervisor.check()
    assert supervisor.children["sleeper"].process is process
    assert is_alive(process.pid)


def test_program_that_dies_is_started_again_and_the_others_are_not(supervisor: Watched) -> None:
    supervisor.start(SLEEPER)
    supervisor.start(Program("other", SLEEPER.command))
    other = supervisor.children["other"].process
    dead = supervisor.children["sleeper"].process.pid
    supervisor.end("sleeper")
    supervisor.check()
    assert supervisor.children["sleeper"].process.pid != dead
    assert supervisor.children["sleeper"].process.poll() is None
    assert supervisor.children["other"].process is other
    assert "sleeper ended with status -9; starting it again." in supervisor.lines


def test_log_goes_on_where_the_dead_program_left_it(supervisor: Watched) -> None:
    supervisor.start(SLEEPER)
    until(lambda: "up" in supervisor.shown)
    supervisor.end("sleeper")
    supervisor.check()
    until(lambda: (supervisor.logs / "sleeper.log").read_text() == "up\nup\n")


def test_second_restart_in_a_row_waits_a_little(supervisor: Watched) -> None:
    supervisor.start(SLEEPER)
    waited = []
    for _ in range(2):
        supervisor.end("sleeper")
        begun = time.monotonic()
        supervisor.check()
        waited.append(time.monotonic() - begun)
    assert waited[0] < 0.9 < waited[1]
    assert len(supervisor.children["sleeper"].restarts) == 2


def test_program_that_keeps_ending_is_given_up_and_its_log_is_named(supervisor: Watched) -> None:
    now = time.monotonic()
    supervisor.start(python("broken", "raise SystemExit('no database')"), [now] * module.MOST_RESTARTS)
    supervisor.children["broken"].process.wait(10)
    with pytest.raises(ProgramFailed) as failure:
        supervisor.check()
    log = supervisor.logs / "broken.log"
    assert str(failure.value) == f"broken keeps ending. Its log: {log}"
    assert "no database" in log.read_text()


def test_restarts_of_long_ago_do_not_count(supervisor: Watched) -> None:
    long_ago = time.monotonic() - module.RESTART_WINDOW_SECONDS - 1
    supervisor.start(SLEEPER, [long_ago] * module.MOST_RESTARTS)
    supervisor.end("sleeper")
    supervisor.check()
    assert len(supervisor.children["sleeper"].restarts) == 1


# Logs


def test_long_log_is_put_aside_when_its_program_starts(
    supervisor: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_BYTES", 10)
    supervisor.logs.mkdir()
    (supervisor.logs / "sleeper.log").write_text("a long story\n")
    (supervisor.logs / "sleeper.log.1").write_text("an older one\n")
    supervisor.start(SLEEPER)
    until(lambda: "up" in supervisor.shown)
    assert (supervisor.logs / "sleeper.log").read_text() == "up\n"
    assert (supervisor.logs / "sleeper.log.1").read_text() == "a long story\n"


def test_short_log_is_kept(supervisor: Watched) -> None:
    supervisor.logs.mkdir()
    (supervisor.logs / "sleeper.log").write_text("before\n")
    supervisor.start(SLEEPER)
    until(lambda: (supervisor.logs / "sleeper.log").read_text() == "before\nup\n")


def test_log_of_a_program_that_runs_on_is_capped(
    supervisor: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_BYTES", 10_000)
    supervisor.start(python("chatty", "for _ in range(3000): print('x' * 99)"))
    supervisor.children["chatty"].pump.join(20)
    kept = sum(path.stat().st_size for path in supervisor.logs.iterdir())
    assert kept <= 3 * 10_000


# The end


def test_stop_ends_all_programs(supervisor: Watched) -> None:
    for name in ("one", "two", "three"):
        supervisor.start(Program(name, SLEEPER.command))
    pids = [child.process.pid for child in supervisor.children.values()]
    supervisor.stop()
    assert not [pid for pid in pids if is_alive(pid)]
    assert not supervisor.children


def test_stop_is_polite_first(supervisor: Watched) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('goodbye', flush=True), sys.exit()))\n"
        "print('up', flush=True)\n"
        "time.sleep(600)"
    )
    supervisor.start(python("polite", code))
    until(lambda: "up" in supervisor.shown)
    supervisor.stop()
    assert (supervisor.logs / "polite.log").read_text() == "up\ngoodbye\n"
    assert "goodbye" not in supervisor.shown, "nobody wants to read how each of them ends"


def test_program_that_does_not_listen_is_ended_by_force(
    supervisor: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.3)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True);"
        "time.sleep(600)"
    )
    supervisor.start(python("deaf", code))
    until(lambda: "up" in supervisor.shown)
    process = supervisor.children["deaf"].process
    supervisor.stop()
    assert process.returncode == -signal.SIGKILL


def test_what_a_program_started_itself_ends_as_well(supervisor: Watched) -> None:
    supervisor.start(Program("family", ("sh", "-c", "sleep 600 & echo child $!; wait")))
    until(lambda: "child" in supervisor.shown)
    child = int(supervisor.shown.split()[-1])
    assert is_alive(child)
    supervisor.stop()
    until(lambda: not is_alive(child))


def test_stop_with_a_program_that_is_dead_already_fails_nothing(supervisor: Watched) -> None:
    supervisor.start(SLEEPER)
    supervisor.end("sleeper")
    supervisor.stop()
    supervisor.stop()


def test_programs_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path\n"
        "from config.programs import Program; from config.supervisor import Supervisor\n"
        f"supervisor = Supervisor(logs=Path({str(tmp_path)!r}), environment=dict(os.environ))\n"
        "supervisor.start(Program('sleeper', ('sleep', '600')))\n"
        "print(supervisor.children['sleeper'].process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=BASE_DIR, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    until(lambda: not is_alive(pid))


# One at a time


def test_second_holder_of_a_lock_reads_what_the_first_wrote(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.lock"
    with only_one(path, "the first"):
        with pytest.raises(AlreadyRunning) as refused, only_one(path, "the second"):
            pass
        assert str(refused.value) == "the first"
        assert path.read_text() == "the first", "who was refused writes nothing"


def test_lock_is_free_after_its_holder_and_holds_the_new_note_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with only_one(path, "a rather long note of the first"):
        pass
    with only_one(path, "the second"):
        assert path.read_text() == "the second"
    with pytest.raises(RuntimeError), only_one(path, "one that fails"):
        raise RuntimeError
    with only_one(path, "the third"):
        assert path.read_text() == "the third"


def test_lock_of_a_killed_holder_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    code = (
        "import time; from pathlib import Path; from config.supervisor import only_one\n"
        f"with only_one(Path({str(path)!r}), 'the killed one'):\n"
        "    print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=BASE_DIR, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning, match="the killed one"), only_one(path, "too early"):
            pass
        holder.kill()
    with only_one(path, "now"):
        pass
