"""The search of the fleet list finds what a copy's search text says now, on both databases."""

from typing import Any

import pytest
from django.db import connection

from images.engine.snapshots import ImageSummary
from images.fleet import query, search_index
from images.fleet.query import FleetQuery, fleet_copies
from images.inventory.copies import search_text
from images.models import Copy, Host, User
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> Host:
    return factories.make_host("runner")


@pytest.fixture
def admin() -> User:
    return factories.make_admin()


@pytest.fixture
def found(admin: User) -> Any:
    """The names of the copies that a search finds."""

    def search(text: str) -> set[str]:
        return {copy.name for copy in fleet_copies(admin, FleetQuery(q=text))}

    return search


def indexed(host: Host, name: str, text: str = "") -> Copy:
    copy = factories.make_copy(host, name)
    if text:
        Copy.objects.filter(pk=copy.pk).update(search_text=text.lower())
    return copy


# The index follows the rows


def test_new_copy_is_found(host: Host, found: Any) -> None:
    assert found("acme") == set()
    indexed(host, "acme/api:1.4")
    assert found("acme") == {"acme/api:1.4"}


def test_copies_added_in_bulk_are_found(host: Host, found: Any) -> None:
    image, like = factories.make_image(), indexed(host, "redis:7")
    Copy.objects.bulk_create(
        Copy(
            host=host, image=image, engine_id=f"sha256:{number:064x}", repository="bulky", tag=str(number),
            search_text=f"bulky:{number}", first_seen_at=like.first_seen_at, arrived_at=like.arrived_at,
            last_seen_at=like.last_seen_at,
        )
        for number in range(3)
    )  # fmt: skip
    assert found("bulky") == {"bulky:0", "bulky:1", "bulky:2"}


def test_changed_text_is_found_by_the_new_words_alone(host: Host, found: Any) -> None:
    copy = indexed(host, "acme/api:1.4")
    copy.search_text = "renamed to something"
    copy.save()
    assert found("acme") == set()
    assert found("something") == {"acme/api:1.4"}


def test_update_in_bulk_is_followed(host: Host, found: Any) -> None:
    copies = [indexed(host, f"acme/api:{number}") for number in range(3)]
    for copy in copies:
        copy.search_text = f"moved{copy.tag}"
    Copy.objects.bulk_update(copies, ["search_text"], batch_size=2)
    assert found("acme") == set()
    assert found("moved") == {"acme/api:0", "acme/api:1", "acme/api:2"}
    Copy.objects.update(search_text="all alike")
    assert found("moved") == set()
    assert len(found("alike")) == 3


def test_update_of_another_column_loses_nothing(host: Host, found: Any) -> None:
    copy = indexed(host, "acme/api:1.4")
    Copy.objects.filter(pk=copy.pk).update(size_bytes=7)
    copy.refresh_from_db()
    copy.save()
    assert found("acme") == {"acme/api:1.4"}


def test_removed_copy_is_not_found(host: Host, found: Any) -> None:
    copy = indexed(host, "acme/api:1.4")
    indexed(host, "acme/web:1")
    copy.delete()
    assert found("acme") == {"acme/web:1"}
    Copy.objects.all().delete()
    assert found("acme") == set()


def test_copies_of_a_removed_host_are_not_found(host: Host, found: Any) -> None:
    indexed(host, "acme/api:1.4")
    host.delete()
    assert found("acme") == set()


def test_id_used_again_is_found_by_its_new_text_alone(host: Host, found: Any) -> None:
    copy = indexed(host, "acme/api:1.4")
    old = copy.pk
    copy.delete()
    factories.make_copy(host, "redis:7", pk=old)
    assert found("acme") == set()
    assert found("redis") == {"redis:7"}


def test_index_agrees_with_the_rows(host: Host) -> None:
    """SQLite tells itself whether the index and its table have come apart."""
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL keeps its own indexes")
    copies = [indexed(host, f"acme/api:{number}") for number in range(4)]
    Copy.objects.filter(pk=copies[0].pk).update(search_text="changed entirely")
    copies[1].delete()
    table = search_index.SEARCH_TABLE
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table}({table}, rank) VALUES ('integrity-check', 1)")


def test_lost_triggers_come_back_with_what_they_missed(host: Host, found: Any) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL has no triggers here")
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {search_index.SEARCH_TABLE}_insert")
    indexed(host, "acme/api:1.4")
    assert found("acme") == set(), "nobody watched"
    search_index.ensure(connection)
    assert found("acme") == {"acme/api:1.4"}
    indexed(host, "acme/api:1.5")
    assert found("acme") == {"acme/api:1.4", "acme/api:1.5"}


def test_making_the_index_again_changes_nothing(host: Host, found: Any) -> None:
    indexed(host, "acme/api:1.4")
    search_index.ensure(connection)
    search_index.after_migrate(connection.alias)
    assert found("acme") == {"acme/api:1.4"}


def test_postgresql_has_its_trigram_index() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL has it")
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'images_copy'")
        assert set(search_index._POSTGRES_INDEXES) <= {name for (name,) in cursor.fetchall()}


# Words


