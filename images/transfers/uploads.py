"""What people send for a build: rows, and their files in the spool that web and workers share."""

import contextlib
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings

from images import audit
from images.contexts.archive import Survey, archived, survey
from images.errors import UserError
from images.models import Job, Upload, User
from images.models.upload import UploadState

KEEP = timedelta(days=1)
KEEP_RECEIVING = timedelta(hours=6)  # a process that was killed leaves a part behind


def upload_path(upload: Upload | uuid.UUID) -> Path:
    return Path(settings.SPOOL_DIR) / str(upload.pk if isinstance(upload, Upload) else upload)


def upload_begin(*, by: User, name: str) -> Upload:
    """Makes the row, and the folder its bytes go to. The caller has checked that `by` may build somewhere."""
    Path(settings.SPOOL_DIR).mkdir(mode=0o700, parents=True, exist_ok=True)
    return Upload.objects.create(created_by=by, name=name[:255])


def upload_end(upload: Upload, size_bytes: int) -> Upload:
    """All bytes are there: looks through them once, and keeps what it found."""
    upload.size_bytes = size_bytes
    try:
        found = survey(archived(upload_path(upload)))
        # The texts along with it: the page shows findings in one and the build minds the other, and a large
        # archive is not read once more for that.
        texts = {"dockerfile_text": found.dockerfile_text, "ignore_text": found.ignore_text}
        upload.summary = found.as_json() | texts
        upload.state = UploadState.READY
        upload.save()
    except UserError as error:
        upload_refuse(upload, error)
    audit.record(by=upload.created_by, action="upload.add", target=upload.name, size_bytes=size_bytes)
    return upload


def upload_refuse(upload: Upload, error: UserError) -> None:
    """Keeps why it can not be built, and no byte of it."""
    upload.state, upload.error_code, upload.error_values = UploadState.REFUSED, error.code, error.values
    upload.error_raw = error.raw[:4000]
    upload.save()
    upload_path(upload).unlink(missing_ok=True)


def upload_drop(upload: Upload) -> None:
    """The row and the file go."""
    upload_path(upload).unlink(missing_ok=True)
    upload.delete()


def upload_survey(upload: Upload, *, folder: str = "", dockerfile: str = "") -> Survey:
    """What an upload holds; looks through it again for another folder or Dockerfile. Raises UserError."""
    path = upload_path(upload)
    if upload.state == UploadState.REFUSED and upload.error_code:
        raise UserError(upload.error_code, raw=upload.error_raw, **upload.error_values)
    if upload.state != UploadState.READY or not path.exists():
        raise UserError("upload_gone")
    if not folder and not dockerfile and "ignore_text" in upload.summary:
        return Survey.of(upload.summary)
    return survey(archived(path), folder=folder, dockerfile=dockerfile)


def uploads_forget(now: datetime) -> int:
    """Removes what was sent a day ago and no open job needs, and files that no row knows."""
    old = Upload.objects.filter(created_at__lt=now - KEEP)
    needed = _needed() if old.exists() else set()
    gone = [upload for upload in old if str(upload.pk) not in needed]
    coming = (UploadState.RECEIVING, UploadState.FETCHING)
    stuck = Upload.objects.filter(state__in=coming, created_at__lt=now - KEEP_RECEIVING)
    gone += [upload for upload in stuck if upload not in gone]
    for upload in gone:
        upload_drop(upload)
    _sweep(now)
    return len(gone)


def _needed() -> set[str]:
    jobs = Job.objects.open().filter(kind="build").values_list("parameters", flat=True)
    return {str(parameters.get("upload", "")) for parameters in jobs}


def _sweep(now: datetime) -> None:
    """Files without a row: their web process died between the two. A tick without the folder does nothing."""
    folder = Path(settings.SPOOL_DIR)
    if not folder.is_dir():
        return
    old = [path for path in _files(folder) if path.stat().st_mtime < (now - KEEP).timestamp()]
    known = {str(pk) for pk in Upload.objects.values_list("pk", flat=True)} if old else set()
    for path in old:
        if path.name not in known:
            path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterable[Path]:
    """Only what is named as an upload is: nothing else that somebody keeps there is touched."""
    for path in folder.iterdir():
        with contextlib.suppress(ValueError):
            uuid.UUID(path.name)
            if path.is_file():
                yield path
