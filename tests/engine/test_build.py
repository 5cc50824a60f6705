"""Builds on a real engine with both builders, and everything that can go wrong produced for real."""

import contextlib
import http.server
import io
import json
import os
import signal
import tarfile
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import zstandard
from django.test import override_settings
from django.utils import timezone

from config.demo import images as demo
from config.demo.engines import STORE, PrivateEngine
from config.demo.images import Image, Layer
from images import jobs, uploads
from images.commands.build import build_start
from images.commands.pull import pull_start
from images.engine import quiet
from images.errors import UserError
from images.jobs import job_cancel, job_carry_out
from images.models import Copy, GitAccount, Host, Job, JobState, Reference, Registry, StoreKind, Upload, User
from tests import factories
from tests.conftest import closing
from tests.engine.extra import EXTRA, AddressOf, emptied, load
from tests.engine.freed import on_disk, registered
from tests.engine.moves import noise
from tests.engine.test_copy import small_disk  # noqa: F401 - a fixture
from tests.engine.workers import bench, wait_for
from tests.git_server import GitServer
from tests.registry import PASSWORD, USERNAME, PrivateRegistry
from tests.way import way_to

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]

BASE = "shop/tools:1"
"""A base image with a shell; a typed Dockerfile has nothing to copy one from."""


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, settings: Any) -> Path:
    settings.SPOOL_DIR = str(tmp_path / "spool")
    return tmp_path / "spool"


@pytest.fixture
def host(engine: PrivateEngine) -> Host:
    with engine.client() as api:
        demo.load(api, Image([BASE], [Layer("tools", tools=True)], config={"Env": ["PATH=/bin"]}))
    return registered(engine.address)


@pytest.fixture
def person() -> User:
    return factories.make_user()


def built(host: Host, person: User, **options: Any) -> Job:
    [job] = build_start(by=person, hosts=[host], **({"network": "none"} | options))
    job_carry_out(job.pk)
    job.refresh_from_db()
    assert not job.is_open, f"{job.state}: taken by {job.worker or 'nobody'}"
    return job


def steps(job: Job) -> dict[str, str]:
    """Of each instruction, what became of it."""
    return {step["name"]: step["state"] for step in job.detail["steps"] if step["kind"] == "step"}


def log(job: Job) -> str:
    return "".join(job.log.values_list("text", flat=True))


def archive(files: dict[str, str], kind: str = "tar") -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
            for name, text in files.items():
                made.writestr(name, text)
        return buffer.getvalue()
    mode: Any = {"gz": "w:gz", "xz": "w:xz", "bz2": "w:bz2"}.get(kind, "w")
    with tarfile.open(fileobj=buffer, mode=mode) as packed:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text.encode()), 0o644
            packed.addfile(info, io.BytesIO(text.encode()))
    return zstandard.compress(buffer.getvalue()) if kind == "zst" else buffer.getvalue()


def sent(person: User, data: bytes, name: str = "context.tar") -> Upload:
    upload = uploads.upload_begin(by=person, name=name)
    uploads.upload_path(upload).write_bytes(data)
    return uploads.upload_end(upload, len(data))