@pytest.mark.parametrize(
    ("text", "finds"),
    [
        ("acme", True),
        ("CME/ap", True),
        ("api 1.4", True),
        ("1.4   acme", True),
        ("acme redis", False),
        ("api:1.4", True),
        ("team=payments", True),
        ("ac", True),  # short words match the beginning of a repository...
        ("1.", True),  # ...or of a tag
        ("AP", False),
        ("ab", True),  # ...or of an ID
        ("ef", False),
        ("me", False),
        ("a 1", True),
        ("acme 4", True),  # beside a longer word a short one may stand anywhere
        ("acme 9z", False),
        ("  ", True),
    ],
)
def test_every_word_must_occur(host: Host, found: Any, text: str, finds: bool) -> None:
    copy = indexed(host, "acme/api:1.4", "acme/api:1.4\nsha256:abcdef\nteam=payments")
    Copy.objects.filter(pk=copy.pk).update(engine_id="sha256:abcdef")
    assert found(text) == ({"acme/api:1.4"} if finds else set())


@pytest.mark.parametrize(
    "word",
    [
        "100%", "under_score", 'quo"te', "it's", "back\\slash", "(paren)", "star*", "-minus", "+plus", "a:b:c",
        "^caret", "near(x", "and", "not", "nor", "{a}", "ünï", "北京市", "team=a&b", "semi;colon", "--comment",
    ],
)  # fmt: skip
def test_special_characters_mean_themselves(host: Host, found: Any, word: str) -> None:
    indexed(host, "with:1", f"label={word}=x")
    indexed(host, "without:1", "label=plain")
    assert found(word) == {"with:1"}


def test_wildcards_of_the_database_are_no_wildcards(host: Host, found: Any) -> None:
    indexed(host, "acme/api:1.4", "acme/api:1.4")
    for text in ("a%e", "ac_e", "acme*", "acm?", "%%%", "___"):
        assert found(text) == set(), text


@pytest.mark.parametrize("text", ["%", "_", "a%", '"', "'", "\\", "*", "("])
def test_short_special_words_fail_nothing_and_match_nothing(host: Host, found: Any, text: str) -> None:
    indexed(host, "acme/api:1.4")
    assert found(text) == set()


def test_letters_of_any_case_and_script_are_found(host: Host, found: Any) -> None:
    indexed(host, "acme/api:1.4", "Größe=ÄRGER")
    assert found("GRÖSSE") == set()
    assert found("Größe") == {"acme/api:1.4"}
    assert found("ärger") == {"acme/api:1.4"}


def test_short_words_follow_the_beginning_of_the_name(host: Host, found: Any) -> None:
    for name in ("go:1", "golang:1", "mongo:1", "redis:go-1"):
        indexed(host, name)
    assert found("go") == {"go:1", "golang:1", "redis:go-1"}


@pytest.mark.parametrize("text", ["rc", "RC", "Rc", "r", "R"])
def test_short_words_find_tags_in_capitals(host: Host, found: Any, text: str) -> None:
    for name in ("acme/api:RC-1", "acme/api:Rc-2", "acme/api:rc-3", "acme/api:1-RC"):
        indexed(host, name)
    assert found(text) == {"acme/api:RC-1", "acme/api:Rc-2", "acme/api:rc-3"}


@pytest.mark.parametrize(
    ("text", "finds"),
    [
        ("支付", {"acme/api:1"}),
        ("团", {"acme/api:1", "acme/web:1"}),
        ("支付 ac", {"acme/api:1"}),
        ("支付 we", set()),
        ("ärger", {"acme/web:1"}),
        ("är", {"acme/web:1"}),
        ("ÄR", {"acme/web:1"}),
        ("😀", {"acme/web:1"}),
        ("京", set()),
    ],
)
def test_short_words_of_other_scripts_are_found_in_labels(
    host: Host, found: Any, text: str, finds: set[str]
) -> None:
    """A name can not hold them, and most words of Chinese have two signs."""
    labelled(host, "acme/api:1", {"团队": "支付"})
    labelled(host, "acme/web:1", {"团队": "搜索 😀", "mood": "Ärger"})
    labelled(host, "redis:7", {})
    assert found(text) == finds


def labelled(host: Host, name: str, labels: dict[str, str]) -> None:
    factories.make_copy(host, name, image=factories.make_image(labels=labels))


def test_frequent_words_are_found_another_way_with_the_same_result(
    host: Host, found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        indexed(host, f"acme/api:{number}")
    indexed(host, "redis:7")
    indexed(host, "odd:1", "50%_acme\\x")
    words = ("acme", "acme/api:3", "acme api", "50%", "%_acme\\", "re", "AC")
    expected = {text: found(text) for text in words}
    monkeypatch.setattr(query, "RARE", 0)
    assert {text: found(text) for text in expected} == expected
    assert len(expected["acme"]) == 7


def test_text_of_a_copy_holds_references_id_digest_and_labels(host: Host) -> None:
    summary = ImageSummary(
        engine_id="sha256:ABCDEF",
        parent_engine_id="",
        references=("Acme/api:1.4", "acme/api@sha256:1234"),
        size_bytes=1,
        created_at=None,
        labels={"Team": "Payments"},
    )
    assert search_text(summary).split("\n") == [
        "acme/api:1.4",
        "acme/api@sha256:1234",
        "sha256:abcdef",
        "team=payments",
    ]
