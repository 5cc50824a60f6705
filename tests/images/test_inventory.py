"""From lists to rows, with documents in the shapes that engines old and new write."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from images.engine import read
from images.engine.snapshots import EngineEvent
from images.errors import UserError
from images.inventory import picture
from images.inventory.following import events_apply
from images.models import Container, Copy, Host, Image, ImageLayer, Layer
from tests import factories
from tests.images.recorded import RecordedApi, recorded_engine

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> RecordedApi:
    return RecordedApi()


@pytest.fixture
def host() -> Host:
    return factories.make_host("one")


def sync(host: Host, api: RecordedApi) -> picture.SyncResult:
    api.asked.clear()
    return picture.sync(host, recorded_engine(api))


def test_first_sync_adds_everything(host: Host, api: RecordedApi) -> None:
    api.add(1, "app:1", "app:latest", layers=(1, 2))
    api.add(2, layers=(1,))
    assert sync(host, api) == picture.SyncResult(added=2)
    app = Copy.objects.get(tag="1")
    assert (app.size_bytes, app.own_bytes, app.is_latest, app.is_dangling) == (300, 200, True, False)
    assert Copy.objects.get(is_dangling=True).own_bytes == 0
    host.refresh_from_db()
    assert (host.total_bytes, host.shared_bytes, host.image_count) == (300, 100, 2)


def test_unchanged_host_is_two_lists_and_nothing_else(host: Host, api: RecordedApi) -> None:
    api.run("web", api.add(1, "app:1"))
    sync(host, api)
    before = Copy.objects.get().last_used_at
    assert sync(host, api).is_unchanged
    assert api.asked == ["images", "containers"]
    used = Copy.objects.get().last_used_at
    assert before is not None
    assert used is not None
    assert used > before


def test_it_is_noted_when_a_host_changed_and_not_when_it_was_looked_at(host: Host, api: RecordedApi) -> None:
    def changed_at() -> Any:
        return Host.objects.get(pk=host.pk).changed_at

    api.add(1, "app:1")
    sync(host, api)
    first = changed_at()
    assert first is not None
    assert sync(host, api).is_unchanged
    assert changed_at() == first
    api.run("web", Copy.objects.get().engine_id)
    sync(host, api)
    second = changed_at()
    assert second > first
    picture.forget(host)
    assert changed_at() > second


def test_what_belongs_to_the_host_is_not_stored_with_the_content(host: Host, api: RecordedApi) -> None:
    api.add(1, "app:1", parent="sha256:1", GraphDriver={"Data": {"UpperDir": "/srv/one"}})
    sync(host, api)
    stored = Image.objects.get().inspect
    assert set(stored) == {"Architecture", "Config", "Created", "Os", "RootFS"}


def test_known_content_is_not_read_again_on_another_host(host: Host, api: RecordedApi) -> None:
    api.add(1, "app:1")
    sync(host, api)
    other = factories.make_host("two")
    sync(other, api)
    assert "inspect" not in api.asked
    assert Image.objects.get().copies.count() == 2


def test_containerd_ids_are_read_on_every_host(host: Host, api: RecordedApi) -> None:
    """An index names other content where another platform is present."""
    first = factories.make_host("c1", store_kind="containerd")
    second = factories.make_host("c2", store_kind="containerd")
    engine_id = api.add(1, "app:1")
    sync(first, api)
    api.documents[engine_id]["Architecture"] = "arm64"
    sync(second, api)
    assert Image.objects.count() == 2


def test_an_index_that_grew_is_read_again(api: RecordedApi) -> None:
    host = factories.make_host("c1", store_kind="containerd")
    engine_id = api.add(1, "app:1")
    sync(host, api)
    api.image_rows[0]["Size"] = 100_000
    sync(host, api)
    assert "inspect" in api.asked
    assert Copy.objects.get(engine_id=engine_id).content_bytes == 99_900


def test_layer_sizes_of_store_kinds_are_kept_apart(host: Host, api: RecordedApi) -> None:
    engine_id = api.add(1, "app:1", layers=(1, 2))
    sync(host, api)
    api.histories[engine_id][0]["Size"] = 999
    sync(factories.make_host("p", store_kind="podman", engine_kind="podman"), api)
    assert Image.objects.count() == 1
    assert sorted(Layer.objects.values_list("store_kind", "size_bytes")) == [
        ("graph", 100), ("graph", 200), ("podman", 100), ("podman", 999),
    ]  # fmt: skip
    assert ImageLayer.objects.count() == 4


def test_moved_tag_and_removed_image(host: Host, api: RecordedApi) -> None:
    old, new = api.add(1, "app:1"), api.add(2, "other:1", layers=(2,))
    sync(host, api)
    api.image_rows[0]["RepoTags"], api.image_rows[1]["RepoTags"] = ["<none>:<none>"], ["other:1", "app:1"]
    assert sync(host, api).changed == 2
    assert Copy.objects.get(engine_id=old).is_dangling
    assert Copy.objects.get(engine_id=new).references.count() == 2
    api.drop(old)
    assert sync(host, api).removed == 1


def test_digest_alone_is_dangling_but_named(host: Host, api: RecordedApi) -> None:
    digest = f"app@sha256:{'a' * 64}"
    api.add(1)
    api.image_rows[0]["RepoDigests"] = [digest]
    sync(host, api)
    copy = Copy.objects.get()
    assert (copy.is_dangling, copy.repository, copy.tag) == (True, "app", "")
    assert digest in copy.search_text


def test_parents_of_classic_builds_are_intermediate(host: Host, api: RecordedApi) -> None:
    parent = api.add(1, layers=(1,))
    api.add(2, "built:1", layers=(1, 2), parent=parent)
    sync(host, api)
    assert Copy.objects.get(engine_id=parent).is_intermediate
    api.drop(Copy.objects.get(repository="built").engine_id)
    sync(host, api)
    assert not Copy.objects.get(engine_id=parent).is_intermediate


def test_partial_content_is_kept_without_layers(api: RecordedApi) -> None:
    host = factories.make_host("c", store_kind="containerd")
    engine_id = api.add(1, "app:1", RootFS={}, RepoDigests=["app@sha256:ab"])
    api.histories.pop(engine_id)
    sync(host, api)
    assert Image.objects.get().is_partial
    assert Copy.objects.get().size_bytes == 100


def test_image_that_vanishes_meanwhile_is_left_out(host: Host, api: RecordedApi) -> None:
    api.add(1, "app:1")
    api.documents.clear()
    assert sync(host, api).unreadable == 1
    assert not Copy.objects.exists()


def test_sparse_old_documents_are_enough(host: Host, api: RecordedApi) -> None:
    engine_id = f"sha256:{7:064x}"
    api.image_rows = [{"Id": engine_id}]
    api.documents = {engine_id: {"Id": engine_id, "RootFS": {"Type": "layers", "Layers": ["sha256:1"]}}}
    api.histories = {engine_id: []}
    api.container_rows = [{"Id": "c" * 64}]
    sync(host, api)
    copy = Copy.objects.get()
    assert (copy.name, copy.built_at, copy.is_dangling) == ("0" * 12, None, True)
    assert Container.objects.get().copy is None


def test_container_of_an_image_removed_by_force_keeps_the_content(host: Host, api: RecordedApi) -> None:
    engine_id = api.add(1, "app:1")
    api.run("web", engine_id, "exited")
    sync(host, api)
    api.drop(engine_id)
    sync(host, api)
    container = Container.objects.get()
    assert (container.copy, container.image) == (None, Image.objects.get())
    host.refresh_from_db()
    assert (host.total_bytes, host.unused_bytes) == (100, 0)


def test_container_that_is_gone_used_its_image_until_now(host: Host, api: RecordedApi) -> None:
    api.run("web", api.add(1, "app:1"))
    sync(host, api)
    Copy.objects.update(last_used_at=timezone.now() - timedelta(days=9))
    api.container_rows.clear()
    sync(host, api)
    copy = Copy.objects.get()
    assert copy.container_count == 0
    assert copy.last_used_at is not None
    assert timezone.now() - copy.last_used_at < timedelta(minutes=1)


def test_row_that_an_event_made_after_the_list_began_stays(
    host: Host, api: RecordedApi, monkeypatch: Any
) -> None:
    api.add(1, "app:1")
    sync(host, api)
    late: list[str] = []
    listed = read.list_images

    def list_then_event(engine: Any) -> Any:
        rows = listed(engine)
        if not late:
            late.append(api.add(2, "late:1", layers=(2,)))
            picture.images_refresh(host, late, engine)
        return rows

    monkeypatch.setattr(read, "list_images", list_then_event)
    sync(host, api)
    assert Copy.objects.filter(engine_id=late[0]).exists()


def test_cache_that_holds_layers_is_noted(host: Host, api: RecordedApi) -> None:
    api.add(1, "app:1")
    api.cache = [{"Size": 10, "Shared": True}, {"Size": 5, "Shared": False}]
    sync(host, api)
    host.refresh_from_db()
    assert (host.build_cache_holds_layers, host.build_cache_bytes) == (True, 5)


def test_cache_that_fills_while_the_lists_stay_the_same_is_noticed(host: Host, api: RecordedApi) -> None:
    """What a failed build leaves there is in no list, and no event tells of it."""
    api.add(1, "app:1")
    sync(host, api)
    api.cache = [{"Size": 10, "Shared": True}]
    assert sync(host, api).is_unchanged
    assert not Host.objects.get().build_cache_holds_layers, "asked a moment ago"
    Host.objects.update(cache_asked_at=timezone.now() - picture.CACHE_EVERY - timedelta(seconds=1))
    assert sync(host, api).is_unchanged
    assert api.asked == ["images", "containers", "cache"]
    assert Host.objects.get().build_cache_holds_layers
    assert sync(host, api).is_unchanged
    assert api.asked == ["images", "containers"], "the answer is fresh again"


def test_cache_of_an_unsure_host_is_asked_by_the_next_sync(host: Host, api: RecordedApi) -> None:
    api.add(1, "app:1")
    sync(host, api)
    picture.cache_unsure(host)
    sync(host, api)
    assert "cache" in api.asked


def test_engine_that_refuses_to_list_is_said_in_words(host: Host, api: RecordedApi) -> None:
    api.refuses = "500 store is broken"
    with pytest.raises(UserError) as caught:
        sync(host, api)
    assert caught.value.code == "host_refused_list"
    assert "store is broken" in caught.value.raw


def test_list_that_fails_because_an_image_goes_meanwhile_is_asked_for_again(
    host: Host, api: RecordedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Docker 28.5 with the containerd store does."""
    monkeypatch.setattr(read, "PAUSES", (0.0, 0.0))
    api.add(1, "app:1")
    api.vanishing = 2
    sync(host, api)
    assert Copy.objects.filter(host=host).count() == 1
    api.vanishing = 3
    with pytest.raises(UserError) as caught:
        sync(host, api)
    assert caught.value.code == "host_refused_list"


