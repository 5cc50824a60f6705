"""What a view's request is like once LoginRequiredMiddleware let it through."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from images.models import User


class SignedInRequest(HttpRequest):
    """A request by somebody who signed in; for annotations only, Django makes the object."""

    user: User
    htmx: HtmxDetails


def is_fragment(request: SignedInRequest) -> bool:
    """Whether htmx asks for a part of the page; going back in the browser's history it wants all of it."""
    return bool(request.htmx) and not request.htmx.history_restore_request
