"""What builders tell, read from streams that a real engine (20.10) wrote: build_*.jsonl."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from images.engine import build
from images.engine.build_failures import build_failure
from images.engine.buildkit import Log, Malformed, Vertex, fields, told
from images.engine.steps import LONGEST_LINE, MOST_STEPS, Steps
from images.secrets import MASK, Hiding, is_secret

RECORDINGS = Path(__file__).parent / "recordings"


def replayed(name: str) -> tuple[Steps, str, list[tuple[int, str]]]:
    """The steps at the end, the engine's error, and the log."""
    steps, log, error = Steps(is_classic=name.startswith("c_")), [], ""
    for text in (RECORDINGS / f"build_{name}.jsonl").read_text().splitlines():
        line = json.loads(text)
        if error := str(line.get("error") or ""):
            break
        steps.image_id = build._image_id(line) or steps.image_id
        log += build._take(steps, line)
    log += steps.close(is_built=not error, error=error)
    return steps, error, log


def states(steps: Steps) -> list[tuple[str, str, str]]:
    return [(step.stage, step.name.split()[0], step.state) for step in steps.steps if step.kind == "step"]


def test_steps_of_stages_are_told_with_their_times_and_logs() -> None:
    steps, error, log = replayed("multi")
    assert error == ""
    assert steps.image_id.startswith("sha256:006a6b6e69c0")
    assert states(steps)[:4] == [
        ("tools 1/4", "COPY", "done"), ("tools 2/4", "RUN", "done"), ("tools 3/4", "RUN", "done"),
        ("tools 4/4", "RUN", "done"),
    ]  # fmt: skip
    slept = next(step for step in steps.steps if step.stage == "tools 4/4")
    assert log == [(slept.number, "hello"), (slept.number, "err")]
    seconds = slept.as_json()["seconds"]
    assert 1.0 < seconds < 1.2


def test_what_was_found_whole_in_the_cache_is_cached_though_nobody_tells() -> None:
    steps, _, _ = replayed("cached")
    assert {state for _, _, state in states(steps)} == {"cached"}
    assert len(states(steps)) == 5


def test_failing_step_is_the_one_with_the_error_and_what_follows_is_not_reached() -> None:
    steps, error, _ = replayed("fail")
    assert [state for _, _, state in states(steps)] == ["cached", "cached", "cached", "failed"]
    assert steps.failed
    assert list(steps.failed.tail) == ["before"]
    problem = build_failure(error, steps, host="ci-1")
    assert problem.code == "build_step_failed"
    assert problem.values == {"step": "RUN busybox echo before; exit 3", "exit_code": "3", "host": "ci-1"}


def test_classic_builder_tells_the_same() -> None:
    steps, error, log = replayed("c_multi")
    assert error == ""
    assert steps.image_id.startswith("sha256:81596cbe91a5")
    assert [step.stage for step in steps.steps] == [f"{n}/7" for n in range(1, 8)]
    assert {step.state for step in steps.steps} == {"done"}
    assert log == [(5, "hello"), (5, "err")], "without colours and the builder's own chatter"
    steps, error, log = replayed("c_fail")
    assert [step.state for step in steps.steps] == ["done", "cached", "cached", "cached", "failed"]
    assert build_failure(error, steps).values["exit_code"] == "3"


def test_network_is_told_from_a_command_that_failed_by_its_log() -> None:
    steps, error, _ = replayed("netfail")
    problem = build_failure(error, steps)
    assert problem.code == "build_network"
    assert problem.values["line"].startswith("wget: bad address '")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("process \"/bin/sh -c make\" did not complete successfully: exit code: 2", "build_step_failed"),
        ("process \"/bin/sh -c make\" did not complete successfully: exit code: 137", "build_step_killed"),
        ("process \"/bin/sh -c make\" did not complete successfully: cannot allocate memory", "build_step_killed"),
        ("dockerfile parse error on line 7: unknown instruction: RUNN", "build_syntax"),
        ("target stage \"x\" could not be found", "build_target_missing"),
        ("failed to copy files: no space left on device", "disk_full"),
        ("network bridge not found", "build_failed"),
        ("the --chmod option requires BuildKit.", "engine_too_old"),
        ("dockerfile parse error line 2: Unknown flag: link", "engine_too_old"),
        ("dockerfile parse error on line 2: unknown flag: --lnik (did you mean link?)", "build_syntax"),
        ("failed to calculate checksum of ref abc: \"/app\": not found", "build_file_missing"),
        ("building at STEP \"RUN make\": while running runtime: exit status 2", "build_step_failed"),
    ],
)  # fmt: skip
def test_words_of_other_engines(text: str, code: str) -> None:
    assert build_failure(text, Steps(), host="ci-1").code == code


def test_log_that_never_ends_its_line_and_steps_without_number_are_bounded() -> None:
    steps = Steps(is_classic=True)
    steps.take_classic("Step 1/2 : RUN yes\n")
    lines = [line for _ in range(100) for line in steps.take_classic("y" * 1000)]
    assert sum(len(text) for _, text in lines) > 80_000
    assert max(len(text) for _, text in lines) < 20_000
    for number in range(2 * MOST_STEPS):
        steps.add(str(number), f"[a] RUN {number}")
    assert len(steps.steps) == MOST_STEPS


def test_progress_bar_in_a_terminal_leaves_its_last_state() -> None:
    steps = Steps(is_classic=True)
    steps.take_classic("Step 1/1 : RUN curl\n")
    assert steps.take_classic("10%\r50%\r\x1b[32m100%\x1b[0m\r\n") == [(1, "100%")]


