"""A look at a git repository before it is built: what a worker fetches, and what the page says meanwhile."""

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.test import Client
from django.utils import timezone

from images import tasks
from images.models import Upload, User
from images.models.upload import UploadState
from images.transfers import git_looks, uploads
from images.views.builds import LONGEST_FETCH
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, settings: Any) -> None:
    settings.SPOOL_DIR, settings.GIT_ALLOWS_FILES = str(tmp_path / "spool"), True


@pytest.fixture
def builder(client: Client) -> User:
    user = factories.make_user()
    factories.grant(user, "maintainer")
    client.force_login(user)
    return user


def look(client: Client, **asked: str) -> str:
    return client.post("/builds/git/", asked).content.decode()


def fetched(client: Client, query: str = "") -> str:
    """As a worker and the page that asks again go on with it."""
    upload = Upload.objects.latest("created_at")
    git_looks.git_look_carry_out(str(upload.pk))
    return client.get(f"/builds/contexts/{upload.pk}/{query}").content.decode()


def test_repository_shows_what_it_holds_and_its_findings(
    client: Client, builder: User, repository: str
) -> None:
    page = look(client, git_url=repository, folder="api")
    upload = Upload.objects.get()
    assert (upload.state, upload.created_by) == (UploadState.FETCHING, builder)
    assert f"Fetching {repository} …" in page
    assert f"/builds/contexts/{upload.pk}/?folder=api" in page
    page = fetched(client, "?folder=api")
    assert "3 files" in page
    assert "There is no .dockerignore" in page
    assert "No findings." in page
    assert "DL3006" in fetched(client), "the Dockerfile at the top"
    look(client, git_url=repository, branch="feature/x")
    assert "4 files" in fetched(client, "?folder=api")


def test_branch_and_folder_may_follow_the_address_as_docker_writes_them(
    client: Client, builder: User, repository: str
) -> None:
    look(client, git_url=f"{repository}#feature/x:api")
    upload = Upload.objects.get()
    assert upload.summary == {"git_url": repository, "branch": "feature/x"}
    assert "4 files" in fetched(client, "?folder=api")
    assert "The address says main." in look(client, git_url=f"{repository}#main", branch="other")
    assert "no branch, tag or commit" in look(client, git_url=f"{repository}#--upload-pack=x")
    assert Upload.objects.count() == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"branch": "nope"}, "has no branch, tag or commit nope"),
        ({"git_url": "file:///nowhere/x.git"}, "There is no repository at file:///nowhere/x.git"),
    ],
)
def test_what_went_wrong_is_said(
    client: Client, builder: User, repository: str, asked: dict[str, str], said: str
) -> None:
    look(client, **({"git_url": repository} | asked))
    page = fetched(client)
    assert said in page
    assert "fatal: " in page, "what git said, folded"
    assert Upload.objects.get().state == UploadState.REFUSED
    assert not list(Path(uploads.upload_path(Upload.objects.get())).parent.iterdir()), "nothing is left"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"git_url": ""}, "This field is required."),
        ({"git_url": "ssh://machine/x", "branch": "main"}, "is not an address that is cloned"),
        ({"git_url": "https://[x", "branch": "main"}, "is not an address that is cloned"),
        ({"git_url": "https://me:hush@machine/x.git"}, "The address holds a name or a password."),
        ({"git_url": "https://machine/x.git", "branch": "--upload-pack=x"}, "Branch, tag or commit:"),
    ],
)
def test_what_can_not_be_fetched_starts_nothing(
    client: Client, builder: User, asked: dict[str, str], said: str
) -> None:
    page = look(client, **asked)
    assert said in page
    assert "hush" not in page
    assert not Upload.objects.exists()


def test_it_is_fetched_once_and_a_row_that_is_gone_is_normal(
    client: Client, builder: User, repository: str
) -> None:
    look(client, git_url=repository)
    upload, number = Upload.objects.get(), str(Upload.objects.get().pk)
    with (
        mock.patch.object(tasks, "in_background", lambda function, argument: function(argument)),
        mock.patch.object(git_looks, "_fetch", side_effect=git_looks._fetch) as fetch,
    ):
        for _ in range(2):
            tasks.fetch_repository(number)
        upload.delete()
        tasks.fetch_repository(number)
    assert fetch.call_count == 1


def test_fetch_that_nobody_ends_is_not_asked_for_for_ever(
    client: Client, builder: User, repository: str
) -> None:
    look(client, git_url=repository)
    Upload.objects.update(created_at=timezone.now() - LONGEST_FETCH)
    page = client.get(f"/builds/contexts/{Upload.objects.get().pk}/").content.decode()
    assert "hx-trigger" not in page
    assert "not there any more" in page