def test_removed_copies_leave_at_once(host: Host, api: RecordedApi) -> None:
    engine_id = api.add(1, "app:1", layers=(1, 2))
    api.add(2, "base:1", layers=(1,))
    sync(host, api)
    picture.copies_removed(host, [engine_id])
    assert Copy.objects.get().own_bytes == 100
    api.drop(engine_id)
    assert not sync(host, api).is_unchanged


def test_short_container_is_found_by_the_name_its_creator_wrote(host: Host, api: RecordedApi) -> None:
    api.add(1, "app:latest")
    sync(host, api)
    at = timezone.now() - timedelta(minutes=3)
    api.inspect_container = _no_container  # type: ignore[attr-defined]
    event = EngineEvent("container", "die", "c" * 64, {"image": "app", "name": "x"}, at)
    events_apply(host, [event], recorded_engine(api))
    assert Copy.objects.get().last_used_at == at


def test_load_that_does_not_say_what_it_brought_is_looked_for(host: Host, api: RecordedApi) -> None:
    """As Podman 4.3.1 tells it, with the archive for a name."""
    api.add(1, "app:1")
    sync(host, api)
    api.add(2, "app:2")
    at = timezone.now() - timedelta(minutes=3)
    event = EngineEvent("image", "load", "", {"name": "/var/tmp/api_load.tar1496372990"}, at)
    events_apply(host, [event], recorded_engine(api))
    assert set(Copy.objects.values_list("tag", flat=True)) == {"1", "2"}
    assert Copy.objects.get(tag="2").arrived_at == at
    host.refresh_from_db()
    assert host.image_count == 2


