"""An image's page: what it says of the image, to whom, and what stays hidden until somebody asks for it."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from images.fleet import image_page
from images.models import AuditEntry, Container, Host, HostGroup, Image, Layer, Pin, StoreKind, User
from images.secrets import MASK
from tests import factories

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}

CONFIG = {
    "Entrypoint": ["/app/start"],
    "Cmd": ["--port", "8080"],
    "Env": ["PATH=/usr/bin", "DB_PASSWORD=hunter2", "MONKEY=banana", "URL=postgres://app:letmein@db/app"],
    "ExposedPorts": {"9090/tcp": {}, "8080/tcp": {}},
    "Volumes": {"/data": {}},
    "User": "app",
    "WorkingDir": "/srv",
    "Healthcheck": {"Test": ["CMD", "curl", "localhost"]},
    "StopSignal": "SIGQUIT",
    "Labels": {"team": "payments", "deploy.token": "abc123"},
}
HISTORY = [
    {"created_by": "ADD rootfs.tar /", "bytes": 3000, "makes_layer": True, "comment": ""},
    {"created_by": "ENV API_KEY=s3cr3t", "bytes": 0, "makes_layer": False, "comment": ""},
    {"created_by": "", "bytes": 1000, "makes_layer": True, "comment": "merged by hand"},
]
SECRETS = ("hunter2", "letmein", "abc123", "s3cr3t")


@pytest.fixture
def layers() -> tuple[Layer, Layer]:
    base, top = factories.make_layer(3000), factories.make_layer(1000)
    Layer.objects.filter(pk=top.pk).update(created_by="COPY app /srv")
    return base, top


@pytest.fixture
def image(layers: tuple[Layer, Layer]) -> Image:
    return factories.make_image(
        *layers, config=CONFIG, history=HISTORY, author="Grace", variant="v8", architecture="arm64",
        built_at=datetime(2024, 5, 6, tzinfo=UTC), inspect={"Config": CONFIG, "Os": "linux"},
    )  # fmt: skip


def enter(client: Client, role: str = "viewer", group: HostGroup | None = None) -> User:
    user = factories.make_user()
    factories.grant(user, role, group)
    client.force_login(user)
    return user


def address(image: Image) -> str:
    return reverse("images:image-detail", args=[image.pk])


def page_of(client: Client, image: Image) -> str:
    response = client.get(address(image))
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def facts(page: str, label: str) -> str:
    """What stands beside this label."""
    found = re.search(rf"<dt>{label}</dt><dd[^>]*>(.*?)</dd>", page)
    return found[1] if found else ""


# What it is and where


def test_page_says_what_the_image_is(client: Client, image: Image, runner: Host) -> None:
    factories.make_copy(runner, "acme/api:1.4", "acme/api:latest", image=image)
    enter(client)
    page = page_of(client, image)
    assert "<title>acme/api:1.4" in page
    assert re.findall(r'tag-chip">([^<]+)', facts(page, "References")) == ["acme/api:1.4", "acme/api:latest"]
    assert facts(page, "Platform") == "linux/arm64/v8"
    assert facts(page, "Author") == "Grace"
    assert facts(page, "Content") == image.content_key
    assert "2024-05-06" in facts(page, "Built")


def test_copy_says_host_tags_bytes_and_containers(client: Client, image: Image, runner: Host) -> None:
    copy = factories.make_copy(
        runner, "acme/api:1.4", "acme/api@sha256:" + "ab" * 32, image=image, own_bytes=1000, container_count=2
    )
    for name, state in (("web-1", "running"), ("web-2", "exited")):
        Container.objects.create(host=runner, copy=copy, container_id=name * 8, name=name, state=state)
    enter(client)
    page = page_of(client, image)
    row = re.search(rf'<a href="/hosts/{runner.pk}/">runner</a>.*?</tr>', page)
    assert row
    assert copy.short_id in row[0]
    assert re.findall(r'tag-chip">([^<]+)', row[0]) == ["acme/api:1.4"], "a digest is no tag"
    assert "4.00 kB" in row[0]
    assert "1.00 kB" in row[0]
    assert re.search(r'web-1 <span class="badge is-good">running', row[0])
    assert re.search(r'web-2 <span class="badge is-muted">exited', row[0])
    assert "not known" in row[0], "nobody saw a container start"


def test_copy_says_since_when_it_is_there_and_when_it_was_used(
    client: Client, image: Image, runner: Host
) -> None:
    now = timezone.now()
    factories.make_copy(
        runner, "a:1", image=image, arrived_at=now - timedelta(days=9), last_used_at=now - timedelta(days=3)
    )
    enter(client)
    page = page_of(client, image)
    assert "9 d ago" in page
    assert "3 d ago" in page


def test_host_that_does_not_answer_is_marked_with_since_when(
    client: Client, image: Image, runner: Host
) -> None:
    factories.make_copy(runner, "a:1", image=image)
    enter(client)
    assert "Offline" not in page_of(client, image)
    Host.objects.update(state="offline", state_since=timezone.now() - timedelta(hours=5))
    page = page_of(client, image)
    assert "Offline" in page
    assert "5 h ago" in page


def test_estimated_bytes_are_marked_as_such(client: Client, image: Image) -> None:
    factories.make_copy(factories.make_host(is_estimate=True), "acme/api:1", image=image)
    enter(client)
    assert "≈" in page_of(client, image)


def test_only_copies_on_visible_hosts_are_named(
    client: Client, image: Image, runner: Host, vault: Host, group: HostGroup
) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    hidden = factories.make_copy(vault, "internal/name:7", image=image, engine_id="sha256:" + "beef" * 16)
    Container.objects.create(host=vault, copy=hidden, container_id="c" * 64, name="treasury")
    enter(client, "viewer", group)
    page = page_of(client, image)
    assert "1 copy" in page
    for secret in ("vault", "internal/name", "treasury", hidden.short_id):
        assert secret not in page, secret
    enter(client)
    page = page_of(client, image)
    assert "2 copies" in page
    assert "internal/name:7" in page


def test_image_on_invisible_hosts_alone_is_not_found(
    client: Client, image: Image, vault: Host, group: HostGroup
) -> None:
    factories.make_copy(vault, "internal/name:7", image=image)
    enter(client, "admin", group)
    assert client.get(address(image)).status_code == 404
    assert client.post(address(image)).status_code == 404
    assert client.get(reverse("images:image-inspect", args=[image.pk])).status_code == 404
    assert not AuditEntry.objects.filter(action="image.reveal").exists()


def test_image_that_no_host_has_any_more_is_not_found(client: Client, image: Image) -> None:
    enter(client, "admin")
    assert client.get(address(image)).status_code == 404


def test_dangling_image_goes_by_its_short_id(client: Client, image: Image, runner: Host) -> None:
    copy = factories.make_copy(runner, image=image)
    enter(client)
    page = page_of(client, image)
    assert f"<title>{copy.short_id}" in page
    assert "none: dangling" in facts(page, "References")


def test_pins_on_visible_hosts_are_shown_with_their_reason(
    client: Client, image: Image, runner: Host, vault: Host, group: HostGroup
) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    factories.make_copy(vault, "acme/api:1.4", image=image)
    now = timezone.now()
    ada = factories.make_user("ada")
    Pin.objects.create(
        image=image, host=runner, reason="the release", created_by=ada, ends_at=now + timedelta(9)
    )
    Pin.objects.create(image=image, host=vault, reason="top secret")
    Pin.objects.create(image=image, reason="the whole fleet", created_by=ada)
    Pin.objects.create(image=image, host=runner, reason="long over", ends_at=now - timedelta(1))
    enter(client, "viewer", group)
    page = page_of(client, image)
    assert "Pinned on runner: the release (ada)" in page
    assert f"until {now + timedelta(9):%Y-%m-%d}" in page
    assert "Pinned on every host: the whole fleet (ada)" in page
    assert "top secret" not in page
    assert "long over" not in page


def test_buttons_are_for_who_may_use_them(
    client: Client, image: Image, runner: Host, vault: Host, group: HostGroup
) -> None:
    mine = factories.make_copy(runner, "acme/api:1.4", image=image)
    other = factories.make_copy(vault, "acme/api:1.4", image=image)
    enter(client)
    page = page_of(client, image)
    assert "/images/remove/" not in page
    assert reverse("images:pin-add", args=[image.pk]) not in page
    user = enter(client, "maintainer", group)
    factories.grant(user, "viewer")
    page = page_of(client, image)
    assert reverse("images:pin-add", args=[image.pk]) in page
    assert f'aria-label="Remove from {runner}"' in page
    assert f'aria-label="Remove from {vault}"' not in page
    assert f"?copy={mine.pk}&amp;copy={other.pk}&amp;" in page, "the question says what it leaves out"


# Layers


def test_layers_stand_bottom_first_in_proportion_to_their_size(
    client: Client, image: Image, runner: Host
) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    enter(client)
    (stack,) = client.get(address(image)).context["stacks"]
    assert [(box.position, box.size_bytes, box.x, box.width) for box in stack.boxes] == [
        (0, 3000, 0, 750),
        (1, 1000, 750, 250),
    ]
    assert [box.created_by for box in stack.boxes] == ["", "COPY app /srv"]
    page = page_of(client, image)
    drawn = re.findall(r'<rect class="layer" x="([\d.]+)" y="0" width="([\d.]+)"', page)
    assert [(float(x), float(width)) for x, width in drawn] == [(0, 750), (750, 250)]


def test_layers_without_bytes_divide_by_nothing(client: Client, runner: Host) -> None:
    image = factories.make_image(factories.make_layer(0), factories.make_layer(0))
    factories.make_copy(runner, "empty:1", image=image)
    enter(client)
    (stack,) = client.get(address(image)).context["stacks"]
    assert [box.width for box in stack.boxes] == [0, 0]


def test_layer_names_the_visible_images_that_share_it_and_no_other(
    client: Client, image: Image, layers: tuple[Layer, Layer], runner: Host, vault: Host, group: HostGroup
) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    base, _top = layers
    sister = factories.make_copy(runner, "acme/sister:1", image=factories.make_image(base))
    hidden = factories.make_copy(vault, "internal/child:1", image=factories.make_image(base))
    enter(client, "viewer", group)
    page = page_of(client, image)
    assert f'<a href="{address(sister.image)}">acme/sister:1</a>' in page
    assert "internal/child" not in page
    assert address(hidden.image) not in page
    (stack,) = client.get(address(image)).context["stacks"]
    assert [box.share_count for box in stack.boxes] == [1, 0]
    assert (stack.total_bytes, stack.shared_bytes) == (4000, 3000)
    assert "3.00 kB of it in layers that other images use" in re.sub("<[^>]+>", "", facts(page, "Size"))


def test_image_shared_with_is_named_as_the_viewer_may_know_it(
    client: Client, image: Image, layers: tuple[Layer, Layer], runner: Host, vault: Host, group: HostGroup
) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    sister = factories.make_image(layers[0])
    factories.make_copy(runner, "acme/sister:1", image=sister)
    factories.make_copy(vault, "zz-internal/sister:9", image=sister)
    enter(client, "viewer", group)
    page = page_of(client, image)
    assert "acme/sister:1" in page
    assert "zz-internal" not in page


def test_two_copies_of_one_image_do_not_share_with_each_other(
    client: Client, image: Image, runner: Host, vault: Host
) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    factories.make_copy(vault, "acme/api:1.4", image=image)
    enter(client)
    (stack,) = client.get(address(image)).context["stacks"]
    assert stack.shared_bytes == 0


def test_many_that_share_a_layer_are_counted_and_only_a_few_are_named(
    client: Client, image: Image, layers: tuple[Layer, Layer], runner: Host
) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    for number in range(image_page.NAMED + 3):
        factories.make_copy(runner, f"acme/n:{number}", image=factories.make_image(layers[0]))
    enter(client)
    (stack,) = client.get(address(image)).context["stacks"]
    assert stack.boxes[0].share_count == image_page.NAMED + 3
    assert len(stack.boxes[0].shared_with) == image_page.NAMED
    assert f"({image_page.NAMED + 3} in all)" in page_of(client, image)


def test_each_kind_of_store_among_the_visible_hosts_has_its_own_stack(
    client: Client, runner: Host, group: HostGroup
) -> None:
    chain = "sha256:" + "12" * 32
    image = factories.make_image(
        factories.make_layer(4000, chain), factories.make_layer(4096, chain, StoreKind.CONTAINERD)
    )
    factories.make_copy(runner, "acme/api:1.4", image=image)
    factories.make_copy(
        factories.make_host("new", store_kind=StoreKind.CONTAINERD), "acme/api:1.4", image=image
    )
    enter(client)
    stacks = client.get(address(image)).context["stacks"]
    assert [(stack.label, stack.total_bytes) for stack in stacks] == [
        (StoreKind.CONTAINERD.label, 4096),
        (StoreKind.GRAPH.label, 4000),
    ]
    enter(client, "viewer", group)
    (only,) = client.get(address(image)).context["stacks"]
    assert only.total_bytes == 4000


# Configuration, history, secrets


def test_configuration_says_what_the_builder_set(client: Client, image: Image, runner: Host) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    enter(client)
    page = page_of(client, image)
    assert facts(page, "Entry point") == "<div>/app/start</div>"
    assert facts(page, "Command") == "<div>--port 8080</div>"
    assert facts(page, "Ports") == "<div>8080/tcp</div><div>9090/tcp</div>"
    assert facts(page, "Volumes") == "<div>/data</div>"
    assert facts(page, "User") == "<div>app</div>"
    assert facts(page, "Working directory") == "<div>/srv</div>"
    assert facts(page, "Health check") == "<div>CMD curl localhost</div>"
    assert facts(page, "Stop signal") == "<div>SIGQUIT</div>"


def test_values_that_look_secret_are_masked_and_the_others_are_not(
    client: Client, image: Image, runner: Host
) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    enter(client, "admin")
    page = page_of(client, image)
    for secret in SECRETS:
        assert secret not in page, secret
    environment = facts(page, "Environment")
    assert f"<div>DB_PASSWORD={MASK}</div>" in environment
    assert f"<div>URL=postgres://app:{MASK}@db/app</div>" in environment
    assert "<div>MONKEY=banana</div>" in environment
    assert "<div>team=payments</div>" in facts(page, "Labels")


def test_created_by_of_a_layer_is_masked_too(client: Client, runner: Host) -> None:
    layer = factories.make_layer(10)
    Layer.objects.filter(pk=layer.pk).update(created_by="RUN API_TOKEN=t0ps3cret ./install")
    image = factories.make_image(layer)
    factories.make_copy(runner, "acme/api:1", image=image)
    enter(client, "operator")
    assert "t0ps3cret" not in page_of(client, image)
    assert f"RUN API_TOKEN={MASK} ./install" in page_of(client, image)
    assert "t0ps3cret" in client.post(address(image)).content.decode()


def test_who_may_push_is_shown_hidden_values_on_asking_and_it_is_written_down(
    client: Client, image: Image, runner: Host
) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    user = enter(client, "operator")
    assert "Show hidden values" in page_of(client, image)
    assert not AuditEntry.objects.filter(action="image.reveal").exists(), "looking alone is not asking"
    page = client.post(address(image)).content.decode()
    for secret in SECRETS:
        assert secret in page, secret
    assert MASK not in page
    assert "Show hidden values" not in page
    entry = AuditEntry.objects.get(action="image.reveal")
    assert (entry.actor, entry.target) == (user, "acme/api:1.4")
    assert not any(secret in f"{entry.target} {entry.detail}" for secret in SECRETS)
    assert "hunter2" not in page_of(client, image), "the next look hides them again"


def test_viewer_is_told_that_values_are_hidden_and_can_not_ask(
    client: Client, image: Image, runner: Host
) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    enter(client)
    page = page_of(client, image)
    assert "Values that look like secrets are hidden." in page
    assert "Show hidden values" not in page
    response = client.post(address(image))
    assert response.status_code == 403
    assert "hunter2" not in response.content.decode()
    assert not AuditEntry.objects.filter(action="image.reveal").exists()


def test_right_to_push_on_a_host_without_the_image_shows_nothing(
    client: Client, image: Image, runner: Host, vault: Host, group: HostGroup
) -> None:
    factories.make_copy(vault, "acme/api:1.4", image=image)
    factories.make_copy(runner, "redis:7")
    user = enter(client, "operator", group)
    factories.grant(user, "viewer")
    assert client.post(address(image)).status_code == 403


def test_image_without_secrets_offers_nothing_to_show(client: Client, runner: Host) -> None:
    image = factories.make_image(factories.make_layer(5), config={"Env": ["LANG=C"]})
    factories.make_copy(runner, "plain:1", image=image)
    enter(client, "admin")
    page = page_of(client, image)
    assert "Show hidden values" not in page
    assert "are hidden" not in page


def test_history_tells_each_step_with_its_bytes(client: Client, image: Image, runner: Host) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    enter(client)
    page = page_of(client, image)
    history = page[page.index(">History<") :]
    steps = re.findall(r'<th scope="row" class="mono wrap layer-step">([^<]*)</th>', history)
    assert steps == ["ADD rootfs.tar /", f"ENV API_KEY={MASK}", "merged by hand"]
    assert "3.00 kB" in history


def test_history_says_when_each_step_was_made_where_that_was_written_down(
    client: Client, runner: Host
) -> None:
    steps = [
        {"created_by": "ADD a", "created_at": "2024-05-06T07:08:09+00:00", "bytes": 1, "comment": "by hand"},
        {"created_by": "RUN b", "created_at": "1970-01-01T00:00:00+00:00", "bytes": 1, "comment": ""},
        {"created_by": "RUN c", "created_at": "", "bytes": 1, "comment": ""},
        {"created_by": "RUN d", "bytes": 1, "comment": ""},
    ]
    image = factories.make_image(factories.make_layer(5), history=steps)
    factories.make_copy(runner, "acme/api:1.4", image=image)
    enter(client)
    page = page_of(client, image)
    history = page[page.index(">History<") :]
    assert history.count("<time ") == 1
    assert 'title="by hand"><time datetime="2024-05-06T07:08:09+00:00"' in history


def test_history_comes_as_a_document_without_secrets_newest_first(
    client: Client, image: Image, runner: Host
) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    enter(client, "admin")
    response = client.get(reverse("images:image-history", args=[image.pk]))
    assert response["Content-Type"] == "application/json"
    steps = json.loads(response.content)
    assert [step["CreatedBy"] or step["Comment"] for step in steps] == [
        "merged by hand",
        f"ENV API_KEY={MASK}",
        "ADD rootfs.tar /",
    ]
    assert steps[-1]["Size"] == 3000
    assert not any(secret in response.content.decode() for secret in SECRETS)


def test_image_without_history_and_configuration_says_so(client: Client, runner: Host) -> None:
    image = factories.make_image(factories.make_layer(5))
    factories.make_copy(runner, "scratch:1", image=image)
    enter(client)
    page = page_of(client, image)
    assert "The image carries no history." in page
    assert facts(page, "Configuration") == "empty"


def test_partial_content_is_said_and_its_size_is_that_of_the_copy(client: Client, runner: Host) -> None:
    image = factories.make_image(is_partial=True, architecture="", operating_system="")
    factories.make_copy(runner, "half:1", image=image, size_bytes=7000)
    enter(client)
    page = page_of(client, image)
    assert "The host holds only a part of this image" in page
    assert "layer-bar" not in page
    assert "7.00 kB" in facts(page, "Size")
    assert facts(page, "Platform") == "–"


@pytest.mark.parametrize(
    "config",
    [
        {"Env": None, "Cmd": None, "Entrypoint": "sh -c start", "Labels": None, "ExposedPorts": None},
        {"Healthcheck": {"Test": None}, "Volumes": None, "WorkingDir": "", "Cmd": ["", 7]},
        {"Healthcheck": None},
    ],
)
def test_configuration_of_odd_builders_does_not_fail_the_page(
    client: Client, runner: Host, config: dict[str, Any]
) -> None:
    image = factories.make_image(factories.make_layer(5), config=config)
    factories.make_copy(runner, "odd:1", image=image)
    enter(client)
    page_of(client, image)


def test_everything_from_an_image_is_escaped(client: Client, runner: Host) -> None:
    evil = "<script>alert(1)</script>"
    layer = factories.make_layer(5)
    Layer.objects.filter(pk=layer.pk).update(created_by=evil)
    image = factories.make_image(
        layer, config={"Labels": {"x": evil}, "User": evil}, author=evil,
        history=[{"created_by": evil, "bytes": 5, "comment": ""}], inspect={"Author": evil},
    )  # fmt: skip
    copy = factories.make_copy(runner, "evil:1", image=image)
    Container.objects.create(host=runner, copy=copy, container_id="c" * 64, name=evil)
    enter(client)
    page = page_of(client, image)
    assert evil not in page
    assert page.count(escape(evil)) >= 6
    fragment = client.get(reverse("images:image-inspect", args=[image.pk]), headers=HTMX)
    assert evil not in fragment.content.decode()


# The raw document


def test_raw_document_is_json_without_secrets(client: Client, image: Image, runner: Host) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    enter(client, "admin")
    response = client.get(reverse("images:image-inspect", args=[image.pk]))
    assert response["Content-Type"] == "application/json"
    document = json.loads(response.content)
    assert document["Os"] == "linux"
    assert document["Config"]["Env"][:2] == ["PATH=/usr/bin", f"DB_PASSWORD={MASK}"]
    assert not any(secret in response.content.decode() for secret in SECRETS)


def test_raw_document_says_what_each_visible_host_calls_the_image(
    client: Client, image: Image, runner: Host
) -> None:
    digest = "acme/api@sha256:" + "ab" * 32
    copy = factories.make_copy(runner, "acme/api:1.4", digest, image=image)
    factories.make_copy(factories.make_host("vault"), "hidden/api:1", image=image)
    group = HostGroup.objects.create(name="mine")
    runner.groups.add(group)
    enter(client, "viewer", group)
    document = json.loads(client.get(reverse("images:image-inspect", args=[image.pk])).content)
    assert document["Copies"] == [
        {
            "Host": "runner", "Id": copy.engine_id, "Parent": "", "RepoTags": ["acme/api:1.4"],
            "RepoDigests": [digest], "Size": 4000,
        }
    ]  # fmt: skip


def test_raw_document_is_a_fragment_for_htmx(client: Client, image: Image, runner: Host) -> None:
    factories.make_copy(runner, "acme/api:1.4", image=image)
    enter(client)
    body = client.get(reverse("images:image-inspect", args=[image.pk]), headers=HTMX).content.decode()
    assert body.startswith('<pre class="document"')
    assert not any(secret in body for secret in SECRETS)


def test_raw_document_tells_nothing_of_an_invisible_host(
    client: Client, runner: Host, vault: Host, group: HostGroup
) -> None:
    image = factories.make_image(
        factories.make_layer(5),
        inspect={
            "Id": "sha256:internal/merger",
            "RepoTags": ["internal/merger:2"],
            "RepoDigests": ["internal/merger@sha256:" + "ab" * 32],
            "Parent": "sha256:internal/merger",
            "GraphDriver": {"Data": {"UpperDir": "/srv/internal/merger/diff"}},
            "Metadata": {"LastTagTime": "internal/merger"},
            "Descriptor": {"annotations": {"name": "internal/merger"}},
            "NamesHistory": ["internal/merger:1"],
            "Config": {"User": "app", "Image": "internal/merger:1", "Hostname": "internal/merger"},
        },
    )
    factories.make_copy(vault, "internal/merger:2", image=image)
    factories.make_copy(runner, "public/app:1", image=image)
    enter(client, "viewer", group)
    shown = client.get(reverse("images:image-inspect", args=[image.pk])).content
    document = json.loads(shown)
    assert [copy["RepoTags"] for copy in document.pop("Copies")] == [["public/app:1"]]
    assert document == {"Config": {"User": "app"}}
    assert b"internal" not in shown


def test_copies_are_in_order_of_their_hosts() -> None:
    image = factories.make_image(factories.make_layer(5))
    copies = [
        factories.make_copy(factories.make_host(name), image=image) for name in ("zeta", "alpha", "mid")
    ]
    found = image_page.image_copies(factories.make_admin(), image)
    assert [copy.host.name for copy in found] == ["alpha", "mid", "zeta"]
    assert {copy.pk for copy in found} == {copy.pk for copy in copies}
