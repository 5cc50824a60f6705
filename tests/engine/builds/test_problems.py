"""What can go wrong in a build, each produced for real."""

from collections.abc import Callable

import pytest

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.commands.build import build_start
from images.errors import UserError
from images.models import Host, Job, JobState, Reference, User
from tests.engine.builds.building import BASE, STAGES, archive, built, log, sent
from tests.engine.freed import registered

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]


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


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_step_that_the_engine_itself_can_not_carry_out_is_said(
    host: Host, person: User, builder: str
) -> None:
    text = f"FROM {BASE}\nWORKDIR /bin/busybox/below-a-file\nRUN true\n"
    job = built(host, person, dockerfile_text=text, builder=builder)
    assert (job.state, job.error_code) == (JobState.FAILED, "build_failed"), (job.error_code, job.error_raw)
    assert job.error_values["step"] == "WORKDIR /bin/busybox/below-a-file"
    assert "not a directory" in job.error_raw


def test_flag_that_the_engine_is_too_old_for_is_no_fault_of_the_dockerfile(host: Host, person: User) -> None:
    job = built(host, person, dockerfile_text=f"FROM {BASE}\nCOPY --link --from={BASE} /bin/sh /x\n")
    if host.engine_version >= "23":
        assert job.state == JobState.SUCCEEDED, job.error_raw
        return
    assert (job.error_code, job.error_values["option"]) == ("engine_too_old", "--link"), job.error_raw


def test_target_that_is_no_stage_is_said(host: Host, person: User) -> None:
    job = built(host, person, dockerfile_text=STAGES, target="nope")
    assert (job.error_code, job.error_values.get("target")) == ("build_target_missing", "nope"), job.error_raw


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


@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_disk_that_fills_up_is_said(
    small_disk: Callable[[], PrivateEngine],
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
