"""Git accounts on the page of registries: what the form takes, what nobody sees again, who may change them."""

import pytest
from django.test import Client

from images.forms.git_accounts import GitAccountForm
from images.models import AuditEntry, GitAccount, HostGroup, Job, User
from tests import factories
from tests.images.pages import text_of
from tests.images.test_host_pages import pems

pytestmark = pytest.mark.django_db

SECRET = "correct-horse"
HOST = "git.example.com"


@pytest.fixture
def account() -> GitAccount:
    return GitAccount.objects.create(name="Ours", prefix=HOST, username="robot", password=SECRET)


@pytest.mark.parametrize(
    ("written", "prefix"),
    [
        ("git.example.com", HOST),
        (" https://Git.Example.com/ ", HOST),
        ("git.example.com:443", HOST),
        ("git.example.com:8443/acme/", f"{HOST}:8443/acme"),
        ("https://git.example.com/Acme/api.git", f"{HOST}/Acme/api"),
        ("localhost/team", "localhost/team"),
        ("[::1]:8443", "[::1]:8443"),
    ],
)
def test_prefix_is_written_in_one_way(written: str, prefix: str) -> None:
    assert GitAccountForm.normal_prefix(written) == prefix


@pytest.mark.parametrize(
    "written",
    [
        "", "/", "/acme", "http://git.example.com", "ssh://git@git.example.com", "git@git.example.com:acme/api.git",
        "me:secret@git.example.com", "*.example.com", "a b.example.com", "git.example.com:port", "-", "[x",
    ],
)  # fmt: skip
def test_what_no_address_begins_with_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        GitAccountForm.normal_prefix(written)


class TestForm:
    def data(self, **changes: str) -> dict[str, str]:
        return {"name": "Ours", "address": HOST, "username": "robot", "password": SECRET} | changes

    def errors(self, account: GitAccount | None = None, **changes: str) -> set[str]:
        return set(GitAccountForm(self.data(**changes), account=account).errors)

    def test_token_needs_no_user_name_and_is_needed(self) -> None:
        assert self.errors() == set()
        assert self.errors(username="") == set()
        assert self.errors(password="") == {"password"}

    def test_several_lines_are_refused(self) -> None:
        """git's helper could be made to say something else by them."""
        assert self.errors(password="one\nhost=evil.example.com") == {"password"}
        assert self.errors(username="one\rtwo") == {"username"}

    def test_ca_must_be_a_certificate(self) -> None:
        assert self.errors(ca="nonsense") == {"ca"}
        assert self.errors(ca=pems()[0]) == set()

    def test_empty_password_keeps_the_stored_one(self, account: GitAccount) -> None:
        form = GitAccountForm(self.data(address=f"{HOST}/shop", password=""), account=account)
        assert form.is_valid(), form.errors
        assert form.values()["password"] == SECRET

    @pytest.mark.parametrize(
        "change",
        [
            {"address": "evil.example.com"},
            {"address": f"{HOST}:8443"},
            {"username": "other"},
            {"username": ""},
        ],
    )
    def test_stored_password_goes_nowhere_else(self, account: GitAccount, change: dict[str, str]) -> None:
        """Who may edit could else have it sent to a machine of their own."""
        assert self.errors(account, password="") == set()
        assert self.errors(account, password="", **change) == {"password"}


class TestPages:
    def test_without_an_account_it_says_what_one_is_for(self, client: Client, admin: User) -> None:
        assert "Add one to build from private repositories." in text_of(client, "/registries/")

    def test_account_is_added_and_written_down(self, client: Client, admin: User) -> None:
        data = {"name": "Ours", "address": f"https://{HOST}/acme", "password": SECRET}
        assert client.post("/registries/git/add/", data).status_code == 302
        account = GitAccount.objects.get()
        assert (account.prefix, account.username, account.password) == (f"{HOST}/acme", "", SECRET)
        entry = AuditEntry.objects.get(action="git_account.add")
        assert (entry.target, entry.detail) == ("Ours", {"prefix": f"{HOST}/acme", "account": ""})
        text = text_of(client, "/registries/")
        assert f"{HOST}/acme" in text
        assert "a token alone" in text

    @pytest.mark.parametrize("field", ["name", "address"])
    def test_second_one_of_the_same_name_or_prefix_is_refused(
        self, client: Client, admin: User, account: GitAccount, field: str
    ) -> None:
        data = {"name": "Other", "address": "other.example.com", "password": SECRET}
        data[field] = {"name": account.name, "address": account.prefix}[field]
        text = client.post("/registries/git/add/", data).content.decode()
        assert "already" in text
        assert SECRET not in text
        assert GitAccount.objects.count() == 1

    def test_account_is_edited(self, client: Client, admin: User, account: GitAccount) -> None:
        data = {"name": "Renamed", "address": HOST, "username": "robot", "password": ""}
        assert client.post(f"/registries/git/{account.pk}/", data).status_code == 302
        account.refresh_from_db()
        assert (account.name, account.password) == ("Renamed", SECRET)
        assert AuditEntry.objects.filter(action="git_account.edit", target="Renamed").exists()

    def test_account_is_removed(self, client: Client, admin: User, account: GitAccount) -> None:
        url = f"/registries/git/{account.pk}/remove/"
        assert HOST in text_of(client, url)
        assert client.post(url).status_code == 302
        assert not GitAccount.objects.exists()
        assert AuditEntry.objects.filter(action="git_account.remove", target="Ours").exists()

    def test_secret_is_on_no_page(self, client: Client, admin: User, account: GitAccount) -> None:
        url = f"/registries/git/{account.pk}/"
        for page in ("/registries/", url, f"{url}remove/", "/audit/"):
            assert SECRET not in text_of(client, page)
        wrong = {"name": "", "address": HOST, "username": "robot", "password": SECRET}
        assert SECRET not in client.post(url, wrong).content.decode()

    def test_who_may_pull_sees_prefixes_and_nothing_of_the_account(
        self, client: Client, account: GitAccount
    ) -> None:
        user = factories.make_user()
        factories.grant(user, "operator", HostGroup.objects.create(name="ci"))
        client.force_login(user)
        text = text_of(client, "/registries/")
        assert HOST in text
        assert "robot" not in text
        assert "/registries/git/" not in text

    def test_job_page_names_the_account_of_each_repository(self, client: Client, admin: User) -> None:
        accounts = {f"https://{HOST}/acme/api.git": "Ours", "https://example.com/lib.git": ""}
        job = Job.objects.create(
            kind="build", host=factories.make_host(), state="failed", result={"accounts": accounts}
        )
        text = text_of(client, f"/jobs/{job.pk}/")
        assert f"https://{HOST}/acme/api.git</span>: Ours" in text
        assert "https://example.com/lib.git</span>: none" in text
