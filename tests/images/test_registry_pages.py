"""The page of registries: what the form takes, what nobody sees again, and which account would be used."""

import pytest
from django.test import Client

from images.accounts import registries
from images.forms.registries import RegistryForm, normal_prefix
from images.models import AuditEntry, GitAccount, HostGroup, Registry, User
from tests import factories
from tests.images.pages import text_of
from tests.images.test_host_pages import pems

pytestmark = pytest.mark.django_db

SECRET = "correct-horse"


@pytest.fixture
def registry() -> Registry:
    return Registry.objects.create(
        name="Ours", prefix="registry.example.com:5000", username="robot", password=SECRET
    )


@pytest.mark.parametrize(
    ("written", "prefix"),
    [
        ("docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("hub.docker.com", "docker.io"),
        ("GHCR.io/acme/", "ghcr.io/acme"),
        (" registry.example.com:5000 ", "registry.example.com:5000"),
        ("http://registry.example.com/v2/", "registry.example.com"),
        ("localhost/team", "localhost/team"),
        ("docker.io/acme", "docker.io/acme"),
    ],
)
def test_prefix_is_written_in_one_way(written: str, prefix: str) -> None:
    assert normal_prefix(written) == prefix


@pytest.mark.parametrize(
    "written", ["", "acme", "acme/api", "ghcr.io/Acme", "ghcr.io/acme:1", "a b.com", "-"]
)
def test_what_no_reference_begins_with_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        normal_prefix(written)


class TestForm:
    def data(self, **changes: str) -> dict[str, str]:
        fields = {"name": "Ours", "address": "registry.example.com", "username": "robot", "password": SECRET}
        return fields | changes

    def errors(self, registry: Registry | None = None, **changes: str) -> set[str]:
        return set(RegistryForm(self.data(**changes), account=registry).errors)

    def test_name_and_password_belong_together(self) -> None:
        assert self.errors() == set()
        assert self.errors(username="", password="") == set()
        assert self.errors(password="") == {"password"}
        assert self.errors(username="") == {"username"}

    def test_ca_must_be_a_certificate(self) -> None:
        assert self.errors(ca="nonsense") == {"ca"}
        assert self.errors(ca=pems()[0]) == set()

    def test_empty_password_keeps_the_stored_one(self, registry: Registry) -> None:
        form = RegistryForm(
            self.data(address="registry.example.com:5000/shop", password=""), account=registry
        )
        assert form.is_valid(), form.errors
        assert form.values()["password"] == SECRET

    @pytest.mark.parametrize(
        "change", [{"address": "evil.example.com"}, {"username": "other"}, {"use_http": "on"}]
    )
    def test_stored_password_goes_nowhere_else(self, registry: Registry, change: dict[str, str]) -> None:
        """Who may edit could else have it sent to a machine of their own."""
        same = {"address": "registry.example.com:5000", "password": ""}
        assert self.errors(registry, **same) == set()
        assert self.errors(registry, **(same | change)) == {"password"}

    def test_account_that_is_taken_away_takes_its_password_along(self, registry: Registry) -> None:
        form = RegistryForm(self.data(username="", password=""), account=registry)
        assert form.is_valid()
        assert form.values()["password"] == ""


class TestPages:
    def test_without_a_registry_it_says_what_one_is_for(self, client: Client, admin: User) -> None:
        text = text_of(client, "/registries/")
        assert "No registry yet" in text
        assert "Add a registry" in text

    def test_registry_is_added_tried_and_written_down(self, client: Client, admin: User) -> None:
        data = {"name": "Hub", "address": "docker.io", "username": "robot", "password": SECRET}
        assert client.post("/registries/add/", data).status_code == 302
        registry = Registry.objects.get()
        assert (registry.prefix, registry.password) == ("docker.io", SECRET)
        assert "Being tested" in text_of(client, "/registries/")
        entry = AuditEntry.objects.get(action="registry.add")
        assert entry.detail == {"prefix": "docker.io", "account": "robot", "plain_http": False}

    @pytest.mark.parametrize("field", ["name", "address"])
    def test_second_one_of_the_same_name_or_prefix_is_refused(
        self, client: Client, admin: User, registry: Registry, field: str
    ) -> None:
        data = {"name": "Other", "address": "other.example.com"}
        data[field] = {"name": registry.name, "address": registry.prefix}[field]
        text = client.post("/registries/add/", data).content.decode()
        assert "already" in text
        assert Registry.objects.count() == 1

    def test_secret_is_on_no_page(self, client: Client, admin: User, registry: Registry) -> None:
        for url in ("/registries/", f"/registries/{registry.pk}/", f"/registries/{registry.pk}/remove/"):
            assert SECRET not in text_of(client, url)
        wrong = {"name": "", "address": "registry.example.com:5000", "username": "robot", "password": SECRET}
        assert SECRET not in client.post(f"/registries/{registry.pk}/", wrong).content.decode()
        assert SECRET not in text_of(client, "/audit/")

    def test_edit_is_tried_again(self, client: Client, admin: User, registry: Registry) -> None:
        registries.outcome_write(registry, None, None)
        data = {"name": "Ours", "address": registry.prefix, "username": "robot", "password": "new one"}
        assert client.post(f"/registries/{registry.pk}/", data).status_code == 302
        registry.refresh_from_db()
        assert (registry.password, registry.checked_at) == ("new one", None)

    def test_registry_is_removed(self, client: Client, admin: User, registry: Registry) -> None:
        assert client.post(f"/registries/{registry.pk}/remove/").status_code == 302
        assert not Registry.objects.exists()
        assert AuditEntry.objects.filter(action="registry.remove").exists()

    def test_who_may_pull_sees_prefixes_and_nothing_of_the_account(
        self, client: Client, registry: Registry
    ) -> None:
        user = factories.make_user()
        factories.grant(user, "operator", HostGroup.objects.create(name="ci"))
        client.force_login(user)
        Registry.objects.update(error_code="registry_login", error_raw="HTTP 401", checked_at=None)
        text = text_of(client, "/registries/")
        assert "registry.example.com:5000" in text
        assert "robot" not in text
        assert "HTTP 401" not in text
        assert "Test the login" not in text

    def test_error_is_said_in_words_with_what_to_do(
        self, client: Client, admin: User, registry: Registry
    ) -> None:
        from images.errors import UserError

        problem = UserError("registry_login", registry=registry.prefix, raw="HTTP 401 Unauthorized")
        registries.outcome_write(registry, problem, None)
        text = text_of(client, "/registries/")
        assert "does not let this account in" in text
        assert "Enter them again" in text
        assert "HTTP 401 Unauthorized" in text


WHICH = [
    ("ghcr.io/acme/api:1", "ghcr.io/acme"),
    ("ghcr.io/acme2/api:1", "ghcr.io"),
    ("ghcr.io/other/api", "ghcr.io"),
    ("redis", "docker.io"),
    ("acme/api@sha256:" + "a" * 64, "docker.io"),
]


class TestWhichAccount:
    @pytest.fixture(autouse=True)
    def accounts(self) -> None:
        for prefix in ("ghcr.io", "ghcr.io/acme", "docker.io"):
            Registry.objects.create(name=f"for {prefix}", prefix=prefix, username="robot", password=SECRET)

    @pytest.mark.parametrize(("reference", "prefix"), WHICH)
    def test_engines_know_docker_hub_by_an_address_of_its_own(
        self, client: Client, admin: User, reference: str, prefix: str
    ) -> None:
        sent = registries.credentials_of(registries.registry_for(reference))
        assert sent
        server = {"docker.io": "https://index.docker.io/v1/"}.get(prefix, "ghcr.io")
        assert (sent.username, sent.password, sent.registry) == ("robot", SECRET, server)

    @pytest.mark.parametrize(("reference", "prefix"), WHICH)
    def test_longest_prefix_wins_at_whole_parts(
        self, client: Client, admin: User, reference: str, prefix: str
    ) -> None:
        response = client.get(
            "/registries/", {"used_for": reference}, headers={"HX-Request": "true", "HX-Target": "answer"}
        )
        text = response.content.decode()
        assert f"for {prefix}</strong>" in text
        assert "<table" not in text

    def test_none_is_said(self, client: Client, admin: User) -> None:
        assert "without an account" in text_of(client, "/registries/?used_for=quay.io/acme/api")

    def test_address_of_a_repository_is_asked_of_the_git_accounts(self, client: Client, admin: User) -> None:
        Registry.objects.create(name="for images", prefix="git.example.com")
        for prefix in ("git.example.com", "git.example.com/acme"):
            GitAccount.objects.create(name=f"git at {prefix}", prefix=prefix, password=SECRET)
        text = text_of(client, "/registries/?used_for=https://git.example.com/acme/api.git")
        assert "git at git.example.com/acme</strong>: git.example.com/acme/api begins with" in text
        text = text_of(client, "/registries/?used_for=https://example.org/acme/api.git")
        assert "example.org/acme/api is fetched without an account" in text

    @pytest.mark.parametrize("address", ["https://me:hush@git.example.com/x", "https://[x", "https://"])
    def test_address_that_builds_refuse_is_no_name(self, client: Client, admin: User, address: str) -> None:
        assert "neither an image reference" in text_of(client, f"/registries/?used_for={address}")

    def test_what_is_no_reference_is_said(self, client: Client, admin: User) -> None:
        assert "neither an image reference" in text_of(client, "/registries/?used_for=Not A Name")
