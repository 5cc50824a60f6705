"""Which new names are offered for an image, and to whom."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from images.models import Copy, Host, HostGroup, Registry, User
from images.naming import suggestions
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def host() -> Host:
    return factories.make_host("runner")


@pytest.fixture
def admin() -> User:
    return factories.make_admin()


@pytest.fixture(autouse=True)
def registries() -> None:
    Registry.objects.create(name="Ours", prefix="registry.example.com")
    Registry.objects.create(name="Team", prefix="ghcr.io/acme")


def with_labels(host: Host, *names: str, **labels: str) -> Copy:
    image = factories.make_image(labels={f"org.opencontainers.image.{k}": v for k, v in labels.items()})
    return factories.make_copy(host, *names, image=image)


def test_name_with_a_project_keeps_it_and_a_prefix_with_a_path_is_the_project(
    host: Host, admin: User
) -> None:
    copy = factories.make_copy(host, "shop/api:1.4")
    assert suggestions(admin, copy) == ("ghcr.io/acme/api:1.4", "registry.example.com/shop/api:1.4")


def test_more_tags_cost_no_more_queries(host: Host, admin: User) -> None:
    def queries(*names: str) -> int:
        copy = factories.make_copy(host, *names)
        with CaptureQueriesContext(connection) as captured:
            suggestions(admin, copy)
        return len(captured)

    assert queries("api:1") == queries(*(f"api:{n}" for n in range(2, 20)))


def test_name_without_a_project_gets_those_that_are_in_use_there(host: Host, admin: User) -> None:
    for n in range(3):
        factories.make_copy(host, f"registry.example.com/shop/web:{n}")
    factories.make_copy(host, "registry.example.com/research/model:1")
    copy = factories.make_copy(host, "api:1.4")
    assert suggestions(admin, copy) == (
        "ghcr.io/acme/api:1.4",
        "registry.example.com/shop/api:1.4",
        "registry.example.com/research/api:1.4",
    )


def test_image_without_a_tag_is_named_by_its_digest_or_its_labels(host: Host, admin: User) -> None:
    digest = f"shop/api@sha256:{'a' * 64}"
    known = with_labels(host, digest, version="2.1.0")
    assert "registry.example.com/shop/api:2.1.0" in suggestions(admin, known)
    labelled = with_labels(host, title="Billing", version="3.0")
    assert suggestions(admin, labelled)[0] == "ghcr.io/acme/billing:3.0"
    nameless = with_labels(host, title="Not a name!")
    assert suggestions(admin, nameless) == ()
    assert suggestions(admin, factories.make_copy(host)) == ()


def test_untagged_copy_takes_the_name_its_image_has_elsewhere(host: Host, admin: User) -> None:
    copy = factories.make_copy(host)
    factories.make_copy(factories.make_host("other"), "shop/api:5", image=copy.image)
    assert suggestions(admin, copy)[0] == "ghcr.io/acme/api:5"


def test_names_on_hosts_one_may_not_see_are_not_given_away(host: Host) -> None:
    group = HostGroup.objects.create(name="ci")
    host.groups.add(group)
    user = factories.make_user()
    factories.grant(user, "maintainer", group)
    hidden = factories.make_host("hidden")
    factories.make_copy(hidden, "registry.example.com/secret-project/x:1")
    copy = factories.make_copy(host)
    factories.make_copy(hidden, "secret-name:5", image=copy.image)
    assert suggestions(user, copy) == ()
    assert "secret" not in " ".join(suggestions(user, factories.make_copy(host, "api:1")))


def test_names_it_has_are_not_offered_and_there_are_never_many(host: Host, admin: User) -> None:
    names = ["registry.example.com/shop/api:1", *(f"shop/api:{n}" for n in range(30))]
    offered = suggestions(admin, factories.make_copy(host, *names))
    assert len(offered) == 12
    assert not set(offered) & set(names)