STAGES = f"""
FROM {BASE} AS build
ARG VERSION=none
RUN echo built $VERSION > /out; echo said $VERSION
FROM scratch AS extra
COPY --from=build /bin/busybox /extra
FROM scratch AS final
COPY --from=build /out /out
LABEL own=1
"""


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_build_of_stages_with_arguments_labels_and_several_tags(
    engine: PrivateEngine, host: Host, person: User, builder: str
) -> None:
    job = built(
        host, person, dockerfile_text=STAGES, tags=["shop/api:1", "shop/api:latest", "other/name"],
        build_args={"VERSION": "7"}, labels={"org.team": "shop"}, platform="linux/amd64", builder=builder,
    )  # fmt: skip
    assert job.state == JobState.SUCCEEDED, job.error_raw
    assert "said 7" in log(job)
    tags = Reference.objects.filter(host=host, copy__engine_id=job.result["engine_id"])
    # The containerd store has a digest for each repository as well.
    assert {reference.name for reference in tags if reference.tag} == {
        "shop/api:1",
        "shop/api:latest",
        "other/name:latest",
    }
    with engine.client() as api:
        raw: Any = api
        document = raw.inspect_image("shop/api:1")
    assert document["Config"]["Labels"] == {"own": "1", "org.team": "shop"}
    assert (document["Os"], document["Architecture"]) == ("linux", "amd64")
    copy = Copy.objects.get(host=host, engine_id=job.result["engine_id"])
    assert job.result["image"] == copy.image_id
    assert [layer["bytes"] for layer in job.result["layers"] if "COPY" in layer["by"]] == [
        on_disk(len("built 7\n"))
    ]
    assert STORE == "containerd" or job.result["total_bytes"] == copy.size_bytes == len("built 7\n")


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_target_stage_is_the_one_that_is_built(
    engine: PrivateEngine, host: Host, person: User, builder: str
) -> None:
    job = built(host, person, dockerfile_text=STAGES, tags=["shop/api:1"], target="extra", builder=builder)
    assert job.state == JobState.SUCCEEDED, job.error_raw
    with engine.client() as api:
        raw: Any = api
        assert raw.inspect_image("shop/api:1")["Size"] > 500_000


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_second_build_takes_its_steps_from_the_cache_unless_told_not_to(
    host: Host, person: User, builder: str
) -> None:
    text = f"FROM {BASE}\nRUN echo one > /one\nRUN echo two > /two\n"
    first = built(host, person, dockerfile_text=text, tags=["shop/api:1"], builder=builder)
    again = built(host, person, dockerfile_text=text, tags=["shop/api:1"], builder=builder)
    fresh = built(host, person, dockerfile_text=text, tags=["shop/api:1"], builder=builder, no_cache=True)
    runs = [[state for name, state in steps(job).items() if "RUN" in name] for job in (first, again, fresh)]
    assert runs == [["done", "done"], ["cached", "cached"], ["done", "done"]]
    assert again.result["engine_id"] == first.result["engine_id"] != fresh.result["engine_id"]
    assert fresh.result["moved"] == {"shop/api:1": first.result["engine_id"]}


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_step_that_fails_is_named_with_its_exit_code_and_its_log(
    host: Host, person: User, builder: str
) -> None:
    text = f"FROM {BASE}\nRUN echo fine\nRUN echo before; exit 3\nRUN echo never\n"
    job = built(host, person, dockerfile_text=text, tags=["shop/api:1"], builder=builder)
    assert (job.state, job.error_code) == (JobState.FAILED, "build_step_failed")
    assert job.error_values["exit_code"] == "3"
    assert job.error_values["step"] == "RUN echo before; exit 3"
    [failed] = [step for step in job.detail["steps"] if step["state"] == "failed"]
    assert failed["name"] == "RUN echo before; exit 3"
    chunks = job.log.filter(pk__in=failed["chunks"]).values_list("text", flat=True)
    assert "".join(chunks) == f"#{failed['n']} before\n"
    assert "never" not in log(job)
    assert not Reference.objects.filter(host=host, repository="shop/api").exists()


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_dockerfile_that_can_not_be_read_is_said_with_its_line(
    host: Host, person: User, builder: str
) -> None:
    job = built(host, person, dockerfile_text="FROM scratch\n\nRUNN make\n", builder=builder)
    assert job.error_code == "build_syntax"
    assert job.error_values["line"] == "3"
    assert job.error_values["detail"].startswith(
        "unknown instruction: RUNN"
    )  # 25 and later: did you mean RUN?


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_step_that_reaches_no_package_source_is_said(host: Host, person: User, builder: str) -> None:
    text = f"FROM {BASE}\nRUN busybox wget http://packages.example.invalid/debian/\n"
    job = built(host, person, dockerfile_text=text, builder=builder)
    assert job.error_code == "build_network"
    assert "packages.example.invalid" in job.error_values["line"]


@pytest.mark.registry
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_base_that_does_not_exist_is_said(
    host: Host, person: User, make_registry: Callable[..., PrivateRegistry], builder: str
) -> None:
    name = f"{make_registry().host}/shop/nothing:1"
    job = built(host, person, dockerfile_text=f"FROM {name}\nRUN true\n", builder=builder)
    assert (job.error_code, job.error_values["subject"]) == ("build_base_missing", name)


def test_base_of_a_registry_that_nobody_knows_is_said(host: Host, person: User) -> None:
    job = built(host, person, dockerfile_text="FROM registry.invalid/shop/api:1\nRUN true\n")
    assert (job.error_code, job.error_values["registry"]) == ("registry_dns", "registry.invalid")


