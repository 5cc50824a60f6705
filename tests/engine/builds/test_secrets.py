"""Builds with secrets, through docker's own buildx on real engines: what gets where, and what is left behind."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core import serializers
from django.test import override_settings

from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.commands.build import build_start
from images.engine import buildx
from images.hosts import freshness
from images.jobs import life
from images.jobs.life import job_cancel
from images.live import progress
from images.models import Host, Job, JobSecret, JobState, Upload, User
from tests import factories
from tests.conftest import free_port
from tests.engine.builds.building import (
    BASE,
    SLEEP,
    archive,
    asleep,
    built,
    content_of,
    log,
    sent,
    sleepers,
    steps,
)
from tests.engine.freed import on_disk
from tests.engine.moves import loaded
from tests.engine.test_hosts_real import authority, issued
from tests.engine.test_ssh import host_of
from tests.engine.workers import bench, wait_for
from tests.sshd import PrivateSshd

pytestmark = [pytest.mark.engine, pytest.mark.buildx, pytest.mark.django_db(transaction=True)]

TOOLS = Image([BASE], [Layer("tools", tools=True)], config={"Env": ["PATH=/bin"]})
SECRET = "correct horse battery staple"
SECRETS = {"token": SECRET}
# It proves that the step had the secret, and writes it where it must not be seen.
TEXT = f"""FROM {BASE}
RUN --mount=type=secret,id=token md5sum /run/secrets/token > /sum; echo "it is $(cat /run/secrets/token)"
"""
SUM = "9cc2ae8a1ba7a93da39b46fc1019c481"


@pytest.fixture
def told() -> Iterator[list[str]]:
    """Everything that is published while the test runs."""
    found: list[str] = []

    def publish(*topics: str, host_id: int | None = None, data: Any = None) -> None:
        found.append(json.dumps([topics, data], default=str))

    with mock.patch.object(progress, "publish", publish):
        yield found


def kept_of(job: Job) -> str:
    """The job's rows as they stand in the database."""
    rows = [*Job.objects.filter(pk=job.pk), *job.log.all(), *job.items.all()]
    return str(serializers.serialize("json", rows))


def test_secret_reaches_its_step_and_nothing_else(
    engine: PrivateEngine, host: Host, person: User, told: list[str]
) -> None:
    job = built(host, person, dockerfile_text=TEXT, tags=["shop/api:1"], secrets=SECRETS)
    assert job.state == JobState.SUCCEEDED, job.error_raw
    with engine.client() as api:
        raw: Any = api
        container = raw.create_container("shop/api:1", ["cat", "/sum"], host_config=raw.create_host_config())
        data, _ = raw.get_archive(container, "/sum")
        assert SUM.encode() in b"".join(data)
        assert SECRET not in json.dumps([raw.inspect_image("shop/api:1"), raw.history("shop/api:1")])
    assert "sum" in content_of(engine, "shop/api:1")
    assert "it is ••••••" in log(job)
    assert job.parameters["secret_ids"] == ["token"]
    assert not JobSecret.objects.exists()
    assert SECRET not in kept_of(job)
    assert told
    assert SECRET not in "".join(told)


def test_image_steps_and_layers_are_told_as_of_any_other_build(host: Host, person: User) -> None:
    plain = f"FROM {BASE} AS one\nRUN echo out > /out\nFROM scratch\nCOPY --from=one /out /out\nLABEL a=1\n"
    job = built(
        host, person, dockerfile_text=plain, tags=["a/b:1", "a/b:2"], labels={"team": "shop"}, secrets=SECRETS
    )
    assert job.state == JobState.SUCCEEDED, job.error_raw
    # The containerd store has a digest behind the base's name.
    assert {name.partition("@")[0]: state for name, state in steps(job).items()} == {
        f"FROM docker.io/{BASE}": "done",
        "RUN echo out > /out": "done", "COPY --from=one /out /out": "done",
    }  # fmt: skip
    assert [layer["bytes"] for layer in job.result["layers"] if "COPY" in layer["by"]] == [on_disk(4)]
    assert sorted(job.result["references"]) == ["a/b:1", "a/b:2"]
    assert job.result["image"]
    again = built(host, person, dockerfile_text=plain, secrets=SECRETS)
    assert {state for name, state in steps(again).items() if not name.startswith("FROM")} == {"cached"}
    # Without buildx it is the same image, to the byte.
    assert (
        built(host, person, dockerfile_text=plain, labels={"team": "shop"}).result["engine_id"]
        == (job.result["engine_id"])
    )


