"""What a view's request is like once LoginRequiredMiddleware let it through."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from images.models import User


class SignedInRequest(HttpRequest):
    """A request by somebody who signed in; for annotations only, Django makes the object."""

    user: User
    htmx: HtmxDetails
