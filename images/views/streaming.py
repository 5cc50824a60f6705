"""Long answers, sent piece by piece and never held whole in memory."""

from collections.abc import AsyncIterator, Iterable, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

_CHARACTERS_AT_ONCE = (
    256 * 1024
)  # for each of these the loop hands over to the thread that reads the database


def streamed(
    request: HttpRequest, pieces: Iterable[str], *, content_type: str, headers: dict[str, str]
) -> StreamingHttpResponse:
    """The pieces as they come. Under ASGI Django would read an ordinary iterator to its end first."""
    content = _async(iter(pieces)) if isinstance(request, ASGIRequest) else pieces
    return StreamingHttpResponse(content, content_type=content_type, headers=headers)


async def _async(pieces: Iterator[str]) -> AsyncIterator[str]:
    following = sync_to_async(_following, thread_sensitive=True)
    while text := await following(pieces):
        yield text


def _following(pieces: Iterator[str]) -> str:
    taken, length = [], 0
    for piece in pieces:
        taken.append(piece)
        length += len(piece)
        if length >= _CHARACTERS_AT_ONCE:
            break
    return "".join(taken)