@pytest.mark.parametrize(
    ("told", "total"),
    [
        ({"LayersSize": 7, "Images": [{"Size": 7}]}, 7),
        ({"LayersSize": 0, "Images": []}, 0),
        ({"LayersSize": 0, "Images": [{"Size": 0}]}, 0),
        ({"LayersSize": 0, "Images": [{"Size": 1405614}]}, None),  # Podman 4.3.1
        ({"LayersSize": None, "Images": None}, 0),
    ],
)
def test_total_that_an_engine_does_not_tell_is_not_taken_for_none_at_all(
    told: dict[str, Any], total: int | None, api: RecordedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_result", lambda path, **_: told)
    assert read.layers_size(recorded_engine(api)) == total


def test_sync_takes_a_fixed_number_of_queries(
    host: Host, api: RecordedApi, django_assert_max_num_queries: Any
) -> None:
    for number in range(1, 60):
        api.add(number, f"app:{number}", layers=(number,))
    with django_assert_max_num_queries(75):
        sync(host, api)
    for number in range(60, 120):
        api.add(number, f"app:{number}", layers=(number,))
    with django_assert_max_num_queries(75):
        sync(host, api)
    with django_assert_max_num_queries(8):
        sync(host, api)


def _no_container(container_id: str) -> Any:
    from docker.errors import NotFound

    raise NotFound(container_id)
