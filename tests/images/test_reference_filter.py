"""The filters of `docker image ls`: what a pattern means, and what the list's page makes of them.

That an engine means the same is in tests/engine/test_list_filters.py.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from images.fleet.reference_filter import InvalidPatternError, pattern_expression
from images.models import Copy, HostGroup
from tests import factories

BUILT = datetime(2024, 5, 6, tzinfo=UTC)
DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("redis", "redis", "redis2"),
        ("acme/*", "acme/api", "acme/team/api"),
        ("*/*/api", "ghcr.io/acme/api", "acme/api"),
        ("redis:?", "redis:7", "redis:72"),
        ("redis:[67]", "redis:6", "redis:8"),
        ("redis:[^67]", "redis:8", "redis:7"),
        ("redis:[0-9]*", "redis:7.4", "redis:latest"),
        ("a.c", "a.c", "abc"),
        ("a\\*c", "a*c", "abc"),
        ("**", "redis", "acme/redis"),
    ],
)
def test_pattern_fits_what_it_means(pattern: str, fits: str, fits_not: str) -> None:
    expression = pattern_expression(pattern)
    assert re.search(expression, fits)
    assert not re.search(expression, fits_not)


@pytest.mark.parametrize(
    "pattern", ["redis:[", "redis:[67", "a\\", "[9-0]", "[]", "*a*a*a*a*a*", "[[:alpha:]]"]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidPatternError):
        pattern_expression(pattern)


@pytest.fixture
def api(db: None) -> Copy:
    image = factories.make_image(
        factories.make_layer(10), built_at=BUILT, labels={"org.team": "shop", "1": "x"}
    )
    copy = factories.make_copy(
        factories.make_host("runner"),
        "ghcr.io/acme/api:1.4",
        f"ghcr.io/acme/api@{DIGEST}",
        image=image,
        engine_id="sha256:" + "ab12" * 16,
    )
    Copy.objects.filter(pk=copy.pk).update(search_text=f"{copy.search_text}\norg.team=shop")
    return copy


@pytest.fixture
def other(api: Copy) -> Copy:
    image = factories.make_image(
        factories.make_layer(10), built_at=BUILT + timedelta(days=1), labels={"org.team": "shop2"}
    )
    copy = factories.make_copy(api.host, "redis:7", image=image)
    Copy.objects.filter(pk=copy.pk).update(search_text=f"{copy.search_text}\norg.team=shop2")
    return copy


@pytest.fixture
def dangling(api: Copy) -> Copy:
    return factories.make_copy(api.host)


def enter(client: Client, group: HostGroup | None = None) -> None:
    user = factories.make_user()
    factories.grant(user, "viewer", group)
    client.force_login(user)


def found(client: Client, **query: str) -> set[str]:
    response = client.get("/images/", query)
    assert response.status_code == 200
    return {copy.name for copy in response.context["page"].rows}


@pytest.mark.parametrize(
    "query",
    [
        {"reference": "ghcr.io/acme/*"},
        {"reference": "ghcr.io/*/api:1.?"},
        {"reference": f"ghcr.io/acme/api@{DIGEST}"},
        {"label": "org.team=shop"},
        {"before": "redis:7"},
        {"before": "redis:7", "reference": "*/*/*"},
    ],
)
def test_filter_finds_the_one_and_not_the_other(
    client: Client, api: Copy, other: Copy, dangling: Copy, query: dict[str, str]
) -> None:
    enter(client)
    assert found(client, **query) == {api.name}


def test_other_filters_of_docker(client: Client, api: Copy, other: Copy, dangling: Copy) -> None:
    enter(client)
    assert found(client, label="org.team") == {api.name, other.name}
    assert found(client, label="team") == set()
    assert found(client, since="ghcr.io/acme/api:1.4") == {other.name}
    assert found(client, since=api.short_id) == {other.name}
    assert found(client, since=f"ghcr.io/acme/api@{DIGEST}") == {other.name}
    assert found(client, use="tagged") == {api.name, other.name}
    assert found(client, use="dangling") == {dangling.name}


def test_name_without_a_tag_means_latest(client: Client, api: Copy, other: Copy) -> None:
    image = factories.make_image(built_at=BUILT - timedelta(days=1))
    oldest = factories.make_copy(api.host, "acme/oldest:latest", image=image)
    enter(client)
    assert found(client, since="acme/oldest") == {api.name, other.name}
    assert found(client, before="acme/oldest") == set()
    assert oldest.name not in found(client, since="acme/oldest")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"before": "nothing:1"}, "There is no image “nothing:1” here."),
        ({"since": "redis:7"}, "When “redis:7” was built is not known."),
        ({"reference": "a["}, "This is no pattern"),
    ],
)
def test_filter_that_means_nothing_is_left_out_and_said(
    client: Client, api: Copy, query: dict[str, str], said: str
) -> None:
    factories.make_copy(api.host, "redis:7")
    enter(client)
    response = client.get("/images/", query)
    assert said in response.content.decode()
    assert {copy.name for copy in response.context["page"].rows} == {api.name, "redis:7"}


def test_name_of_several_images_needs_its_host(client: Client, api: Copy, other: Copy) -> None:
    image = factories.make_image(built_at=BUILT + timedelta(days=9))
    factories.make_copy(factories.make_host("b"), "redis:7", image=image)
    enter(client)
    assert "names several images" in client.get("/images/", {"before": "redis:7"}).content.decode()
    assert found(client, before="redis:7", host=str(api.host_id)) == {api.name}


def test_image_of_an_invisible_host_is_no_measure(client: Client, api: Copy) -> None:
    group = HostGroup.objects.create(name="mine")
    factories.make_copy(factories.make_host("mine", groups=(group,)), "own:1")
    enter(client, group)
    page = client.get("/images/", {"before": "ghcr.io/acme/api:1.4"}).content.decode()
    assert "There is no image “ghcr.io/acme/api:1.4” here." in page


def test_digests_show_when_asked_for(client: Client, api: Copy) -> None:
    enter(client)
    assert DIGEST[:19] not in client.get("/images/").content.decode()
    assert DIGEST[:19] in client.get("/images/", {"digests": "on"}).content.decode()


def test_filters_hold_for_the_export(client: Client, api: Copy, other: Copy) -> None:
    enter(client)
    response: Any = client.get("/images/export/txt/", {"reference": "redis*"})
    assert b"".join(response.streaming_content).decode().split() == [other.short_id]
