"""Builds on the engines that DRYDOCK_EXTRA_ENGINES names."""

import uuid
from typing import Any

import pytest

from config.demo.images import Image, Layer
from images.jobs.life import job_cancel
from images.models import JobState, User
from tests.engine.builds.building import BASE, SLEEP, STAGES, asleep, built, log, sleepers, steps
from tests.engine.extra import EXTRA, AddressOf, emptied, load
from tests.engine.freed import registered
from tests.engine.workers import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]


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