def test_unknown_fields_are_passed_over_and_rubbish_is_refused() -> None:
    message = b"\x0a\x03abc" + b"\x9a\x06\x02hi" + b"\x21" + bytes(8) + b"\x2d" + bytes(4) + b"\x20\x01"
    assert dict(fields(message)) == {1: b"abc", 99: b"hi", 4: 1, 5: bytes(4)}
    vertexes = list(told("CgcKA2FiYxoA"))
    assert vertexes == [Vertex("abc")]
    for broken in (b"\x0a\xff", b"\x0a", b"\x0f", b"\xff" * 20):
        with pytest.raises(Malformed):
            list(fields(broken))


SECRET = "密码-correct horse battery staple"


def logged(pieces: Sequence[bytes], *secrets: str) -> str:
    """The log of a step that wrote these pieces, all in one."""
    steps = Steps(hide=Hiding(secrets or [SECRET]))
    steps.take(Vertex("v", "[1/1] RUN x"))
    lines = [line for piece in pieces for line in steps.take(Log("v", piece))]
    return "".join(text for _, text in [*lines, *steps.close(is_built=True)])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_secret_is_hidden_however_its_pieces_are_cut(size: int) -> None:
    data = f"before {SECRET} after".encode()
    text = logged([data[start : start + size] for start in range(0, len(data), size)])
    assert text == f"before {MASK} after"


def in_pieces(text: str, size: int = 4096) -> list[bytes]:
    data = text.encode()
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("before", range(LONGEST_LINE, LONGEST_LINE + 4200, 13))
def test_secret_is_hidden_where_an_endless_line_is_cut(before: int) -> None:
    text = logged(in_pieces("x" * before + SECRET + "y" * 2 * LONGEST_LINE))
    assert text == "x" * before + MASK + "y" * 2 * LONGEST_LINE


def test_secret_that_is_repeated_without_end_is_hidden_and_held_by_nobody() -> None:
    long = "".join(f"{n:04}" for n in range(250))
    text = logged(in_pieces(long * 100), long)
    assert set(text) == set(MASK)
    steps = Steps(hide=Hiding(["aaaaaa"]))
    steps.take(Vertex("v", "[1/1] RUN x"))
    lines = [line for _ in range(200) for line in steps.take(Log("v", b"a" * 4096))]
    assert {*"".join(text for _, text in lines)} == set(MASK)
    assert len(lines) > 20, "it does not pile up"


def test_secret_inside_another_does_not_uncover_it() -> None:
    outer = "my-hush-key-0123456789"
    for before in range(LONGEST_LINE + 4000, LONGEST_LINE + 4200):
        text = logged(in_pieces("x" * before + outer + "y" * LONGEST_LINE), "hush", outer)
        assert "0123456789" not in text
        assert "key" not in text


def test_secrets_that_overlap_are_hidden_both() -> None:
    assert Hiding(["12345678", "5678ABCD"])("a 12345678ABCD b") == f"a {MASK} b"


def test_what_comes_from_two_streams_or_two_steps_is_not_one_line() -> None:
    steps = Steps(hide=Hiding(["hush-very-secret"]))
    steps.take(Vertex("v", "[1/1] RUN x"))
    pieces = [Log("v", b"token: hush-"), Log("v", b"warning: x\n", 2), Log("v", b"very-secret\n")]
    lines = [text for piece in pieces for _, text in steps.take(piece)]
    assert lines == ["warning: x", f"token: {MASK}"]


def test_beginning_of_a_secret_before_what_was_clipped_is_hidden() -> None:
    text = logged([b"a token: hush-very\n[output clipped, log limit 2MiB reached]\n"], "hush-very-secret")
    assert text == f"a token: {MASK}[output clipped, log limit 2MiB reached]"
    assert Hiding(["hush-very-secret"]).cut_off("and hus") == "and hus", "too short to tell"


def test_error_of_a_step_holds_no_secret() -> None:
    steps = Steps(hide=Hiding([SECRET]))
    steps.take(Vertex("v", "[1/1] RUN x", error=f"exit code 1: {SECRET}"))
    assert steps.steps[0].error == f"exit code 1: {MASK}"


def test_short_values_are_not_hidden_and_of_very_many_lines_the_longest_are() -> None:
    assert Hiding(["yes", ""])("yes and yes") == "yes and yes"
    many = Hiding(["\n".join(f"line {n:05} of a certificate" for n in range(20_000)), "short token"])
    assert many("a short token b") == f"a {MASK} b"


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "apiKey", "NPM_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_PRIVATE_KEY", "auth"]
)
def test_names_that_look_like_a_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["MONKEY", "PUBLIC_KEY", "CACHE_KEY", "TOKEN_TTL", "AUTH_URL", "PASSWORD_FILE"]
)
def test_names_that_only_speak_of_one(name: str) -> None:
    assert not is_secret(name)


def test_step_that_moves_bytes_tells_its_rate_and_time_left_until_it_ends() -> None:
    steps = Steps()
    context = steps.add("context", "context", kind="context", state="running")
    for second in range(5):
        context.parts["context"] = (2_000_000 * second, 20_000_000)
        told = context.as_json(100.0 + second)
    assert (told["rate"], told["left"]) == (pytest.approx(2_000_000), pytest.approx(6))
    steps.finish(context)
    assert (context.as_json(105.0)["rate"], context.as_json(105.0)["left"]) == (0, None)
