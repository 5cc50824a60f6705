"""Pins: the list, adding one, removing one."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from images import access, pins
from images.forms.pins import PinFilterForm, PinForm
from images.models import Permission
from images.views.dialogs import own_dialog, shown_again
from images.views.requests import SignedInRequest

PAGE_LENGTH = 50


@require_GET
def pin_list(request: SignedInRequest) -> HttpResponse:
    form = PinFilterForm(request.GET, user=request.user)
    page = Paginator(form.listed(request.user), PAGE_LENGTH).get_page(request.GET.get("page"))
    for pin in page:
        pin.may_remove = pins.may_pin(request.user, pin.host)
    may_pin = access.can_anywhere(request.user, Permission.REMOVE)
    template = (
        "images/pin_list.html#pin_table" if request.htmx.target == "pin_table" else "images/pin_list.html"
    )
    return render(request, template, {"page": page, "form": form, "may_pin": may_pin})


@require_http_methods(["GET", "POST"])
def pin_add(request: SignedInRequest, image_pk: int) -> HttpResponse:
    image = access.access_image(request.user, image_pk)
    initial = {"where": request.GET.get("host", "")}
    form = PinForm(request.POST or None, user=request.user, image=image, initial=initial)
    if not form.has_places:
        raise PermissionDenied(
            _("You may not pin this image: ask an admin for the permission “Remove” on its host.")
        )
    if request.method == "POST" and form.is_valid():
        pins.pin_add(
            by=request.user,
            image=image,
            host=form.host,
            reason=form.cleaned_data["reason"],
            ends_at=form.ends_at,
        )
        messages.success(request, _("The image is pinned: nothing removes it there any more."))
        return shown_again(request, reverse("images:image-detail", args=[image.pk]))
    name = pins.image_name(image, request.user)
    return own_dialog(request, "images/pin_add.html", {"form": form, "image": image, "name": name})


@require_http_methods(["GET", "POST"])
def pin_remove(request: SignedInRequest, pk: int) -> HttpResponse:
    pin = access.access_pin(request.user, pk, Permission.REMOVE)
    if request.method == "POST":
        pins.pin_remove(by=request.user, pin=pin)
        messages.success(request, _("The pin was removed. From now on policies may remove the image again."))
        return shown_again(request, reverse("images:pin-list"))
    return own_dialog(
        request, "images/pin_remove.html", {"pin": pin, "name": pins.image_name(pin.image, request.user)}
    )