def test_context_is_that_of_any_other_build(engine: PrivateEngine, host: Host, person: User) -> None:
    files = {
        "app/docker/Dockerfile": "FROM scratch\nCOPY . /\n", "app/main.py": "x", "app/.env": "y",
        "app/.dockerignore": ".env\n", "other": "z" * 3_000_000,
    }  # fmt: skip
    upload: Upload = sent(person, archive(files))
    job = built(
        host,
        person,
        upload=upload,
        folder="app",
        dockerfile="docker/Dockerfile",
        tags=["a:1"],
        secrets=SECRETS,
    )
    assert job.state == JobState.SUCCEEDED, job.error_raw
    found = content_of(engine, "a:1")
    assert "main.py" in found
    assert not {".env", "other"} & found


def test_secret_of_several_lines_is_whole_in_the_step_and_hidden_in_the_log(host: Host, person: User) -> None:
    value = "//packages.example.invalid/:_authToken=abcdef\nalways-auth=true\n"
    text = (
        f"FROM {BASE}\nRUN --mount=type=secret,id=npmrc wc -l < /run/secrets/npmrc; cat /run/secrets/npmrc\n"
    )
    job = built(host, person, dockerfile_text=text, secrets={"npmrc": value})
    assert job.state == JobState.SUCCEEDED, job.error_raw
    assert log(job).count("••••••") == 2
    assert "authToken" not in log(job)
    assert any(line.endswith(" 2") for line in log(job).splitlines())


@pytest.mark.parametrize(
    ("text", "code", "values"),
    [
        (f"FROM {BASE}\nRUN echo no; exit 7\n", "build_step_failed", {"exit_code": "7"}),
        (f"FROM {BASE}\nRUNN echo\n", "build_syntax", {"line": "2"}),
        ("FROM scratch\nCOPY nothing /\n", "build_file_missing", {}),
        (f"FROM {BASE}\nRUN wget http://packages.example.invalid/\n", "build_network", {}),
    ],
)
def test_what_goes_wrong_is_said_as_without_secrets(
    host: Host, person: User, text: str, code: str, values: dict[str, str]
) -> None:
    job = built(host, person, dockerfile_text=text, secrets=SECRETS)
    assert (job.state, job.error_code) == (JobState.FAILED, code), job.error_raw
    assert job.error_values | values == job.error_values
    assert not JobSecret.objects.exists()


def test_stage_that_is_none_is_said(host: Host, person: User) -> None:
    assert built(host, person, dockerfile_text=TEXT, target="no", secrets=SECRETS).error_code == (
        "build_target_missing"
    )


def test_without_buildx_it_says_what_to_install(host: Host, person: User) -> None:
    with override_settings(BUILDX="/there/is/no/buildx"):
        job = built(host, person, dockerfile_text=TEXT, secrets=SECRETS)
    assert (job.state, job.error_code) == (JobState.FAILED, "buildx_missing")


def test_classic_builder_is_refused(host: Host, person: User) -> None:
    job = built(host, person, dockerfile_text=TEXT, builder="classic", secrets=SECRETS)
    assert (job.error_code, job.error_values["option"]) == ("engine_too_old", "RUN --mount=type=secret")


@pytest.mark.usefixtures("no_sleepers")
def test_cancel_ends_the_build_in_the_engine(engine: PrivateEngine, host: Host, person: User) -> None:
    with asleep(host, person, secrets=SECRETS) as job:
        job_cancel(by=person, job=job)
    assert job.state == JobState.CANCELLED
    assert "stopped" in steps(job).values()
    wait_for(lambda: not sleepers(), 15)


