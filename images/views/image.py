"""One image: where it is, what it is made of, and the raw document."""

import json
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from images import access, audit, pins, remote_tags
from images.fleet import image_page
from images.models import Copy, Image, Permission
from images.views.requests import SignedInRequest


@require_http_methods(["GET", "POST"])
def image_detail(request: SignedInRequest, *, pk: int) -> HttpResponse:
    """The page; a POST shows the values that are hidden otherwise, and is written down."""
    image = access.access_image(request.user, pk)
    copies = image_page.image_copies(request.user, image)
    if not copies:
        raise Http404  # the last one went in this moment
    reveal = request.method == "POST"
    if reveal:
        _reveal(request, image, copies)
    context = {
        "image": image,
        "copies": copies,
        "reveal": reveal,
        "name": copies[0].name,
        "names": sorted({reference.name for copy in copies for reference in copy.references.all()}),
        "pins": image_page.image_pins(request.user, image),
        "stacks": image_page.layer_stacks(request.user, image, copies, reveal=reveal),
        "configuration": image_page.configuration(image, reveal=reveal),
        "history": image_page.history(image, reveal=reveal),
        "has_hidden": image_page.has_hidden(image),
        "may_reveal": image_page.may_see_secrets(request.user, copies),
        "may_pin": any(pins.may_pin(request.user, copy.host) for copy in copies),
        "may_remove": image_page.may_now(request.user, copies, Permission.REMOVE),
        **_newer(request, copies),
    }
    return render(request, "images/image_detail.html", context)


def _newer(request: SignedInRequest, copies: list[Copy]) -> dict[str, Any]:
    """What the part about newer images shows. Asking a registry takes no engine, pulling does."""
    return {
        "remote": remote_tags.tags_overview(copies),
        "may_ask": _may_ask(request, copies),
        "may_pull": image_page.may_now(request.user, copies, Permission.PULL),
    }


def _may_ask(request: SignedInRequest, copies: list[Copy]) -> bool:
    return any(access.can(request.user, Permission.PULL, copy.host_id) for copy in copies)


@require_http_methods(["GET", "POST"])
def image_newer(request: SignedInRequest, *, pk: int) -> HttpResponse:
    """What registries say of the image's tags; a POST has a worker ask them now, by digest only."""
    image = access.access_image(request.user, pk)
    copies = image_page.image_copies(request.user, image)
    if request.method == "POST":
        if not _may_ask(request, copies):
            raise PermissionDenied(
                _("To ask registries is for people who may pull this image. Ask an admin.")
            )
        remote_tags.tags_ask_now(copies)
        if not request.htmx:
            return redirect("images:image-detail", pk=pk)
    return render(request, "images/_newer.html", {"image": image, **_newer(request, copies)})


def _reveal(request: SignedInRequest, image: Image, copies: list[Copy]) -> None:
    if not image_page.may_see_secrets(request.user, copies):
        raise PermissionDenied(_("Hidden values are for people who may push this image. Ask an admin."))
    audit.record(by=request.user, action="image.reveal", target=copies[0].name)


@require_GET
def image_inspect(request: SignedInRequest, *, pk: int) -> HttpResponse:
    """The inspect document with the names on each visible host, and without what looks like a secret."""
    image = access.access_image(request.user, pk)
    return _as_json(request, image_page.inspect_document(request.user, image))


@require_GET
def image_history(request: SignedInRequest, *, pk: int) -> HttpResponse:
    """The history as a document, the newest step first, without what looks like a secret."""
    image = access.access_image(request.user, pk)
    return _as_json(request, image_page.history_document(image))


def _as_json(request: SignedInRequest, document: Any) -> HttpResponse:
    """The document by itself, or as a fragment of the page."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    if request.htmx:
        return render(request, "images/_inspect.html", {"text": text})
    return HttpResponse(text, content_type="application/json")
