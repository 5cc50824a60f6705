"""Takes build contexts from browsers: a raw ASGI endpoint, for Django would hold or copy gigabytes.

`PUT /builds/uploads/?name=...` with the bytes as body; the answer is JSON: the upload's id, or an error in words.
Bytes go to the spool in pieces of a megabyte: the browser is not asked for more while the disk is busy.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import parse_qs

from django.conf import settings
from django.utils import translation

from images import access
from images.contexts.members import readable, too_large
from images.errors import UserError, explain
from images.live.asgi import Message, Receive, Refused, Send, fresh_connections, sender_of
from images.models import Permission, Upload, User
from images.models.upload import UploadState
from images.transfers import uploads

logger = logging.getLogger(__name__)

PATH = "/builds/uploads/"
PIECE_BYTES = 1 << 20
SILENT_SECONDS = 60.0  # a browser that sends nothing for so long is gone

_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="uploads")
# One: looking through an archive takes the interpreter from the loop that serves everybody.
_looking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="upload-look")


class _Gone(Exception):
    """The browser went away."""


async def receive_upload(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application behind PATH."""
    if scope["method"] != "PUT":
        await _answer(send, 405, {})
        return
    try:
        user = await _in_thread(_who, scope)
        status, answer = await _take(user, scope, receive)
    except Refused as refused:
        status, answer = refused.status, {}
    except _Gone:
        return
    await _answer(send, status, answer)


async def _take(user: User, scope: Message, receive: Receive) -> tuple[int, dict[str, Any]]:
    query = parse_qs(scope["query_string"].decode("latin-1"))
    length = dict(scope["headers"]).get(b"content-length", b"")
    limit = settings.CONTEXT_LIMIT_BYTES
    if length.isdigit() and int(length) > limit:
        return 413, _words(user, too_large(limit))
    try:
        upload = await _in_thread(_begin, user, readable(query.get("name", [""])[0]))
    except UserError as error:
        return 507, _words(user, error)
    try:
        size = await _store(upload, receive, limit)
        upload = await _in_thread(_closing, uploads.upload_end, upload, size, pool=_looking)
    except UserError as error:
        await _in_thread(_closing, uploads.upload_drop, upload)
        return 413 if error.code == "context_too_large" else 507, _words(user, error)
    except BaseException:
        # Also when this process is told to stop: a part of a context is of no use.
        await asyncio.shield(_in_thread(_closing, uploads.upload_drop, upload))
        raise
    if upload.state == UploadState.REFUSED:
        return 422, _words(user, UserError(upload.error_code, **upload.error_values))
    return 201, {"id": str(upload.pk)}


@fresh_connections()
def _who(scope: Message) -> User:
    user = sender_of(scope)
    if not access.can_anywhere(user, Permission.BUILD):
        raise Refused(403)
    return user


def _begin(user: User, name: str) -> Upload:
    try:
        upload: Upload = _closing(partial(uploads.upload_begin, by=user, name=name))
        return upload
    except OSError as error:
        logger.warning("The spool can not be written: %s", error)
        raise UserError("upload_failed", raw=str(error)) from error


def _closing(function: Callable[..., Any], *arguments: Any) -> Any:
    with fresh_connections():
        return function(*arguments)


async def _store(upload: Upload, receive: Receive, limit: int) -> int:
    """Writes the body into the spool; its length. Raises _Gone, UserError context_too_large or upload_failed."""
    size = 0
    path = uploads.upload_path(upload)
    try:
        with path.open("xb", buffering=0) as file:
            path.chmod(0o600)
            async for piece in _pieces(receive):
                size += len(piece)
                if size > limit:
                    raise too_large(limit)
                await _in_thread(_write, file, piece)
    except OSError as error:
        logger.warning("Upload %s could not be stored: %s", upload.pk, error)
        raise UserError("upload_failed", raw=str(error)) from error
    return size


def _write(file: BinaryIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    gathered = bytearray()
    while True:
        message: Message = {"type": "http.disconnect"}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENT_SECONDS):
                message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        gathered += message.get("body", b"")
        is_last = not message.get("more_body", False)
        if len(gathered) >= PIECE_BYTES or (is_last and gathered):
            yield bytes(gathered)
            gathered.clear()
        if is_last:
            return


def _words(user: User, error: UserError) -> dict[str, Any]:
    with translation.override(user.language or settings.LANGUAGE_CODE):
        return {"error": explain(error.code, error.values).in_one_line}


async def _in_thread(
    function: Callable[..., Any], *arguments: Any, pool: ThreadPoolExecutor = _threads
) -> Any:
    return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)


async def _answer(send: Send, status: int, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
