"""Forms and questions in a dialog. Without script the same address serves them as a page."""

from typing import Any

from django.forms import Form
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django_htmx.http import HttpResponseClientRedirect, HttpResponseClientRefresh

from images.errors import UserError, explain
from images.views.requests import SignedInRequest


def dialog(
    request: SignedInRequest,
    *,
    title: str,
    submit: str,
    form: Form | None = None,
    error: UserError | None = None,
    **context: Any,
) -> HttpResponse:
    """A form or a question: `text` and `points` above the form, `danger` for what can not be taken back.

    `back` is where the page without script leads when one thinks better of it; `dismiss` is what that button
    says where "Cancel" could be taken for the answer.
    """
    context |= {"title": title, "submit": submit, "form": form}
    if error is not None:
        context["error"] = explain(error.code, error.values, error.raw)
    # An unsuccessful form is a 200: htmx puts only successful answers into the page.
    template = "components/dialog.html" if request.htmx else "components/dialog_page.html"
    return render(request, template, context)


def own_dialog(request: SignedInRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """A dialog that has a template of its own: a page, and in it the dialog as the partial named like the file."""
    partial = template.rpartition("/")[2].removesuffix(".html")
    return render(request, f"{template}#{partial}" if request.htmx else template, context)


def go_to(request: SignedInRequest, url: str) -> HttpResponse:
    """Leads the whole page somewhere, from a dialog as from a plain form."""
    return HttpResponseClientRedirect(url) if request.htmx else HttpResponseRedirect(url)


def shown_again(request: SignedInRequest, otherwise: str) -> HttpResponse:
    """After a dialog: the page below it anew; without a script the page `otherwise`."""
    return HttpResponseClientRefresh() if request.htmx else HttpResponseRedirect(otherwise)
