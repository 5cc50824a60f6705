"""The exports of the fleet list: read back with the parsers that others will use."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from images.fleet import export
from images.fleet.query import FleetQuery
from images.models import Copy, Host, HostGroup, Reference, User
from tests import factories

pytestmark = pytest.mark.django_db
BUILT = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
DIGEST = "acme/api@sha256:" + "cd" * 32


@pytest.fixture
def host(group: HostGroup) -> Host:
    return factories.make_host("runner", groups=(group,))


@pytest.fixture
def vera(client: Client) -> User:
    user = factories.make_user("vera")
    factories.grant(user, "viewer")
    client.force_login(user)
    return user


@pytest.fixture
def api(host: Host) -> Copy:
    return factories.make_copy(
        host, "acme/api:1.4", "acme/api:latest", DIGEST, engine_id="sha256:" + "ab" * 32, size_bytes=5000,
        own_bytes=1200, container_count=2, built_at=BUILT, arrived_at=BUILT,
    )  # fmt: skip


def body_of(client: Client, kind: str, **query: str) -> str:
    response: Any = client.get(reverse("images:image-export", args=[kind]), query)
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()


def as_csv(client: Client, **query: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body_of(client, "csv", **query), newline="")))


def as_json(client: Client, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(body_of(client, "json", **query))
    return found


# Content


def test_json_holds_numbers_lists_and_moments(client: Client, vera: User, api: Copy) -> None:
    (row,) = as_json(client)
    assert row == {
        "host": "runner", "repository": "acme/api", "tag": "1.4", "engine_id": "sha256:" + "ab" * 32,
        "references": ["acme/api:1.4", "acme/api:latest", DIGEST],
        "size_bytes": 5000, "own_bytes": 1200, "containers": 2, "dangling": False, "intermediate": False,
        "built_at": BUILT.isoformat(), "arrived_at": BUILT.isoformat(), "last_used_at": None,
    }  # fmt: skip
    assert datetime.fromisoformat(row["built_at"]) == BUILT


def test_csv_says_the_same_in_columns(client: Client, vera: User, api: Copy) -> None:
    (row,) = as_csv(client)
    assert tuple(row) == export.COLUMNS
    (expected,) = as_json(client)
    assert row["references"].split(" ") == expected["references"]
    assert row["last_used_at"] == ""
    for name in (
        "host",
        "repository",
        "tag",
        "engine_id",
        "size_bytes",
        "own_bytes",
        "containers",
        "built_at",
    ):
        assert row[name] == str(expected[name]), name
    assert (row["dangling"], row["intermediate"]) == ("False", "False")


def test_ids_are_short_and_one_on_a_line(client: Client, vera: User, api: Copy, host: Host) -> None:
    other = factories.make_copy(host, "redis:7", engine_id="sha256:" + "12" * 32)
    lines = body_of(client, "txt").splitlines()
    assert sorted(lines) == sorted([api.short_id, other.short_id])
    assert all(len(line) == 12 for line in lines)


def test_dangling_copy_is_a_row_without_names(client: Client, vera: User, host: Host) -> None:
    factories.make_copy(host)
    (row,) = as_json(client)
    assert (row["repository"], row["tag"], row["references"], row["dangling"]) == ("", "", [], True)


def test_nothing_to_export_is_still_a_document(client: Client, vera: User) -> None:
    assert as_json(client) == []
    assert as_csv(client) == []
    assert body_of(client, "csv").strip().split(",") == list(export.COLUMNS)
    assert body_of(client, "txt") == ""


@pytest.mark.parametrize("count", [1, 2, 3])
def test_json_stays_one_document_however_many_rows(
    client: Client, vera: User, host: Host, count: int
) -> None:
    for number in range(count):
        factories.make_copy(host, f"acme/n:{number}")
    assert len(as_json(client)) == count


@pytest.mark.parametrize("name", ["Rechner-Zürich", "北京 一号", "büro\u2028zwei", 'the "big", one', "😀"])
def test_host_of_any_name_survives_the_way_there_and_back(client: Client, vera: User, name: str) -> None:
    factories.make_copy(factories.make_host(name), "acme/api:1")
    assert [row["host"] for row in as_json(client)] == [name]
    assert [row["host"] for row in as_csv(client)] == [name]


# A spreadsheet must not run what a host or an engine is called


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1+1", "-2+3", "@SUM(A1)", '=cmd|"/c calc"!A1'])
def test_name_that_begins_as_a_formula_stays_text(client: Client, vera: User, name: str) -> None:
    factories.make_copy(factories.make_host(name), "acme/api:1")
    (row,) = as_csv(client)
    assert row["host"] == f"'{name}"
    assert [row["host"] for row in as_json(client)] == [name], "JSON is not run by anything"


def test_reference_that_begins_as_a_formula_stays_text(client: Client, vera: User, host: Host) -> None:
    """Grammar forbids it, but a row holds what an engine said."""
    copy = factories.make_copy(host, "acme/api:1", repository="=1+1", tag="-rc1")
    Reference.objects.filter(copy=copy).update(name="@evil:1")
    (row,) = as_csv(client)
    assert (row["repository"], row["tag"], row["references"]) == ("'=1+1", "'-rc1", "'@evil:1")


def test_no_cell_begins_as_a_formula(client: Client, vera: User) -> None:
    for name in ("=1", "+1", "-1", "@1"):
        factories.make_copy(factories.make_host(name), "acme/api:1")
    for row in as_csv(client):
        assert not [value for value in row.values() if value.startswith(("=", "+", "-", "@"))]


def test_numbers_are_left_as_numbers() -> None:
    assert export._cell(-5) == -5
    assert export._cell("plain") == "plain"
    assert export._cell(None) is None


# Which copies


def test_filters_of_the_list_hold(client: Client, vera: User, api: Copy, host: Host) -> None:
    factories.make_copy(host, "redis:7")
    elsewhere = factories.make_copy(factories.make_host("other"), "acme/api:1.4")
    assert len(as_json(client)) == 3
    assert {row["host"] for row in as_json(client, q="acme")} == {"runner", "other"}
    assert [row["engine_id"] for row in as_json(client, use="used")] == [api.engine_id]
    assert [row["engine_id"] for row in as_csv(client, host=str(elsewhere.host_id))] == [elsewhere.engine_id]
    assert body_of(client, "txt", use="used").split() == [api.short_id]


def test_intermediate_images_come_only_when_asked_for(client: Client, vera: User, host: Host) -> None:
    factories.make_copy(host, is_intermediate=True)
    assert as_json(client) == []
    assert [row["intermediate"] for row in as_json(client, intermediate="on")] == [True]


def test_export_is_all_pages_in_the_order_of_the_list(client: Client, vera: User, host: Host) -> None:
    for number in range(60):
        factories.make_copy(host, f"acme/n:{number:02}", size_bytes=number)
    sizes = [row["size_bytes"] for row in as_json(client, sort="-size", page="2")]
    assert sizes == list(range(59, -1, -1))


@pytest.mark.parametrize("kind", ["csv", "json", "txt"])
def test_what_arranges_the_page_is_no_matter_to_an_export(
    client: Client, vera: User, api: Copy, kind: str
) -> None:
    assert api.short_id in body_of(client, kind, sort="nonsense", by="zzz", page="junk")


@pytest.mark.parametrize("kind", ["csv", "json", "txt"])
@pytest.mark.parametrize(
    "wrong", [{"host": "junk"}, {"host": "987654"}, {"older": "-4"}, {"reference": "[a"}, {"use": "zzz"}]
)
def test_filter_that_is_not_understood_is_refused_in_words(
    client: Client, vera: User, api: Copy, kind: str, wrong: dict[str, str]
) -> None:
    """A file with everything in it would look like the one that was asked for."""
    response = client.get(reverse("images:image-export", args=[kind]), wrong)
    assert (response.status_code, response["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert response.content.decode().startswith("Which images are meant is not clear:")
    assert api.short_id not in response.content.decode()


def test_copies_of_invisible_hosts_are_left_out(client: Client, api: Copy, group: HostGroup) -> None:
    factories.make_copy(factories.make_host("vault"), "internal/thing:9")
    user = factories.make_user()
    factories.grant(user, "viewer", group)
    client.force_login(user)
    for kind in export.FORMATS:
        body = body_of(client, kind)
        assert api.short_id in body
        assert "internal" not in body
        assert "vault" not in body


def test_order_by_host_is_kept(client: Client, vera: User) -> None:
    for name, tag in (("zeta", "1"), ("alpha", "3"), ("mid", "2")):
        factories.make_copy(factories.make_host(name), f"acme/api:{tag}")
    assert [row["host"] for row in as_json(client, sort="host")] == ["alpha", "mid", "zeta"]


# The response


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("csv", "text/csv; charset=utf-8"),
        ("json", "application/json"),
        ("txt", "text/plain; charset=utf-8"),
    ],
)
def test_export_is_a_file_to_save(client: Client, vera: User, kind: str, content_type: str) -> None:
    response: Any = client.get(reverse("images:image-export", args=[kind]))
    assert response.streaming
    assert response["Content-Type"] == content_type
    assert response["Content-Disposition"].startswith('attachment; filename="images-')
    assert response["Content-Disposition"].endswith(f'.{kind}"')


def test_unknown_format_is_not_found(client: Client, vera: User) -> None:
    assert client.get(reverse("images:image-export", args=["xls"])).status_code == 404


def test_rows_are_read_only_as_far_as_somebody_takes_them(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_CHUNK", 5)
    for number in range(20):
        factories.make_copy(host, f"acme/n:{number}")
    read = 0
    original = Copy.from_db.__func__  # type: ignore[attr-defined]

    def counting(cls: Any, *arguments: Any) -> Copy:
        nonlocal read
        read += 1
        copy: Copy = original(cls, *arguments)
        return copy

    monkeypatch.setattr(Copy, "from_db", classmethod(counting))
    lines: Iterator[str] = export.FORMATS["json"].lines(factories.make_admin(), FleetQuery())
    assert next(lines).startswith("[")
    assert read <= 10, "all rows at once are no stream"
    assert len(list(lines)) == 20


def test_references_are_read_by_chunk_and_not_by_row(host: Host, vera: User, client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            body_of(client, "json")
        return len(captured)

    factories.make_copy(host, "acme/n:0")
    before = queries()
    for number in range(1, 20):
        factories.make_copy(host, f"acme/n:{number}")
    assert queries() == before
