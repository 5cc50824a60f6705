"""Contexts from git: over https as hosting sites serve it, with submodules, and what goes wrong on the way."""

from pathlib import Path
from typing import Any

import pytest

from images.contexts.git import fetched
from images.errors import UserError
from tests.git_server import GitServer


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, settings: Any) -> None:
    settings.SPOOL_DIR, settings.GIT_ALLOWS_FILES = str(tmp_path / "spool"), False


def files(url: str, ref: str = "") -> dict[str, str]:
    """By path what a build would get."""
    said: list[str] = []
    with fetched(url, ref, lambda: None, said.append) as members:
        return {member.path: b"".join(member.body()).decode() for member in members() if member.info.isfile()}


def refusal(url: str, ref: str = "") -> tuple[str, dict[str, str]]:
    with pytest.raises(UserError) as refused:
        files(url, ref)
    return refused.value.code, refused.value.values


def test_repository_behind_https_is_fetched_by_branch_tag_and_commit(repositories: GitServer) -> None:
    commit = repositories.make("shop", {"Dockerfile": "FROM scratch\n", "api/main.txt": "main"})
    repositories.git(repositories.root / "shop.git", "tag", "v1")
    expected = {"Dockerfile": "FROM scratch\n", "api/main.txt": "main"}
    for ref in ("", "main", "v1", commit):
        assert files(f"{repositories.url}/shop.git", ref) == expected, ref


def test_what_goes_wrong_over_https_is_told_apart(
    repositories: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    repositories.make("shop", {"Dockerfile": "FROM scratch\n"})
    assert refusal(f"{repositories.url}/shop.git", "nope")[0] == "git_ref_missing"
    assert refusal(f"{repositories.url}/other.git")[0] == "git_not_found"
    assert refusal(f"{repositories.url}/private/shop.git")[0] == "git_refused"
    assert refusal("https://127.0.0.1:9/shop.git")[0] == "git_unreachable"
    assert refusal("https://no-such-machine.invalid/shop.git")[0] == "git_unreachable"
    monkeypatch.delenv("GIT_SSL_CAINFO")
    assert refusal(f"{repositories.url}/shop.git")[0] == "git_tls"


def test_repository_that_is_broken_where_it_comes_from_is_told_in_gits_words(repositories: GitServer) -> None:
    repositories.make("shop", {"Dockerfile": "FROM scratch\n"})
    for stored in (repositories.root / "shop.git" / "objects").glob("*/*"):
        stored.unlink()
    with pytest.raises(UserError) as refused:
        files(f"{repositories.url}/shop.git", "main")
    assert refused.value.code == "git_failed"
    assert "fatal" in refused.value.raw


def test_repository_that_is_too_large_is_said(
    repositories: GitServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is packed small is found when it is unpacked, what is not while it comes."""
    repositories.make("packed", {"Dockerfile": "FROM scratch\n", "zeros": "0" * 2_000_000})
    settings.CONTEXT_LIMIT_BYTES = 1_000_000
    assert refusal(f"{repositories.url}/packed.git") == ("context_too_large", {"limit": "0.001 GB"})
    settings.CONTEXT_LIMIT_BYTES = 1000
    monkeypatch.setattr("images.contexts.git.SIZE_EVERY_SECONDS", 0.0)
    with (
        pytest.raises(UserError) as refused,
        fetched(f"{repositories.url}/packed.git", "", *[lambda *_: None] * 2),
    ):
        pass  # no file of it is asked for
    assert refused.value.code == "context_too_large"


def test_machine_that_hangs_meets_a_deadline(hung_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("images.contexts.git.FETCH_SECONDS", 1.0)
    url = f"https://127.0.0.1:{hung_port}/shop.git"
    assert refusal(url) == ("git_timeout", {"url": url, "seconds": "1"})


def test_spool_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where its folder should be")
    assert refusal("https://git.example.com/shop.git")[0] == "git_not_stored"


def test_worker_without_git_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert refusal("https://git.example.com/shop.git")[0] == "git_no_program"


def test_submodules_come_at_the_commit_that_is_named(repositories: GitServer) -> None:
    deep = repositories.make("deep", {"deep.txt": "deep"})
    library = repositories.make("library", {"lib.txt": "then"}, {"inner/deep": ("../deep.git", deep)})
    # It has gone on since; what counts is the commit that belongs there.
    work = repositories.work("library")
    (work / "lib.txt").write_text("now")
    repositories.git(work, "commit", "-qam", "two")
    repositories.git(work, "push", "-q", str(repositories.root / "library.git"), "main")
    url = f"{repositories.url}/library.git"
    repositories.make("shop", {"Dockerfile": "FROM scratch\n"}, {"vendor/lib": (url, library)})
    got = files(f"{repositories.url}/shop.git")
    assert got.pop(".gitmodules")
    assert got.pop("vendor/lib/.gitmodules")
    assert got == {
        "Dockerfile": "FROM scratch\n", "vendor/lib/lib.txt": "then", "vendor/lib/inner/deep/deep.txt": "deep",
    }  # fmt: skip


@pytest.mark.parametrize(
    "address",
    [
        "git@example.com:acme/lib.git",
        "ssh://git@example.com/lib.git",
        "/etc",
        "https://me:secret@example.com/x",
    ],
)
def test_submodule_that_may_not_be_fetched_is_named(repositories: GitServer, address: str) -> None:
    repositories.make("shop", {"Dockerfile": "FROM scratch\n"}, {"vendor/lib": (address, "a" * 40)})
    code, values = refusal(f"{repositories.url}/shop.git")
    assert (code, values["path"]) == ("git_submodule", "vendor/lib")
    assert "secret" not in str(values)


def test_commit_that_nothing_says_where_to_get_stays_out(repositories: GitServer) -> None:
    """As after `git add` of a folder that is a repository itself."""
    work = repositories.work("shop")
    work.mkdir(parents=True)
    repositories.git(work, "init", "-q", "-b", "main")
    (work / "Dockerfile").write_text("FROM scratch\n")
    repositories.git(work, "update-index", "--add", "--cacheinfo", f"160000,{'a' * 40},vendor")
    repositories.git(work, "add", "Dockerfile")
    repositories.git(work, "commit", "-qm", "one")
    repositories.git(work, "clone", "-q", "--bare", str(work), str(repositories.root / "shop.git"))
    assert files(f"{repositories.url}/shop.git") == {"Dockerfile": "FROM scratch\n"}


def test_repository_that_has_itself_as_a_submodule_ends(repositories: GitServer) -> None:
    first = repositories.make("loop", {"a": "a"})
    work = repositories.work("loop")
    (work / ".gitmodules").write_text('[submodule "me"]\n\tpath = me\n\turl = ../loop.git\n')
    for _ in range(8):
        repositories.git(work, "update-index", "--add", "--cacheinfo", f"160000,{first},me")
        repositories.git(work, "add", ".gitmodules")
        repositories.git(work, "commit", "-qm", "again")
        first = repositories.git(work, "rev-parse", "HEAD")
    repositories.git(work, "push", "-q", str(repositories.root / "loop.git"), "main")
    assert refusal(f"{repositories.url}/loop.git")[0] == "git_submodules"
