"""The inspect document and the history of an image's page, against what the engine itself says of that image."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils.dateparse import parse_datetime

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.commands.build import build_start
from images.commands.push import push_start
from images.jobs.life import job_carry_out
from images.models import Copy, Host, Job, JobState, User
from tests import factories
from tests.engine.freed import registered
from tests.registry import PrivateRegistry

pytestmark = [pytest.mark.engine, pytest.mark.registry, pytest.mark.django_db(transaction=True)]

SECRET = "swordfish-42"
DOCKERFILE = f"""
FROM shop/tools:1
MAINTAINER shop
LABEL org.team=shop version="2.1"
ENV MODE=fast API_TOKEN={SECRET}
RUN echo 70000 > /data
WORKDIR /srv
USER 1000
EXPOSE 8080/tcp
VOLUME /srv/data
STOPSIGNAL SIGINT
ONBUILD RUN echo later
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=5s CMD /bin/true
ENTRYPOINT ["/bin/sh"]
CMD ["-c", "echo a command that is long enough to be cut wherever somebody cuts commands at some length"]
"""
KINDS = ("buildkit", "classic", "bare")
COMMANDS = Path(__file__).parents[2] / "docs" / "commands.md"


def carried_out(job: Job) -> None:
    job_carry_out(job.pk)
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)


def names(registry: PrivateRegistry) -> dict[str, str]:
    return {kind: f"{registry.host}/shop/{kind}:1" for kind in KINDS}


@pytest.fixture
def registry(make_registry: Callable[..., PrivateRegistry]) -> PrivateRegistry:
    return make_registry()


@pytest.fixture
def host(engine: PrivateEngine, registry: PrivateRegistry) -> Host:
    """Holds what each builder built, one of which a registry knows, and an image that nobody built."""
    named = names(registry)
    tools = Image(["shop/tools:1"], [Layer("tools", tools=True)], config={"Env": ["PATH=/bin"]})
    with engine.client() as api:
        demo.load(
            api, tools, Image([named["bare"], "shop/bare:old"], [Layer("bare", 300)], has_history=False)
        )
    host, by = registered(engine.address), factories.make_user()
    for kind in ("buildkit", "classic"):
        options = {"dockerfile_text": DOCKERFILE, "network": "none", "builder": kind}
        [job] = build_start(by=by, hosts=[host], tags=[named[kind]], **options)  # type: ignore[arg-type]
        carried_out(job)
    copies = Copy.objects.filter(references__name=named["buildkit"])
    [job] = push_start(by=by, copies=copies, reference=named["buildkit"])
    carried_out(job)
    return host


@pytest.fixture
def admin(client: Client) -> User:
    root = factories.make_admin()
    client.force_login(root)
    return root


def document(client: Client, host: Host, name: str, what: str) -> Any:
    copy = Copy.objects.get(host=host, references__name=name)
    return client.get(f"/images/{copy.image_id}/{what}/").json()


def left_out() -> set[str]:
    """What docs/commands.md says of the engine's document that it is not kept."""
    [row] = [line for line in COMMANDS.read_text().splitlines() if "| not kept:" in line]
    return set(row.split("|")[1].replace("`", "").replace(" ", "").split(","))


def without_token(config: dict[str, Any]) -> list[str]:
    return [value for value in config.get("Env") or [] if "TOKEN" not in value]


def is_same(ours: Any, theirs: Any) -> bool:
    """Nothing is written in several ways: left out, null, or empty."""
    return ours == theirs or not (ours or theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_inspect_says_what_the_engine_says(
    client: Client, host: Host, engine: PrivateEngine, registry: PrivateRegistry, admin: User, kind: str
) -> None:
    name = names(registry)[kind]
    with engine.client() as api:
        raw: Any = api
        theirs: dict[str, Any] = raw.inspect_image(name)
    ours = document(client, host, name, "inspect")
    [copy] = ours.pop("Copies")
    assert copy.pop("Host") == host.name
    assert bool(theirs["RepoDigests"]) == (kind == "buildkit")
    wanted, config = theirs.pop("Config") or {}, ours.pop("Config", {})
    both = ours | copy
    assert not [key for key in theirs.keys() - left_out() if not is_same(both.get(key), theirs[key])]
    assert without_token(config) == without_token(wanted)
    # The others of its keys are what a container of the classic builder left behind.
    set_by_builders = wanted.keys() - {"Env", "Hostname", "Image"}
    assert not [key for key in set_by_builders if not is_same(config.get(key), wanted[key])]


@pytest.mark.parametrize("kind", KINDS)
def test_history_says_what_the_engine_says(
    client: Client, host: Host, engine: PrivateEngine, registry: PrivateRegistry, admin: User, kind: str
) -> None:
    name = names(registry)[kind]
    with engine.client() as api:
        raw: Any = api
        theirs: list[dict[str, Any]] = raw.history(name)
    ours = document(client, host, name, "history")
    assert [(step["Size"], step["Comment"]) for step in ours] == [
        (step["Size"], step["Comment"]) for step in theirs
    ]
    for mine, their in zip(ours, theirs, strict=True):
        assert SECRET not in mine["CreatedBy"]
        if SECRET not in their["CreatedBy"]:
            assert mine["CreatedBy"] == their["CreatedBy"]
        assert at(mine["CreatedAt"]) == max(their["Created"], 0)
    if kind != "bare":
        assert max(len(step["CreatedBy"]) for step in ours) > 100


def at(text: str) -> int:
    """In seconds since 1970; 0 where nobody wrote it down."""
    moment = parse_datetime(text)
    return int(moment.timestamp()) if moment else 0
