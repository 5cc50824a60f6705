"""Builds on a real engine with both builders: arguments, labels, tags, stages, cache, network, platform."""

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from config.demo.engines import STORE, PrivateEngine
from images.models import Copy, Host, JobState, Reference, User
from tests.engine.builds.building import BASE, STAGES, archive, built, log, sent, steps
from tests.engine.freed import on_disk

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]


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
