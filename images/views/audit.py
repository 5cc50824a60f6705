"""The audit log: who did what, where, when, and whether it worked."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from images.forms.audit import AuditFilterForm
from images.forms.base import row_number
from images.models import AuditEntry
from images.views.requests import SignedInRequest

PAGE_SIZE = 50


@require_safe
def audit_list(request: SignedInRequest) -> HttpResponse:
    user = request.user
    form = AuditFilterForm(request.GET, user=user)
    entries = form.filter(AuditEntry.objects.visible_to(user).select_related("actor", "host"))
    # By id, not by page number: the log grows while one reads, and a late page costs no more.
    if before := row_number(request.GET.get("before", "")):
        entries = entries.filter(pk__lt=before)
    page = list(entries[: PAGE_SIZE + 1])
    older = page[PAGE_SIZE - 1].pk if len(page) > PAGE_SIZE else None
    context = {
        "form": form,
        "entries": page[:PAGE_SIZE],
        "older": older,
        "is_filtered": any(request.GET.values()),
    }
    return render(request, "images/audit_list.html", context)
