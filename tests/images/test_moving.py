"""What may be saved, copied and loaded, by whom, and what the pages say of it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from images.commands.copy import copy_start
from images.commands.save import save_start
from images.errors import UserError
from images.models import Copy, HostGroup, Job, User
from images.transfers.moving import archive_bytes, file_name, names_of
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(group: HostGroup) -> User:
    """May pull and push on the hosts of one group."""
    ada = factories.make_user("ada")
    factories.grant(ada, "operator", group)
    return ada


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def rows(*copies: Copy) -> list[Copy]:
    return list(Copy.objects.filter(pk__in=[copy.pk for copy in copies]).select_related("host", "image"))


def test_every_tag_goes_along_and_no_digest() -> None:
    host = factories.make_host()
    copy = factories.make_copy(host, "api:1", "api:latest", f"api@sha256:{'a' * 64}")
    assert names_of(copy) == ["api:1", "api:latest"]
    dangling = factories.make_copy(host)
    assert names_of(dangling) == [dangling.engine_id]


def test_layers_that_images_share_count_once() -> None:
    host, base = factories.make_host(), factories.make_layer(1_000_000)
    images = [factories.make_image(base, factories.make_layer(size)) for size in (10, 200)]
    copies = [factories.make_copy(host, f"api:{n}", image=image) for n, image in enumerate(images)]
    assert archive_bytes(rows(*copies)) == 1_000_210


def test_containerd_store_saves_its_compressed_blobs() -> None:
    host = factories.make_host(store_kind="containerd")
    copy = factories.make_copy(host, "api:1", content_bytes=300, size_bytes=1000)
    assert archive_bytes(rows(copy)) == 300


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["api:1"], "api-1.tar.gz"),
        (["ghcr.io/acme/api:2.1.0"], "ghcr.io-acme-api-2.1.0.tar.gz"),
        (["api:1", "web:2"], "2-images-ci-1.tar.gz"),
    ],
)
def test_file_has_a_plain_name(names: list[str], expected: str) -> None:
    host = factories.make_host("ci-1")
    copies = [factories.make_copy(host, name) for name in names]
    assert file_name(rows(*copies), is_gzip=True) == expected


def test_archive_is_of_one_host(ada: User) -> None:
    copies = [factories.make_copy(factories.make_host(), "api:1") for _ in range(2)]
    with pytest.raises(UserError) as refused:
        save_start(by=ada, copies=rows(*copies))
    assert refused.value.code == "save_one_host"


def test_images_of_several_hosts_are_saved_from_one_that_has_them_all(ada: User, group: HostGroup) -> None:
    first, second, hidden = (factories.make_host(name, groups=(group,)) for name in ("a", "b", "c"))
    hidden.groups.clear()
    images = [factories.make_image(), factories.make_image()]
    one = factories.make_copy(first, "api:1", image=images[0])
    other = factories.make_copy(second, "web:1", image=images[1])
    for n, image in enumerate(images):
        factories.make_copy(hidden, f"hidden:{n}", image=image)
    sent = {"copies": f"{one.pk},{other.pk}"}
    refused = signed_in(ada).post("/commands/save/", sent)
    assert "no host has all of these" in refused.content.decode(), "of those she may take them from"
    factories.make_copy(second, "api:one", image=images[0])
    assert signed_in(ada).post("/commands/save/", sent).status_code == 302
    job = Job.objects.get()
    assert (job.host, sorted(job.parameters["names"])) == (second, ["api:one", "web:1"])


@pytest.mark.parametrize("command", ["save", "copy"])
def test_image_that_is_there_in_part_is_refused(ada: User, command: str) -> None:
    copy = factories.make_copy(
        factories.make_host(), "api:1", image=factories.make_image(is_partial=True), size_bytes=10
    )
    start: Callable[..., object] = save_start if command == "save" else copy_start
    options = {} if command == "save" else {"hosts": [factories.make_host()]}
    with pytest.raises(UserError) as refused:
        start(by=ada, copies=rows(copy), **options)
    assert refused.value.code == "image_partial"


def test_copy_to_where_it_comes_from_is_refused(ada: User) -> None:
    copy = factories.make_copy(factories.make_host(), "api:1")
    with pytest.raises(UserError) as refused:
        copy_start(by=ada, copies=rows(copy), hosts=[copy.host])
    assert refused.value.code == "copy_nowhere"


@pytest.mark.parametrize("kind", ["save", "copy"])
def test_taking_content_off_a_host_needs_the_right_to_push_there(
    ada: User, group: HostGroup, kind: str
) -> None:
    seen = factories.make_host("seen", groups=(HostGroup.objects.create(name="others"),))
    factories.grant(ada, "viewer", seen.groups.get())
    target = factories.make_host(groups=(group,))
    copy = factories.make_copy(seen, "api:1")
    client = signed_in(ada)
    assert "left out" in client.get(f"/commands/{kind}/?copy={copy.pk}").content.decode()
    response = client.post(f"/commands/{kind}/", {"copies": str(copy.pk), "hosts": [target.pk]})
    assert response.status_code == 200
    assert "permission to push there" in response.content.decode()
    assert not Job.objects.exists()


@pytest.mark.parametrize("kind", ["save", "copy"])
def test_copies_on_hosts_one_may_not_see_do_not_exist(ada: User, group: HostGroup, kind: str) -> None:
    target = factories.make_host(groups=(group,))
    hidden = factories.make_copy(factories.make_host("zebra"), "zebra:1")
    response = signed_in(ada).post(f"/commands/{kind}/", {"copies": str(hidden.pk), "hosts": [target.pk]})
    assert "zebra" not in response.content.decode()
    assert not Job.objects.exists()


def test_copy_goes_only_to_hosts_where_one_may_pull(ada: User, group: HostGroup) -> None:
    copy = factories.make_copy(factories.make_host(groups=(group,)), "api:1")
    other = factories.make_host("zebra")
    client = signed_in(ada)
    assert "zebra" not in client.get(f"/commands/copy/?copy={copy.pk}").content.decode()
    client.post("/commands/copy/", {"copies": str(copy.pk), "hosts": [other.pk]})
    assert not Job.objects.exists()


def test_all_that_match_can_be_chosen(ada: User, group: HostGroup) -> None:
    host = factories.make_host(groups=(group,))
    factories.make_copy(host, "shop/api:1")
    factories.make_copy(host, "shop/web:1")
    page = signed_in(ada).get("/commands/save/", {"all": "1", "query": "?q=web"}).content.decode()
    assert "shop/web:1" in page
    assert "shop/api:1" not in page


def test_who_does_not_see_the_source_does_not_learn_of_it(ada: User, group: HostGroup) -> None:
    source, target = factories.make_host("zebra"), factories.make_host(groups=(group,))
    copy = factories.make_copy(source, "api:1")
    [job] = copy_start(by=factories.make_admin(), copies=rows(copy), hosts=[target])
    Job.objects.filter(pk=job.pk).update(
        state="failed", error_code="copy_source_lost", detail={"transfer": {"phase": "sending"}}
    )
    for url in (f"/jobs/{job.pk}/", "/jobs/", f"/hosts/{target.pk}/", "/audit/"):
        assert "zebra" not in signed_in(ada).get(url).content.decode(), url
    assert "zebra" in signed_in(User.objects.get(username="root")).get(f"/jobs/{job.pk}/").content.decode()


def test_copy_that_waits_for_its_source_says_its_place(ada: User, group: HostGroup) -> None:
    source, target = factories.make_host("zebra", most_transfers=1), factories.make_host(groups=(group,))
    copy = factories.make_copy(source, "api:1")
    [first], [second] = (copy_start(by=ada, copies=rows(copy), hosts=[target]) for _ in range(2))
    Job.objects.filter(pk=first.pk).update(state="running")
    for url in (f"/jobs/{second.pk}/", "/jobs/", f"/jobs/batches/{second.batch}/"):
        page = signed_in(ada).get(url).content.decode()
        assert "Place 1 in the queue on the host that it comes from" in page, url
        assert "zebra" not in page, url
    factories.make_admin("root")
    page = signed_in(User.objects.get(username="root")).get(f"/jobs/{second.pk}/").content.decode()
    assert "Place 1 in the queue on zebra" in page


def test_load_page_starts_a_job_for_each_host(ada: User, group: HostGroup) -> None:
    hosts = [factories.make_host(groups=(group,)) for _ in range(2)]
    data: dict[str, Any] = {"hosts": [host.pk for host in hosts], "file": "images.tar", "size": "1000"}
    answer = signed_in(ada).post("/load/", data).json()
    jobs = list(Job.objects.filter(kind="load").order_by("pk"))
    assert [job.host for job in jobs] == hosts
    assert answer["upload"] == f"/transfers/{jobs[0].pk}/"
    assert jobs[0].batch == jobs[1].batch


@pytest.mark.parametrize(
    "data", [{}, {"hosts": ["999"]}, {"hosts": ["x"]}, {"size": "-1"}, {"file": "x" * 300}]
)
def test_load_says_what_is_wrong_with_it(ada: User, group: HostGroup, data: dict[str, Any]) -> None:
    host = factories.make_host(groups=(group,))
    sent = data if "hosts" in data or not data else {"hosts": [host.pk]} | data
    assert signed_in(ada).post("/load/", sent).json()["problems"]
    assert not Job.objects.exists()


def test_page_without_hosts_says_so() -> None:
    person = factories.make_user()
    factories.grant(person, "operator")
    assert "There is no host to load images into" in signed_in(person).get("/load/").content.decode()
