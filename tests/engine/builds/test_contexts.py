"""What builds are sent: archives, git repositories, .dockerignore."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from config.demo.engines import PrivateEngine
from images.commands.build import build_start
from images.errors import UserError
from images.jobs.life import job_carry_out
from images.models import GitAccount, Host, Job, JobState, User
from images.transfers import uploads
from tests import factories
from tests.conftest import run
from tests.engine.builds.building import archive, built, content_of, log, sent
from tests.git_server import GitServer
from tests.registry import USERNAME

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("name", ["nothing", "app/nothing"])
def test_file_that_is_not_in_the_context_is_said(host: Host, person: User, name: str) -> None:
    job = built(host, person, dockerfile_text=f"FROM scratch\nCOPY {name} /x\n")
    assert job.error_code == "build_file_missing", job.error_raw
    # 20.10 names the first part of the path that is missing.
    assert job.error_values["file"] in (name, name.partition("/")[0])


FILES = {
    "Dockerfile": "FROM scratch\nCOPY . /\n",
    "app/main.py": "print(1)\n",
    "app/secret.env": "x" * 1000,
    "node_modules/lib/index.js": "y" * 5000,
    "docs/readme.md": "z" * 100,
    ".dockerignore": "# comment\nnode_modules\n**/*.env\ndocs/*\n!docs/readme.md\nDockerfile\n",
}


@pytest.mark.parametrize("kind", ["tar", "gz", "xz", "bz2", "zst", "zip"])
def test_context_of_an_archive_without_what_dockerignore_leaves_out(
    engine: PrivateEngine, host: Host, person: User, kind: str
) -> None:
    upload = sent(person, archive(FILES, kind))
    assert upload.summary["ignored_count"] == 2
    assert upload.summary["ignored_bytes"] == 6000
    job = built(host, person, upload=upload, tags=["shop/files:1"])
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert content_of(engine, "shop/files:1") == {
        "Dockerfile",
        ".dockerignore",
        "app/main.py",
        "docs/readme.md",
    }
    assert job.detail["context"]["sent_count"] == 4


def test_archive_of_one_folder_means_that_folder_and_dockerfile_may_lie_elsewhere(
    engine: PrivateEngine, host: Host, person: User
) -> None:
    files = {"project/a.txt": "a", "project/docker/prod.Dockerfile": "FROM scratch\nCOPY a.txt /\n"}
    upload = sent(person, archive(files))
    assert (upload.summary["folder"], upload.summary["dockerfile"]) == ("project", "docker/prod.Dockerfile")
    job = built(host, person, upload=upload, tags=["shop/files:1"])
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert content_of(engine, "shop/files:1") == {"a.txt"}
    missing = built(host, person, upload=upload, dockerfile="Dockerfile.none")
    assert missing.error_code == "build_dockerfile_missing"


def test_upload_that_is_gone_or_another_persons_is_not_built(host: Host, person: User) -> None:
    upload = sent(person, archive(FILES))
    with pytest.raises(UserError, match="not there any more"):
        build_start(by=factories.make_user(), hosts=[host], upload=upload)
    [job] = build_start(by=person, hosts=[host], upload=upload)
    uploads.upload_path(upload).unlink()
    job_carry_out(job.pk)
    assert Job.objects.get(pk=job.pk).error_code == "upload_gone"


@override_settings(GIT_ALLOWS_FILES=True)
def test_context_of_a_git_repository_with_branch_and_folder(
    engine: PrivateEngine, host: Host, person: User, repository: str, spool: Path
) -> None:
    options: Any = {"git_url": repository, "folder": "api", "tags": ["shop/git:1"]}
    job = built(host, person, branch="feature/x", **options)
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert content_of(engine, "shop/git:1") == {"Dockerfile", "main.txt", "feature.txt"}
    assert built(host, person, **options).state == JobState.SUCCEEDED
    assert content_of(engine, "shop/git:1") == {"Dockerfile", "main.txt"}
    missing = built(host, person, branch="nope", **options)
    assert (missing.error_code, missing.error_values["ref"]) == ("git_ref_missing", "nope")
    assert built(host, person, git_url=repository, folder="nope").error_code == "context_folder_missing"
    assert built(host, person, git_url=f"{repository}x").error_code == "git_not_found"
    assert not list(spool.iterdir()), "nothing of a clone is left"


def test_private_repository_is_built_with_its_account(
    engine: PrivateEngine, host: Host, person: User, repositories: GitServer
) -> None:
    files, secret = {"Dockerfile": "FROM scratch\nCOPY . /\n"}, "correct-horse"
    repositories.accounts[USERNAME] = secret
    library = repositories.make("private/library", {"lib.txt": "lib"})
    repositories.make("private/shop", files, {"lib": ("../library.git", library)})
    url = f"{repositories.url}/private/shop.git"
    assert built(host, person, git_url=url).error_code == "git_refused"
    GitAccount.objects.create(
        name="Ours", prefix=repositories.host, username=USERNAME, password="wrong-token"
    )
    refused = built(host, person, git_url=url)
    assert (refused.error_code, refused.error_values["account"]) == ("git_account_refused", "Ours")
    GitAccount.objects.update(password=secret)
    job = built(host, person, git_url=url, tags=["shop/private:1"])
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_raw)
    assert content_of(engine, "shop/private:1") == {"Dockerfile", ".gitmodules", "lib/lib.txt"}
    library_url = f"{repositories.url}/private/library.git"
    assert job.result["accounts"] == {url: "Ours", library_url: "Ours"}
    stored = f"{list(Job.objects.values())} {log(job)} {log(refused)}"
    assert url in stored
    assert not {text for text in (secret, "wrong-token") if text in stored}


def test_git_address_that_is_not_https_or_holds_a_password_is_refused(host: Host, person: User) -> None:
    for url, code in {
        "file:///etc": "git_address", "ssh://git@machine/x": "git_address", "--upload-pack=x": "git_address",
        "ext::sh -c id": "git_address", "https://me:hush@machine/x.git": "git_credentials",
    }.items():  # fmt: skip
        with pytest.raises(UserError) as refused:
            build_start(by=person, hosts=[host], git_url=url)
        assert refused.value.code == code
        assert "hush" not in str(refused.value.values)


def test_git_machine_that_is_not_there_is_said(host: Host, person: User) -> None:
    assert built(host, person, git_url="https://127.0.0.1:9/x.git").error_code == "git_unreachable"
    assert built(host, person, git_url="https://machine.invalid/x.git").error_code == "git_unreachable"


def test_full_disk_of_the_workers_is_not_said_of_the_host(
    host: Host, person: User, repositories: GitServer, tmp_path: Path, settings: Any
) -> None:
    # Text that nothing packs to less than the disk has.
    repositories.make("shop", {"Dockerfile": "FROM scratch\n", "noise": os.urandom(3_000_000).hex()})
    small = tmp_path / "small"
    small.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small))
    try:
        settings.SPOOL_DIR = str(small)
        job = built(host, person, git_url=f"{repositories.url}/shop.git")
    finally:
        run("umount", str(small))
    assert (job.state, job.error_code) == (JobState.FAILED, "git_not_stored"), job.error_raw
