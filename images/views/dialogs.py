"""Forms and questions in a dialog. Without script the same address serves them as a page."""

from typing import Any

from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from images.errors import UserError, explain


def dialog(
    request: HttpRequest,
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
    is_fragment = request.headers.get("HX-Request") == "true"
    return render(
        request, "components/dialog.html" if is_fragment else "components/dialog_page.html", context
    )


def go_to(request: HttpRequest, url: str) -> HttpResponse:
    """Leads the whole page somewhere, from a dialog as from a plain form."""
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)
