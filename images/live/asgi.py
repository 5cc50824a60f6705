"""For raw ASGI endpoints: who asks, by the same checks that Django makes. Reads the database; call from a thread."""

import io
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse
from django.http.cookie import parse_cookie
from django.middleware.csrf import CsrfViewMiddleware

from images.models import User

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@contextmanager
def fresh_connections() -> Iterator[None]:
    """Around what reads the database in a thread: outside of a request nobody else closes old connections."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


class Refused(Exception):
    """The status that the request is answered with."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@fresh_connections()
def sender_of(scope: Any) -> User:
    """Who sends a request that changes something: session, Origin and CSRF token are checked.

    Raises Refused: 400 not our host name, 401 nobody, 403 no token, or a password that is to be replaced.
    """
    try:
        with closing(ASGIRequest(scope, io.BytesIO())) as request:
            request.get_host()
            user = _signed_in(request)
            _check_csrf(request)
            return user
    except (SuspiciousOperation, BadRequest):
        raise Refused(400) from None


def person_of(request: HttpRequest, session_key: str) -> User | None:
    """Whose session this is; None when it is nobody's, has ended, or its person was switched off."""
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request) if session_key else None
    return user if isinstance(user, User) and user.is_active else None


def session_key(headers: Mapping[bytes, bytes]) -> str:
    """Read as Django does: http.cookies gives nothing at all when one cookie of somebody else's is malformed."""
    return parse_cookie(headers.get(b"cookie", b"").decode("latin-1")).get(settings.SESSION_COOKIE_NAME, "")


def _signed_in(request: ASGIRequest) -> User:
    user = person_of(request, request.COOKIES.get(settings.SESSION_COOKIE_NAME, ""))
    if user is None:
        raise Refused(401)
    if user.must_change_password:
        raise Refused(403)
    return user


def _check_csrf(request: ASGIRequest) -> None:
    middleware = CsrfViewMiddleware(lambda request: HttpResponse())
    middleware.process_request(request)
    if middleware.process_view(request, _view, (), {}) is not None:
        raise Refused(403)


def _view(request: Any) -> HttpResponse:
    """Stands for a view that the check applies to."""
    raise NotImplementedError
