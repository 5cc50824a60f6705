"""What happens around every request of Drydock's own."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.utils import translation

_LARGEST_ROW = 2**63 - 1

Answer = Callable[[HttpRequest], HttpResponse]


class RowNumbersMiddleware:
    """An address with a number that no row can have is not found. Databases raise, each in its own way.

    Comes after LoginRequiredMiddleware.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        if any(isinstance(value, int) and value > _LARGEST_ROW for value in kwargs.values()):
            raise Http404


class NotAllowedMiddleware:
    """An address that only takes posts says so: Django answers with an empty page, and signing in may lead there."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED and not response.content:
            response.content = render_to_string("405.html", request=request)
        return response


class AccountMiddleware:
    """Speaks the person's language, asks for a new password where one is due, and signs in through htmx.

    Comes after authentication and around LoginRequiredMiddleware.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        language = getattr(request.user, "language", "")
        if language and translation.check_for_language(language):
            translation.activate(language)
            request.LANGUAGE_CODE = translation.get_language() or settings.LANGUAGE_CODE
        response = self.get_response(request)
        if request.headers.get("HX-Request") == "true" and _is_sign_in_redirect(request, response):
            return _whole_page_redirect(request)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """A first password was chosen by somebody else: nothing else is served until it is replaced."""
        match = request.resolver_match
        if not getattr(request.user, "must_change_password", False) or match is None:
            return None
        if match.app_name == "account" or match.view_name == "images:health":
            return None
        target = resolve_url("account:password")
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(headers={"HX-Redirect": target})
        return HttpResponseRedirect(target)


def _is_sign_in_redirect(request: HttpRequest, response: HttpResponse) -> bool:
    target = urlsplit(response.headers.get("Location", "")).path
    return (
        response.status_code == 302
        and not request.user.is_authenticated
        and target == resolve_url(settings.LOGIN_URL)
    )


def _whole_page_redirect(request: HttpRequest) -> HttpResponse:
    """The session ended: htmx would put the sign-in page into a fragment of the old one."""
    query = QueryDict(mutable=True)
    current = urlsplit(request.headers.get("HX-Current-URL", ""))
    query["next"] = current.path + (f"?{current.query}" if current.query else "") or "/"
    return HttpResponse(
        headers={"HX-Redirect": f"{resolve_url(settings.LOGIN_URL)}?{query.urlencode(safe='/')}"}
    )