@pytest.mark.registry
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_private_base_is_pulled_with_the_account_that_fits(
    engine: PrivateEngine,
    host: Host,
    person: User,
    make_registry: Callable[..., PrivateRegistry],
    builder: str,
) -> None:
    registry = make_registry(with_password=True)
    name = f"{registry.host}/shop/base:1"
    with engine.client() as api:
        raw: Any = api
        api.tag(BASE, f"{registry.host}/shop/base", "1")
        auth = {"username": USERNAME, "password": PASSWORD}
        assert not [
            line for line in raw.push(name, stream=True, decode=True, auth_config=auth) if "error" in line
        ]
        api.remove_image(name)
        api.remove_image(BASE)
    text = f"ARG TAG=0\nFROM {registry.host}/shop/base:$TAG\nRUN echo ok > /ok\n"
    refused = built(host, person, dockerfile_text=text, build_args={"TAG": "1"}, builder=builder)
    assert (refused.state, refused.error_code) == (JobState.FAILED, "build_base_missing")
    Registry.objects.create(name="shop", prefix=registry.host, username=USERNAME, password=PASSWORD)
    options: Any = {"dockerfile_text": text, "build_args": {"TAG": "1"}, "builder": builder}
    for pulls in (False, True):
        job = built(host, person, pull=pulls, **options)
        assert job.state == JobState.SUCCEEDED, job.error_raw
        assert [step["name"] for step in job.detail["steps"] if step["kind"] == "base"] == [name]
        assert job.result["accounts"] == {name: "shop"}
        assert PASSWORD not in str(job.parameters) + str(job.detail) + log(job)
    again = built(host, person, **options)
    assert not [step for step in again.detail["steps"] if step["kind"] == "base"], "it is here by now"


@pytest.mark.registry
def only_in(registry: PrivateRegistry, engine: PrivateEngine, name: str, *layers: Layer) -> None:
    """An image that the engine has pushed and forgotten."""
    auth = {"username": USERNAME, "password": PASSWORD}
    with engine.client() as api:
        raw: Any = api
        demo.load(api, Image([name], layers, config={"Env": ["PATH=/bin"]}))
        assert not [
            line for line in raw.push(name, stream=True, decode=True, auth_config=auth) if "error" in line
        ]
    engine.wipe()


