"""Git accounts: which one fits, private repositories behind https, and where its secret goes and does not go."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from images.accounts.git_accounts import DEFAULT_USERNAME, account_for, place_of
from images.contexts.git import fetched
from images.errors import UserError
from images.models import GitAccount, Upload
from images.secrets import MASK
from images.transfers import git_looks
from tests import factories
from tests.git_server import GitServer

pytestmark = pytest.mark.django_db

SECRET = "correct-horse battery%20staple"
DOCKERFILE = {"Dockerfile": "FROM scratch\n"}


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, settings: Any) -> Path:
    settings.SPOOL_DIR, settings.GIT_ALLOWS_FILES = str(tmp_path / "spool"), False
    return tmp_path / "spool"


@pytest.fixture
def server(repositories: GitServer) -> GitServer:
    """Has a private repository and a public one."""
    repositories.accounts["alice"] = SECRET
    repositories.make("private/shop", DOCKERFILE)
    repositories.make("shop", DOCKERFILE)
    return repositories


def make_account(prefix: str, username: str = "alice", password: str = SECRET, **fields: Any) -> GitAccount:
    name = f"for {prefix}"
    return GitAccount.objects.create(name=name, prefix=prefix, username=username, password=password, **fields)


def files(url: str) -> dict[str, str]:
    """By path what a build would get."""
    with fetched(url, "", lambda: None, lambda line: None, account_for) as members:
        return {member.path: b"".join(member.body()).decode() for member in members() if member.info.isfile()}


def refusal(url: str) -> UserError:
    with pytest.raises(UserError) as refused:
        files(url)
    return refused.value


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://git.example.com/acme/api.git", "git.example.com/acme/api"),
        ("https://Git.Example.com:443/acme/api", "git.example.com/acme/api"),
        ("https://git.example.com:8443/acme/api/", "git.example.com:8443/acme/api"),
        ("https://git.example.com", "git.example.com"),
        ("https://git.example.com/acme/../other/api.git", "git.example.com/other/api"),
        ("https://git.example.com/acme/%2e%2e%2Fother/api.git", "git.example.com/other/api"),
        ("https://git.example.com//../acme//api?x#y", "git.example.com/acme/api"),
        ("https://git.example.com.example.org/acme", "git.example.com.example.org/acme"),
        ("https://git.example.com/a%00b", "git.example.com/a\ufffdb"),
        ("file:///acme/api.git", "/acme/api"),
    ],
)
def test_place_is_where_the_server_looks(url: str, place: str) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("https://git.example.com/acme/api.git", "git.example.com/acme"),
        ("https://git.example.com/acme2/api.git", "git.example.com"),
        ("https://git.example.com/acme/../acme2/api.git", "git.example.com"),
        ("https://git.example.com/acme/web.git", "git.example.com/acme/web"),
        ("https://git.example.com:8443/acme/api.git", None),
        ("https://example.com/git.example.com/acme", None),
    ],
)
def test_longest_prefix_wins_at_whole_parts(url: str, prefix: str | None) -> None:
    for each in ("git.example.com", "git.example.com/acme", "git.example.com/acme/web"):
        make_account(each)
    found = account_for(url)
    assert (found and found.name) == (prefix and f"for {prefix}")
    assert found is None or found.host == "git.example.com"


def test_account_does_not_show_its_secret() -> None:
    make_account("git.example.com")
    assert SECRET not in repr(account_for("https://git.example.com/x"))


def test_private_repository_is_fetched_with_its_account(server: GitServer) -> None:
    make_account(server.host)
    assert files(f"{server.url}/private/shop.git") == DOCKERFILE
    assert ("alice", SECRET) in server.sent


def test_public_repository_needs_no_account_and_is_sent_none(server: GitServer) -> None:
    make_account(server.host)
    assert files(f"{server.url}/shop.git") == DOCKERFILE
    assert set(server.sent) == {("", "")}


def test_token_alone_is_sent_with_a_name_that_git_sites_take(server: GitServer) -> None:
    server.accounts = {DEFAULT_USERNAME: SECRET}
    make_account(server.host, username="")
    assert files(f"{server.url}/private/shop.git") == DOCKERFILE


def test_what_goes_wrong_is_told_apart(server: GitServer) -> None:
    private, none = f"{server.url}/private/shop.git", f"{server.url}/private/none.git"
    server.hidden.add("/hidden.git")
    assert refusal(private).code == "git_refused"
    assert refusal(f"{server.url}/hidden.git").code == "git_not_found"
    account = make_account(server.host)
    assert (refusal(none).code, refusal(none).values["account"]) == ("git_account_blind", account.name)
    GitAccount.objects.update(password="wrong-token")
    refused = refusal(private)
    assert (refused.code, refused.values["account"]) == ("git_account_refused", account.name)
    assert "wrong-token" not in f"{refused.values} {refused.raw}"


def test_secret_that_the_server_repeats_is_hidden(server: GitServer) -> None:
    server.hidden.add("/private/shop.git")
    make_account(server.host)
    refused = refusal(f"{server.url}/private/shop.git")
    assert f"no repository for alice with {MASK}" in refused.raw
    assert SECRET not in refused.raw


def test_secret_is_in_no_argument_and_no_file(server: GitServer, spool: Path) -> None:
    seen: list[bytes] = []

    def look() -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                seen.append((process / "cmdline").read_bytes())
            except OSError:
                continue  # it has ended
        seen.extend(path.read_bytes() for path in spool.rglob("*") if path.is_file())

    server.on_request = look
    make_account(server.host)
    assert files(f"{server.url}/private/shop.git") == DOCKERFILE
    assert any(b"fetch" in each and server.url.encode() in each for each in seen), "git was seen at work"
    assert not [each for each in seen if SECRET.encode() in each]


def test_account_may_have_a_ca_of_its_own(server: GitServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIT_SSL_CAINFO")
    make_account(server.host)
    assert refusal(f"{server.url}/private/shop.git").code == "git_tls"
    GitAccount.objects.update(ca=server.certificate.read_text())
    assert files(f"{server.url}/private/shop.git") == DOCKERFILE


def test_each_submodule_is_fetched_with_the_account_of_its_own_address(server: GitServer) -> None:
    server.accounts = {"alice": "of the library", "bob": "of the rest"}
    library = server.make("private/library/lib", {"lib.txt": "lib"})
    server.make("private/app", DOCKERFILE, {"vendor/lib": ("../library/lib.git", library)})
    make_account(server.host, "bob", "of the rest")
    make_account(f"{server.host}/private/library", "alice", "of the library")
    assert files(f"{server.url}/private/app.git")["vendor/lib/lib.txt"] == "lib"
    assert set(server.sent) == {("", ""), *server.accounts.items()}


OTHERS = ["127.0.0.1", "127.0.0.2"]  # another port of the same machine is another place too


@pytest.mark.parametrize("address", OTHERS)
def test_submodule_elsewhere_gets_no_secret(
    server: GitServer, make_git_server: Callable[..., GitServer], address: str
) -> None:
    other = make_git_server(address)
    library = other.make("private/library", {"lib.txt": "lib"})
    server.make("private/app", DOCKERFILE, {"lib": (f"{other.url}/private/library.git", library)})
    make_account(server.host)
    refused = refusal(f"{server.url}/private/app.git")
    assert (refused.code, refused.values["url"]) == ("git_refused", f"{other.url}/private/library.git")
    assert set(other.sent) == {("", "")}
    other.accounts["bob"] = "another secret"
    make_account(other.host, "bob", "another secret")
    assert files(f"{server.url}/private/app.git")["lib/lib.txt"] == "lib"
    assert set(other.sent) == {("", ""), ("bob", "another secret")}
    assert ("bob", "another secret") not in server.sent


@pytest.mark.parametrize("address", OTHERS)
@pytest.mark.parametrize("old", ["/old/", "/private/old/"], ids=["at once", "after signing in"])
@pytest.mark.parametrize("new", ["/", "/private/"], ids=["to a public one", "to a private one"])
def test_redirect_elsewhere_gets_no_secret(
    server: GitServer, make_git_server: Callable[..., GitServer], address: str, old: str, new: str
) -> None:
    other = make_git_server(address)
    other.accounts = server.accounts
    other.make("shop", DOCKERFILE)
    other.make("private/shop", DOCKERFILE)
    server.moved[old] = f"{other.url}{new}"
    make_account(server.host)
    url = f"{server.url}{old}shop.git"
    if (old, new) == ("/old/", "/"):
        assert files(url) == DOCKERFILE
    else:
        assert refusal(url).code in {"git_moved", "git_account_refused"}
    assert other.sent
    assert set(other.sent) == {("", "")}


def test_redirect_to_plain_http_is_not_followed(server: GitServer) -> None:
    server.moved["/private/old/"] = f"http://{server.host}/private/"
    make_account(server.host)
    assert refusal(f"{server.url}/private/old/shop.git").code == "git_unreachable"


def test_redirect_on_the_same_server_is_followed_with_the_account(server: GitServer) -> None:
    """As some sites do where .git is missing at the end."""
    server.moved["/old/"] = f"{server.url}/private/"
    make_account(server.host)
    assert files(f"{server.url}/old/shop.git") == DOCKERFILE


def test_look_at_a_repository_signs_in_too(server: GitServer) -> None:
    asked = {"git_url": f"{server.url}/private/shop.git", "branch": ""}
    account, person = make_account(server.host, password="wrong-token"), factories.make_user()

    def look() -> Upload:
        upload = git_looks.git_look_start(by=person, **asked)
        git_looks.git_look_carry_out(str(upload.pk))
        upload.refresh_from_db()
        return upload

    refused = look()
    assert (refused.error_code, refused.error_values["account"]) == ("git_account_refused", account.name)
    assert "wrong-token" not in str(list(Upload.objects.values()))
    GitAccount.objects.update(password=SECRET)
    ready = look()
    assert (ready.state, ready.summary["dockerfile_text"]) == ("ready", DOCKERFILE["Dockerfile"])
