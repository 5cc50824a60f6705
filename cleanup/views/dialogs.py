"""Dialogs: a fragment for htmx, a page of its own without a script."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render

from images.views.requests import SignedInRequest


def dialog(request: SignedInRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    """Renders `cleanup/<name>.html`, or only its partial of the same name."""
    template = f"cleanup/{name}.html"
    return render(request, f"{template}#{name}" if request.htmx else template, context)
