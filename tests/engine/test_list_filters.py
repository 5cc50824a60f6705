"""The list's filters against the engine's own: each finds what `docker image ls --filter` finds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from config.demo import images as demo
from config.demo.engines import PrivateEngine
from config.demo.images import Image, Layer
from images.models import Host
from tests import factories
from tests.engine.freed import registered

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]
DAY = datetime(2024, 5, 6, tzinfo=UTC)


@pytest.fixture
def host(engine: PrivateEngine) -> Host:
    """Images of several names, labels and days, two without a tag."""
    several = [
        (["shop/api:1.4", "shop/api:latest"], {"org.team": "shop"}),
        (["shop/web:1.4"], {"org.team": "shop", "stage": "prod"}),
        (["shop/tools/cli:2"], {"org.team": "tools"}),
        (["redis:7"], {}),
        (["redis:7.4"], {"stage": "test"}),
        (["localhost:5000/shop/api:1.4"], {"org.teams": "shop"}),
        ([], {"org.team": "shop"}),
        ([], {}),
    ]  # fmt: skip
    with engine.client() as api:
        demo.load(
            api,
            *(
                Image(names, [Layer(f"l{n}", 1000)], labels=labels, created_at=DAY + timedelta(days=n))
                for n, (names, labels) in enumerate(several)
            ),
        )
    return registered(engine.address)


@pytest.mark.parametrize(
    ("name", "value", "query"),
    [
        ("dangling", "true", {"use": "dangling"}),
        ("dangling", "false", {"use": "tagged"}),
        ("label", "org.team", {"label": "org.team"}),
        ("label", "org.team=shop", {"label": "org.team=shop"}),
        ("label", "stage=", {"label": "stage="}),
        ("before", "redis:7", {"before": "redis:7"}),
        ("since", "shop/api", {"since": "shop/api"}),
        *(
            ("reference", pattern, {"reference": pattern})
            for pattern in (
                "redis", "shop/*", "*/*", "*", "shop/*:1.4", "*/api", "shop/[aw]*", "redis:7", "redis:7*", "*:latest",
                "localhost:5000/*/*", "shop/tools/cli", "red?s", "shop/api:[0-9].[0-9]", "nothing",
            )
        ),
    ],
)  # fmt: skip
def test_filter_finds_what_the_engine_finds(
    engine: PrivateEngine, host: Host, client: Client, name: str, value: str, query: dict[str, str]
) -> None:
    with engine.client() as api:
        raw: Any = api
        rows = raw.images(filters={name: value})
    # The containerd store finds images without a name by the pattern "*".
    wanted = {row["Id"] for row in rows if name != "reference" or row.get("RepoTags")}
    client.force_login(factories.make_admin())
    response = client.get("/images/", query)
    assert response.context["form"].problems == []
    assert {copy.engine_id for copy in response.context["page"].rows} == wanted