def test_private_base_whose_line_is_cut_is_tried_again(
    engine: PrivateEngine,
    host: Host,
    person: User,
    make_registry: Callable[..., PrivateRegistry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("images.attempts.PAUSE_SECONDS", 0.1)
    registry = make_registry(with_password=True)
    with way_to(registry.port) as way:
        name = f"{way.host}/shop/base:1"
        only_in(registry, engine, name, Layer("tools", tools=True))
        Registry.objects.create(name="shop", prefix=way.host, username=USERNAME, password=PASSWORD)
        way.sign, way.cut = b"GET /v2/shop/base/manifests/", 1
        job = built(host, person, dockerfile_text=f"FROM {name}\nRUN echo ok > /ok\n")
        assert (job.state, way.cut_count) == (JobState.SUCCEEDED, 1), job.error_raw
        assert "trying again (1/2)" in log(job)


def test_private_base_that_waits_for_a_pull_is_not_taken_for_one_whose_registry_hangs(
    engine: PrivateEngine,
    host: Host,
    person: User,
    make_registry: Callable[..., PrivateRegistry],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An engine downloads three layers at a time, of all pulls together; the others' wait without a word."""
    registry = make_registry(with_password=True)
    with way_to(registry.port) as way:
        for at in (registry.host, way.host):
            Registry.objects.create(name=at, prefix=at, username=USERNAME, password=PASSWORD)
        big, base = f"{way.host}/shop/big:1", f"{registry.host}/shop/base:1"
        only_in(registry, engine, big, *(noise(f"l{n}", 2_000_000) for n in range(3)))
        only_in(registry, engine, base, noise("s", 1000))
        monkeypatch.setattr("images.engine.transfer.SILENT_SECONDS", 2.0)
        way.slow_bytes = 300_000
        [first] = pull_start(by=person, hosts=[host], reference=big)
        thread = threading.Thread(target=closing(job_carry_out), args=(first.pk,))
        thread.start()
        try:
            time.sleep(1.5)
            began = time.monotonic()
            job = built(host, person, dockerfile_text=f"FROM {base}\nLABEL a=b\n")
            assert time.monotonic() - began > 4, "it did not have to wait, so nothing is shown here"
            assert job.state == JobState.SUCCEEDED, job.error_raw
        finally:
            thread.join(60)


def test_private_image_that_a_step_mounts_is_pulled_with_the_account_that_fits(
    engine: PrivateEngine, host: Host, person: User, make_registry: Callable[..., PrivateRegistry]
) -> None:
    registry = make_registry(with_password=True)
    name = f"{registry.host}/shop/data:1"
    with engine.client() as api:
        raw: Any = api
        demo.load(api, Image([name], [Layer("own", content=b"mine")]))
        auth = {"username": USERNAME, "password": PASSWORD}
        assert not [
            line for line in raw.push(name, stream=True, decode=True, auth_config=auth) if "error" in line
        ]
        api.remove_image(name)
    text = f"FROM {BASE}\nRUN --mount=type=bind,from={name},target=/data cat /data/own\n"
    refused = built(host, person, dockerfile_text=text)
    assert (refused.error_code, refused.error_values.get("subject")) == ("build_base_missing", name)
    Registry.objects.create(name="shop", prefix=registry.host, username=USERNAME, password=PASSWORD)
    job = built(host, person, dockerfile_text=text)
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert job.result["accounts"] == {name: "shop"}
    assert "mine" in log(job)


@pytest.mark.registry
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_base_that_moved_in_its_registry_is_taken_when_it_is_asked_for(
    engine: PrivateEngine,
    host: Host,
    person: User,
    make_registry: Callable[..., PrivateRegistry],
    builder: str,
) -> None:
    name = f"{make_registry().host}/shop/base:1"
    with engine.client() as api:
        raw: Any = api
        for content in ("new", "old"):
            demo.load(api, Image([name], [Layer(f"{content}.txt", 10)]))
            if content == "new":
                assert not [line for line in raw.push(name, stream=True, decode=True) if "error" in line]
        ids = {"old": raw.inspect_image(name)["RootFS"]["Layers"][0]}
        for pull in (False, True):
            options: Any = {"tags": [f"app:{pull}"], "labels": {"a": "b"}, "builder": builder}
            job = built(host, person, dockerfile_text=f"FROM {name}\n", pull=pull, **options)
            assert job.state == JobState.SUCCEEDED, job.error_raw
            base = raw.inspect_image(f"app:{pull}")["RootFS"]["Layers"][0]
            # With the containerd store BuildKit asks the registry whether it is told to or not.
            asks = pull or (host.store_kind == StoreKind.CONTAINERD and builder == "buildkit")
            assert (base == ids["old"]) is not asks


def test_flag_that_the_engine_is_too_old_for_is_no_fault_of_the_dockerfile(host: Host, person: User) -> None:
    job = built(host, person, dockerfile_text=f"FROM {BASE}\nCOPY --link --from={BASE} /bin/sh /x\n")
    if host.engine_version >= "23":
        assert job.state == JobState.SUCCEEDED, job.error_raw
        return
    assert (job.error_code, job.error_values["option"]) == ("engine_too_old", "--link"), job.error_raw


@pytest.mark.usefixtures("no_sleepers")
def test_second_build_waits_on_a_host_of_one(host: Host, person: User) -> None:
    Host.objects.filter(pk=host.pk).update(most_builds=1)
    text = "FROM scratch\nLABEL a=b\n"
    with asleep(host, person) as first:
        [second] = build_start(by=person, hosts=[host], dockerfile_text=text, network="none")
        job_carry_out(second.pk)
        second.refresh_from_db()
        assert second.state == JobState.QUEUED
        job_cancel(by=person, job=first)
    job_carry_out(second.pk)
    second.refresh_from_db()
    assert second.state == JobState.SUCCEEDED, second.error_raw


def test_dead_host_stops_no_other_build(host: Host, person: User) -> None:
    dead = factories.make_host("dead", address="unix:///run/nobody.sock")
    jobs_made = build_start(
        by=person,
        hosts=[dead, host],
        dockerfile_text=f"FROM {BASE}\nRUN true\n",
        tags=["a:1"],
        network="none",
    )
    assert len({job.batch for job in jobs_made}) == 1
    for job in jobs_made:
        job_carry_out(job.pk)
        job.refresh_from_db()
    assert [(job.state, job.error_code) for job in jobs_made] == [
        ("failed", "host_no_socket"),
        ("succeeded", ""),
    ]


@pytest.mark.parametrize("name", ["nothing", "app/nothing"])
def test_file_that_is_not_in_the_context_is_said(host: Host, person: User, name: str) -> None:
    job = built(host, person, dockerfile_text=f"FROM scratch\nCOPY {name} /x\n")
    assert job.error_code == "build_file_missing", job.error_raw
    # 20.10 names the first part of the path that is missing.
    assert job.error_values["file"] in (name, name.partition("/")[0])


def test_target_that_is_no_stage_is_said(host: Host, person: User) -> None:
    job = built(host, person, dockerfile_text=STAGES, target="nope")
    assert (job.error_code, job.error_values.get("target")) == ("build_target_missing", "nope"), job.error_raw


@pytest.fixture
def answering() -> Iterator[int]:
    """A port of this machine's loopback that answers to HTTP."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_steps_use_the_network_that_is_asked_for(
    host: Host, person: User, answering: int, builder: str
) -> None:
    text = f"FROM {BASE}\nRUN wget -q -O /page http://127.0.0.1:{answering}/pyproject.toml\n"
    job = built(host, person, dockerfile_text=text, builder=builder, network="host")
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw, log(job))
    job = built(host, person, dockerfile_text=text, builder=builder, no_cache=True)
    assert job.error_code == "build_network", job.error_raw


def test_image_is_for_the_platform_that_is_asked_for(engine: PrivateEngine, host: Host, person: User) -> None:
    upload = sent(person, archive({"Dockerfile": "FROM scratch\nCOPY x /x\n", "x": "1"}))
    job = built(host, person, upload=upload, tags=["far:1"], platform="linux/arm64")
    assert job.state == JobState.SUCCEEDED, job.error_raw
    assert built(host, person, upload=upload, tags=["near:1"]).state == JobState.SUCCEEDED
    with engine.client() as api:
        raw: Any = api
        far, near = (raw.inspect_image(name)["Architecture"] for name in ("far:1", "near:1"))
    assert far == "arm64" != near


def test_classic_builder_says_what_it_can_not_do(host: Host, person: User) -> None:
    text = f"FROM {BASE}\nRUN --mount=type=cache,target=/x true\n"
    assert built(host, person, dockerfile_text=text, builder="buildkit").state == JobState.SUCCEEDED
    job = built(host, person, dockerfile_text=text, builder="classic")
    assert (job.error_code, job.error_values["option"]) == ("engine_too_old", "--mount")


def test_secret_mount_without_a_secret_is_said(host: Host, person: User) -> None:
    text = f"FROM {BASE}\nRUN --mount=type=secret,id=x cat /run/secrets/x\n"
    assert built(host, person, dockerfile_text=text).error_code == "build_needs_session"


def test_build_argument_that_looks_like_a_secret_is_refused(host: Host, person: User) -> None:
    with pytest.raises(UserError) as refused:
        build_start(by=person, hosts=[host], dockerfile_text=STAGES, build_args={"NPM_TOKEN": "hush"})
    assert (refused.value.code, refused.value.values) == ("build_arg_secret", {"name": "NPM_TOKEN"})
    assert not Job.objects.exists()


FILES = {
    "Dockerfile": "FROM scratch\nCOPY . /\n",
    "app/main.py": "print(1)\n",
    "app/secret.env": "x" * 1000,
    "node_modules/lib/index.js": "y" * 5000,
    "docs/readme.md": "z" * 100,
    ".dockerignore": "# comment\nnode_modules\n**/*.env\ndocs/*\n!docs/readme.md\nDockerfile\n",
}


def content_of(engine: PrivateEngine, name: str) -> set[str]:
    """The files in the image's layers; what these are called in an archive differs by engine."""
    with engine.client() as api:
        outer = tarfile.open(fileobj=io.BytesIO(b"".join(api.get_image(name))))  # noqa: SIM115

    def inside(path: str) -> io.BytesIO:
        file = outer.extractfile(path)
        assert file
        return io.BytesIO(file.read())

    found: set[str] = set()
    for path in json.load(inside("manifest.json"))[0]["Layers"]:
        with tarfile.open(fileobj=inside(path)) as layer:
            found |= {each.name for each in layer.getmembers() if each.isreg()}
    return found


@pytest.mark.parametrize("kind", ["tar", "gz", "xz", "bz2", "zst", "zip"])
def test_context_of_an_archive_without_what_dockerignore_leaves_out(
    engine: PrivateEngine, host: Host, person: User, kind: str
) -> None:
    upload = sent(person, archive(FILES, kind))
    assert upload.summary["ignored_count"] == 2
    assert upload.summary["ignored_bytes"] == 6000
    job = built(host, person, upload=upload, tags=["shop/files:1"])
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert content_of(engine, "shop/files:1") == {
        "Dockerfile",
        ".dockerignore",
        "app/main.py",
        "docs/readme.md",
    }
    assert job.detail["context"]["sent_count"] == 4


def test_archive_of_one_folder_means_that_folder_and_dockerfile_may_lie_elsewhere(
    engine: PrivateEngine, host: Host, person: User
) -> None:
    files = {"project/a.txt": "a", "project/docker/prod.Dockerfile": "FROM scratch\nCOPY a.txt /\n"}
    upload = sent(person, archive(files))
    assert (upload.summary["folder"], upload.summary["dockerfile"]) == ("project", "docker/prod.Dockerfile")
    job = built(host, person, upload=upload, tags=["shop/files:1"])
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert content_of(engine, "shop/files:1") == {"a.txt"}
    missing = built(host, person, upload=upload, dockerfile="Dockerfile.none")
    assert missing.error_code == "build_dockerfile_missing"


def test_upload_that_is_gone_or_another_persons_is_not_built(host: Host, person: User) -> None:
    upload = sent(person, archive(FILES))
    with pytest.raises(UserError, match="not there any more"):
        build_start(by=factories.make_user(), hosts=[host], upload=upload)
    [job] = build_start(by=person, hosts=[host], upload=upload)
    uploads.upload_path(upload).unlink()
    job_carry_out(job.pk)
    assert Job.objects.get(pk=job.pk).error_code == "upload_gone"


@override_settings(GIT_ALLOWS_FILES=True)
def test_context_of_a_git_repository_with_branch_and_folder(
    engine: PrivateEngine, host: Host, person: User, repository: str, spool: Path
) -> None:
    options: Any = {"git_url": repository, "folder": "api", "tags": ["shop/git:1"]}
    job = built(host, person, branch="feature/x", **options)
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert content_of(engine, "shop/git:1") == {"Dockerfile", "main.txt", "feature.txt"}
    assert built(host, person, **options).state == JobState.SUCCEEDED
    assert content_of(engine, "shop/git:1") == {"Dockerfile", "main.txt"}
    missing = built(host, person, branch="nope", **options)
    assert (missing.error_code, missing.error_values["ref"]) == ("git_ref_missing", "nope")
    assert built(host, person, git_url=repository, folder="nope").error_code == "context_folder_missing"
    assert built(host, person, git_url=f"{repository}x").error_code == "git_not_found"
    assert not list(spool.iterdir()), "nothing of a clone is left"


def test_private_repository_is_built_with_its_account(
    engine: PrivateEngine, host: Host, person: User, repositories: GitServer
) -> None:
    files, secret = {"Dockerfile": "FROM scratch\nCOPY . /\n"}, "correct-horse"
    repositories.accounts[USERNAME] = secret
    library = repositories.make("private/library", {"lib.txt": "lib"})
    repositories.make("private/shop", files, {"lib": ("../library.git", library)})
    url = f"{repositories.url}/private/shop.git"
    assert built(host, person, git_url=url).error_code == "git_refused"
    GitAccount.objects.create(
        name="Ours", prefix=repositories.host, username=USERNAME, password="wrong-token"
    )
    refused = built(host, person, git_url=url)
    assert (refused.error_code, refused.error_values["account"]) == ("git_account_refused", "Ours")
    GitAccount.objects.update(password=secret)
    job = built(host, person, git_url=url, tags=["shop/private:1"])
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert content_of(engine, "shop/private:1") == {"Dockerfile", ".gitmodules", "lib/lib.txt"}
    library_url = f"{repositories.url}/private/library.git"
    assert job.result["accounts"] == {url: "Ours", library_url: "Ours"}
    stored = f"{list(Job.objects.values())} {log(job)} {log(refused)}"
    assert url in stored
    assert not {text for text in (secret, "wrong-token") if text in stored}


def test_git_address_that_is_not_https_or_holds_a_password_is_refused(host: Host, person: User) -> None:
    for url, code in {
        "file:///etc": "git_address", "ssh://git@machine/x": "git_address", "--upload-pack=x": "git_address",
        "ext::sh -c id": "git_address", "https://me:hush@machine/x.git": "git_credentials",
    }.items():  # fmt: skip
        with pytest.raises(UserError) as refused:
            build_start(by=person, hosts=[host], git_url=url)
        assert refused.value.code == code
        assert "hush" not in str(refused.value.values)


def test_git_machine_that_is_not_there_is_said(host: Host, person: User) -> None:
    assert built(host, person, git_url="https://127.0.0.1:9/x.git").error_code == "git_unreachable"
    assert built(host, person, git_url="https://machine.invalid/x.git").error_code == "git_unreachable"


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_disk_that_fills_up_is_said(
    small_disk: Callable[[], PrivateEngine],  # noqa: F811 - the fixture itself
    person: User,
    builder: str,
) -> None:
    small = small_disk()
    with small.client() as api:
        demo.load(api, Image([BASE], [Layer("tools", tools=True)], config={"Env": ["PATH=/bin"]}))
    host = registered(small.address)
    text = f"FROM {BASE}\nRUN busybox dd if=/dev/zero of=/big bs=1048576 count=400\n"
    job = built(host, person, dockerfile_text=text, builder=builder)
    assert (job.state, job.error_code) == (JobState.FAILED, "disk_full"), (job.error_code, job.error_raw)
    upload = sent(person, archive({"Dockerfile": "FROM scratch\nCOPY big /\n", "big": "x" * 250_000_000}))
    job = built(host, person, upload=upload, builder=builder)
    assert (job.state, job.error_code) == (JobState.FAILED, "disk_full"), (job.error_code, job.error_raw)


SECONDS_ASLEEP = str(900_000 + os.getpid() % 90_000)  # its own in each process of the tests
SLEEP = f"FROM {BASE}\nRUN echo asleep; sleep {SECONDS_ASLEEP}\n"


def sleepers() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if SECONDS_ASLEEP.encode() in command and b"sleep" in command[0]:
            found.append(entry.name)
    return found


@pytest.fixture
def no_sleepers() -> Iterator[None]:
    """A step of BuildKit outlives an engine that was killed: it is nobody's child then."""
    yield
    for pid in sleepers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


@pytest.mark.usefixtures("no_sleepers")
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_cancel_ends_the_build_in_the_engine(
    engine: PrivateEngine, host: Host, person: User, builder: str
) -> None:
    with asleep(host, person, builder=builder) as job:
        job_cancel(by=person, job=job)
    assert job.state == JobState.CANCELLED
    assert "stopped" in steps(job).values()
    wait_for(lambda: not sleepers(), 15)
    with engine.client() as api:
        wait_for(lambda: not api.containers(all=True), 15)
    after = built(host, person, dockerfile_text=f"FROM {BASE}\nRUN echo again\n", builder=builder)
    assert after.state == JobState.SUCCEEDED, after.error_raw


@contextlib.contextmanager
def asleep(host: Host, person: User, text: str = SLEEP, **options: Any) -> Iterator[Job]:
    """A build whose step sleeps; it has ended when the block has. Silence counts as hanging after half a second."""
    with (
        mock.patch.object(quiet, "QUIET_SECONDS", 0.5),
        mock.patch.object(quiet, "ANSWER_SECONDS", 0.5),
    ):
        [job] = build_start(by=person, hosts=[host], network="none", dockerfile_text=text, **options)
        thread = threading.Thread(target=closing(job_carry_out), args=(job.pk,))
        thread.start()
        wait_for(sleepers, 20)
        job.refresh_from_db()
        yield job
        thread.join(20)
        assert not thread.is_alive()
    job.refresh_from_db()


@pytest.mark.usefixtures("no_sleepers")
def test_engine_that_hangs_in_the_middle_is_given_up(engine: PrivateEngine, host: Host, person: User) -> None:
    with asleep(host, person) as job:
        time.sleep(2)
        assert Job.objects.get(pk=job.pk).state == JobState.RUNNING, "a silent step is no hung engine"
        engine.pause()
    engine.cont()
    assert (job.state, job.error_code) == (JobState.FAILED, "host_timeout")
    wait_for(lambda: not sleepers(), 15)


@pytest.mark.usefixtures("no_sleepers")
def test_engine_that_dies_in_the_middle_is_said(engine: PrivateEngine, host: Host, person: User) -> None:
    with asleep(host, person) as job:
        engine.kill()
    assert (job.state, job.error_code) == (JobState.FAILED, "host_gone")
    engine.stop()


@pytest.mark.usefixtures("no_sleepers")
@pytest.mark.parametrize("pings_every", [0.5, 30.0])
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_engine_that_is_stopped_in_the_middle_is_no_fault_of_the_step(
    engine: PrivateEngine, host: Host, person: User, builder: str, pings_every: float
) -> None:
    """Whether the pings beside the build see it first or the step that the engine kills."""
    with (
        asleep(host, person, builder=builder) as job,
        mock.patch.object(quiet, "QUIET_SECONDS", pings_every),
    ):
        engine.stop()
    assert (job.state, job.error_code) == (JobState.FAILED, "host_gone"), (job.error_code, job.error_raw)


KILL = "sh -c 'kill -9 $$'; exit $?"  # the first process itself would not obey


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_step_that_was_killed_is_said_while_the_engine_stays(host: Host, person: User, builder: str) -> None:
    job = built(host, person, dockerfile_text=f"FROM {BASE}\nRUN {KILL}\n", builder=builder)
    assert (job.state, job.error_code) == (JobState.FAILED, "build_step_killed"), job.error_raw
    assert job.error_values["step"] == f"RUN {KILL}"
    assert steps(job)[f"RUN {KILL}"] == "failed"
    ended = built(host, person, dockerfile_text=f"FROM {BASE}\nRUN exit 143\n", builder=builder)
    assert (ended.error_code, ended.error_values["exit_code"]) == ("build_step_failed", "143")


@pytest.mark.services
@pytest.mark.usefixtures("no_sleepers")
def test_build_whose_worker_was_killed_ends_in_the_engine_and_is_not_repeated(
    host: Host, person: User, tmp_path: Path, own_redis: str, settings: Any
) -> None:
    with bench(tmp_path, own_redis, settings) as workers, mock.patch.object(jobs, "dispatch"):
        [job] = build_start(by=person, hosts=[host], network="none", dockerfile_text=SLEEP)
        worker = workers.started("engine")
        workers.send("carry_out", job.pk, queue="engine")
        wait_for(sleepers, 30)
        worker.kill()
        wait_for(lambda: not sleepers(), 15)
        Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
        jobs.jobs_reap(timezone.now())
        workers.started("engine")
        workers.send("carry_out", job.pk, queue="engine")
        time.sleep(2)
        job.refresh_from_db()
        assert (job.state, job.error_code, job.attempt) == (JobState.LOST, "job_lost", 1)
        assert not sleepers()


@pytest.mark.parametrize("name", EXTRA)
def test_the_same_on_other_engines(name: str, address_of: AddressOf, person: User) -> None:
    """See extra.py. Podman gets its classic builder by itself."""
    address = address_of(name)
    with emptied(address) as api:
        load(api, Image([BASE], [Layer("tools", tools=True)], config={"Env": ["PATH=/bin"]}))
    host = registered(address)
    version = uuid.uuid4().hex  # its build cache may be from an earlier run
    options: Any = {"tags": ["shop/api:1"], "build_args": {"VERSION": version}}
    stages = STAGES.replace(BASE, f"localhost/{BASE}") if host.engine_kind == "podman" else STAGES
    job = built(host, person, dockerfile_text=stages, **options)
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert f"said {version}" in log(job)
    assert job.result["image"]
    assert [name for name in steps(job) if name.startswith("RUN")], steps(job)
    again = built(host, person, dockerfile_text=stages, **options)
    assert set(steps(again).values()) <= {"cached", "done"}
    base = f"localhost/{BASE}" if host.engine_kind == "podman" else BASE
    failed = built(host, person, dockerfile_text=f"FROM {base}\nRUN echo before; exit 3\n")
    assert (failed.error_code, failed.error_values.get("exit_code")) == ("build_step_failed", "3"), (
        failed.error_raw
    )
    assert "before" in log(failed)
    for text, code in {
        "FROM scratch\nRUNN x\n": "build_syntax",
        "FROM scratch\nCOPY nothing /x\n": "build_file_missing",
        f"FROM {base}\nRUN busybox wget http://packages.invalid/\n": "build_network",
        "FROM registry.invalid/x/y:1\nRUN true\n": "registry_dns",
    }.items():
        wrong = built(host, person, dockerfile_text=text)
        assert wrong.error_code == code, (text, wrong.error_code, wrong.error_raw)
    missing = built(host, person, dockerfile_text=STAGES, target="nope")
    assert missing.error_code == "build_target_missing", missing.error_raw
    if host.engine_kind != "podman":  # which goes on to the end of its step
        with asleep(host, person, text=SLEEP.replace(BASE, base)) as job:
            job_cancel(by=person, job=job)
        assert job.state == JobState.CANCELLED
        wait_for(lambda: not sleepers(), 15)