@pytest.mark.usefixtures("no_sleepers")
def test_engine_that_hangs_or_dies_in_the_middle_is_said(
    engine: PrivateEngine, host: Host, person: User
) -> None:
    with asleep(host, person, secrets=SECRETS) as job:
        engine.pause()
    engine.cont()
    assert (job.state, job.error_code) == (JobState.FAILED, "host_timeout")
    wait_for(lambda: not sleepers(), 15)
    with asleep(host, person, secrets=SECRETS) as job:
        engine.kill()
    assert job.state == JobState.FAILED
    assert job.error_code in {"host_gone", "host_refused"}


@pytest.mark.services
@pytest.mark.usefixtures("no_sleepers")
def test_worker_that_is_killed_takes_the_build_and_its_secrets_along(
    host: Host, person: User, tmp_path: Path, redis_url: str, settings: Any
) -> None:
    with bench(tmp_path, redis_url, settings) as workers, mock.patch.object(life, "dispatch"):
        [job] = build_start(
            by=person,
            hosts=[host],
            network="none",
            dockerfile_text=SLEEP,
            tags=["shop/api:1"],
            secrets=SECRETS,
        )
        worker = workers.started("engine")
        workers.send("carry_out", job.pk, queue="engine")
        wait_for(sleepers, 30)
        assert knowing(SECRET), "the test can see it"
        os.kill(worker.process.pid, signal.SIGKILL)  # and not its group, in which buildx is not
        worker.process.wait(15)
        wait_for(lambda: not knowing(SECRET), 15)
        wait_for(lambda: not sleepers(), 15)


def knowing(text: str) -> list[str]:
    """The processes in whose environment the text is."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and text.encode() in (entry / "environ").read_bytes():
                found.append(entry.name)
    return found


@pytest.mark.parametrize("name", ["很" * 40 + ".txt", "a/" * 60 + "b.txt"])
def test_long_names_at_the_beginning_of_the_context_do_no_harm(
    engine: PrivateEngine, host: Host, person: User, name: str
) -> None:
    upload = sent(person, archive({name: "x", "Dockerfile": "FROM scratch\nCOPY . /\n"}))
    job = built(host, person, upload=upload, tags=["a:1"], secrets=SECRETS)
    assert job.state == JobState.SUCCEEDED, job.error_raw
    assert name in content_of(engine, "a:1")


def test_engine_behind_tls_builds_too(
    make_engine: Callable[..., PrivateEngine], tmp_path: Path, person: User
) -> None:
    ca = authority("ca")
    server, client = issued(ca, "127.0.0.1"), issued(ca, "client")
    for name, text in (("ca", ca["certificate"]), ("cert", server["certificate"]), ("key", server["key"])):
        (tmp_path / f"{name}.pem").write_text(text)
    port = free_port()
    files = [
        f"--tls{kind}={tmp_path}/{name}.pem"
        for kind, name in (("cacert", "ca"), ("cert", "cert"), ("key", "key"))
    ]
    engine = make_engine("tls", arguments=("-H", f"tcp://127.0.0.1:{port}", "--tlsverify", *files))
    loaded(engine, TOOLS)
    host = factories.make_host(
        "tls", address=f"tcp://127.0.0.1:{port}", use_tls=True, tls_ca=ca["certificate"],
        tls_certificate=client["certificate"], tls_key=client["key"],
    )  # fmt: skip
    freshness.host_sync(host.pk)
    job = built(Host.objects.get(pk=host.pk), person, dockerfile_text=TEXT, secrets=SECRETS)
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert "it is ••••••" in log(job)


@pytest.mark.ssh
def test_engine_behind_ssh_builds_too(
    engine: PrivateEngine, host: Host, person: User, make_sshd: Callable[..., PrivateSshd]
) -> None:
    far = host_of(engine, make_sshd())
    freshness.host_sync(far.pk)
    job = built(Host.objects.get(pk=far.pk), person, dockerfile_text=TEXT, secrets=SECRETS)
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert "it is ••••••" in log(job)


def test_documents_are_read_whether_indented_or_not() -> None:
    lines = [
        b"noise\n",
        b"{\n",
        b'  "a": {\n',
        b'    "b": 1\n',
        b"  }\n",
        b"}\n",
        b'{"c": 2}\n',
        b"ERROR: x\n",
    ]
    other: list[str] = []
    assert list(buildx.documents(lines, other.append)) == [{"a": {"b": 1}}, {"c": 2}]
    assert other == ["noise\n", "ERROR: x\n"]
