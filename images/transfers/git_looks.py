"""A look at a git repository before it is built: a worker fetches it, as if somebody had sent its files."""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from images.accounts.git_accounts import account_for
from images.claims import claimed
from images.contexts import git
from images.contexts.archive import Survey, packed
from images.errors import UserError
from images.jobs.life import wake
from images.models import Upload, User
from images.models.upload import UploadState
from images.transfers.uploads import upload_begin, upload_end, upload_path, upload_refuse

logger = logging.getLogger(__name__)

ASKED_FOR = timedelta(seconds=git.FETCH_SECONDS)
CLAIM_SECONDS = git.FETCH_SECONDS + 600  # and as long again as packing may take


def git_look_start(*, by: User, git_url: str, branch: str) -> Upload:
    """Has a worker fetch the repository; the page asks for the row until it is ready. The caller has checked that `by`
    may build somewhere. Raises UserError git_address, git_credentials.
    """
    git.address_check(git_url)
    with transaction.atomic():
        upload = upload_begin(by=by, name=git_url)
        upload.state, upload.summary = UploadState.FETCHING, {"git_url": git_url, "branch": branch}
        upload.save(update_fields=["state", "summary"])
        transaction.on_commit(lambda: wake("images.tasks.fetch_repository", str(upload.pk)))
    return upload


def git_look_carry_out(upload_id: str) -> None:
    """Fetches what is waited for and looks through it; whatever happens, the row says so."""
    with claimed(f"git look {upload_id}", CLAIM_SECONDS) as is_mine:
        upload = Upload.objects.filter(pk=UUID(upload_id), state=UploadState.FETCHING).first()
        if upload is not None and is_mine:
            _carry_out(upload)


def looks_again(now: datetime) -> int:
    """Wakes a worker again for looks whose message was lost."""
    asked = Upload.objects.filter(state=UploadState.FETCHING, created_at__gt=now - ASKED_FOR)
    return sum(wake("images.tasks.fetch_repository", str(pk)) for pk in asked.values_list("pk", flat=True))


def _carry_out(upload: Upload) -> None:
    try:
        upload_end(upload, _fetch(upload))
    except UserError as error:
        upload_refuse(upload, error)
    except Exception as error:
        logger.exception("The look at %s failed", upload.name)
        upload_refuse(upload, UserError("unexpected", raw=type(error).__name__))


def _fetch(upload: Upload) -> int:
    """Writes the files as one archive; its bytes."""
    asked, size = upload.summary, 0
    with (
        git.fetched(
            asked["git_url"],
            asked["branch"],
            check=lambda: None,
            say=lambda line: None,
            account_for=account_for,
        ) as members,
        upload_path(upload).open("wb") as file,
    ):
        for chunk in packed(members, Survey()):
            size += file.write(chunk)
    return size
