"""Hosts: the list, a host's page, adding, editing, checking, removing."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from images import access
from images.engine.client import Connection
from images.errors import UserError, explain
from images.fleet.listing import rows_of
from images.forms.base import row_number
from images.forms.hosts import ConnectionForm, HostFilterForm, HostForm
from images.forms.ssh import made
from images.hosts import changes, freshness, identity
from images.hosts.checks import address_check_start
from images.jobs import queue
from images.models import Copy, Host, HostCheck, Job, Permission, User
from images.models.host import CheckState
from images.ssh_keys import new_private_key
from images.templatetags.drydock_people import engine_name
from images.views.dialogs import dialog, go_to
from images.views.requests import SignedInRequest, is_fragment

_form_methods = require_http_methods(["GET", "HEAD", "POST"])
_secret = sensitive_post_parameters("tls_key", "ssh_key", "ssh_made_key")
LARGEST_SHOWN = JOBS_SHOWN = 8
# A waiting check is taken up at once by an idle worker.
_SLOW = timedelta(seconds=15)
_HEAVY = ("tls_ca", "tls_certificate", "tls_key", "ssh_key", "ssh_host_key", "error_raw")


@require_safe
def host_list(request: SignedInRequest) -> HttpResponse:
    user = request.user
    form = HostFilterForm(request.GET, user=user)
    groups = Prefetch("groups", access.groups_for(user, Permission.VIEW))
    hosts = form.filter(Host.objects.visible_to(user)).defer(*_HEAVY).prefetch_related(groups)
    context = {"form": form, "hosts": hosts, "is_filtered": any(request.GET.values())}
    template = "images/host_list.html#hosts" if is_fragment(request) else "images/host_list.html"
    return render(request, template, context)


@_secret
@_form_methods
def host_add(request: SignedInRequest) -> HttpResponse:
    user = request.user
    access.access_everywhere(user, Permission.MANAGE_HOST)
    form = HostForm(request.POST or None, request.FILES or None, user=user)
    if request.method == "POST" and form.is_valid():
        try:
            host = changes.host_add(by=user, **form.values())
            messages.success(
                request, _("%(host)s was added. Its first picture is being taken.") % {"host": host}
            )
            return redirect("images:host-detail", pk=host.pk)
        except UserError as error:
            form.add_error("name", str(error))
    return render(request, "images/host_form.html", {"form": form, "host": None, "may_confirm": True})


@_secret
@_form_methods
def host_edit(request: SignedInRequest, *, pk: int) -> HttpResponse:
    user = request.user
    host = access.access_host(user, pk, Permission.MANAGE_HOST)
    form = HostForm(request.POST or None, request.FILES or None, user=user, host=host)
    if request.method == "POST" and form.is_valid():
        try:
            changes.host_edit(by=user, host=host, **form.values())
            messages.success(request, _("%(host)s was saved.") % {"host": form.cleaned_data["name"]})
            return redirect("images:host-detail", pk=pk)
        except UserError as error:
            form.add_error("name", str(error))
    context = {"form": form, "host": host, "may_confirm": _may_confirm(user)}
    return render(request, "images/host_form.html", context)


@_secret
@require_POST
def host_check_address(request: SignedInRequest) -> HttpResponse:
    """Tries what stands in the form, before it is saved; of a host that exists, with its stored key."""
    user, host = request.user, None
    if pk := row_number(request.GET.get("host", "")):
        host = access.access_host(user, pk, Permission.MANAGE_HOST)
    else:
        access.access_everywhere(user, Permission.MANAGE_HOST)
    form = ConnectionForm(request.POST, request.FILES, user=user, host=host)
    if not form.is_valid():
        return render(request, "images/_host_check.html", {"form": form})
    check = address_check_start(by=user, connection=_connection(form.cleaned_data))
    return render(request, "images/_host_check.html", _check_context(user, check, host, in_form=True))


@require_POST
def host_make_key(request: SignedInRequest) -> HttpResponse:
    """A new key for ssh: shows its public half; the private one goes along under seal until the host is saved."""
    access.access_everywhere(request.user, Permission.MANAGE_HOST)
    key = made(new_private_key(), request.POST.get("address", ""))
    return render(request, "images/_host_made_key.html", {"key": key})


def _connection(data: dict[str, Any]) -> Connection:
    return Connection(
        address=data["address"],
        use_tls=data["use_tls"],
        ca=data["tls_ca"],
        certificate=data["tls_certificate"],
        key=data["tls_key"],
        ssh_key=data["ssh_key"],
        ssh_host_key=data["ssh_host_key"],
    )


def _may_confirm(user: User) -> bool:
    """Another key may be another machine: that is adding a host, and needs the right to add one."""
    return access.can_everywhere(user, Permission.MANAGE_HOST)


def _check_context(
    user: User, check: HostCheck, host: Host | None, *, in_form: bool = False
) -> dict[str, Any]:
    """`in_form`: the result stands in the form of a host, where a key that was found can be confirmed."""
    result, own = check.result, [host.pk] if host else []
    found = result.get("ssh_host_key", "")
    engine_id, root_directory = result.get("engine_id", ""), result.get("root_directory", "")
    same = identity.hosts_at(address=check.address, engine_id=engine_id, root_directory=root_directory)
    same = access.restrict_hosts(same, user, Permission.VIEW)
    facts = Host(engine_kind=result.get("engine_kind", ""), engine_version=result.get("engine_version", ""))
    return {
        "check": check,
        "host": host,
        "engine": engine_name(facts),
        "twins": same.exclude(pk__in=own) if check.state == CheckState.REACHED else (),
        "in_form": in_form,
        "may_confirm": in_form and found != check.ssh_host_key and _may_confirm(user),
        "found_key": found,
        "is_known_key": found == check.ssh_host_key,
        "is_other_key": check.ssh_host_key not in {"", found},
        "is_plain": check.address.startswith("tcp:") and not check.use_tls,
        "is_slow": timezone.now() - check.created_at > _SLOW,
        "problem": explain(check.error_code, check.error_values, check.error_raw),
    }


@require_POST
def host_check(request: SignedInRequest, *, pk: int) -> HttpResponse:
    """Tries a saved host as it is."""
    user = request.user
    host = access.access_host(user, pk, Permission.MANAGE_HOST)
    check = address_check_start(by=user, connection=Connection.of(host))
    return render(request, "images/_host_check.html", _check_context(user, check, host))


@require_safe
def host_check_result(request: SignedInRequest, *, pk: int) -> HttpResponse:
    """What the worker found out; asked for again until it has. A check is its starter's alone."""
    user = request.user
    check = access.access_host_check(user, pk)
    host = row_number(request.GET.get("host", ""))
    known = access.access_host(user, host) if host else None
    context = _check_context(user, check, known, in_form=request.GET.get("form") == "1")
    return render(request, "images/_host_check.html", context)


@require_safe
def host_detail(request: SignedInRequest, *, pk: int) -> HttpResponse:
    user = request.user
    host = access.access_host(user, pk)
    jobs = list(_jobs_of(user, host)[:JOBS_SHOWN])
    context = {
        "host": host,
        "groups": access.groups_for(user, Permission.VIEW).filter(hosts=host),
        "last_error": explain(host.error_code, freshness.error_values(host), host.error_raw)
        if host.error_code
        else None,
        "twins": access.restrict_hosts(identity.hosts_like(host), user, Permission.VIEW),
        "jobs": jobs,
        "copies": _largest(host),
    } | queue.waits(jobs, user)
    template = "images/host_detail.html#live" if is_fragment(request) else "images/host_detail.html"
    return render(request, template, context)


def _jobs_of(user: User, host: Host) -> QuerySet[Job]:
    """With the copies that are made from it, which take a place here as well."""
    jobs = Job.objects.visible_to(user).at(host.pk).running_first()
    return jobs.select_related("host", "created_by")


def _largest(host: Host) -> list[Copy]:
    """The copies whose removal would free most."""
    copies = Copy.objects.filter(host=host, is_intermediate=False)
    return rows_of(list(copies.order_by("-own_bytes", "pk").values_list("pk", flat=True)[:LARGEST_SHOWN]))


@require_POST
def host_refresh(request: SignedInRequest, *, pk: int) -> HttpResponse:
    user = request.user
    host = access.access_host(user, pk)
    try:
        freshness.host_refresh(by=user, host=host)
        messages.success(request, _("Drydock is taking a new picture of %(host)s.") % {"host": host})
    except UserError as error:
        messages.error(request, str(error))
    return redirect("images:host-detail", pk=pk)


@require_POST
def host_switch(request: SignedInRequest, *, pk: int) -> HttpResponse:
    user = request.user
    host = access.access_host(user, pk, Permission.MANAGE_HOST)
    changes.host_switch(by=user, host=host, is_enabled=bool(request.POST.get("is_enabled")))
    text = _("%(host)s is switched on.") if host.is_enabled else _("%(host)s is switched off.")
    messages.success(request, text % {"host": host})
    return redirect("images:host-detail", pk=pk)


@_form_methods
def host_remove(request: SignedInRequest, *, pk: int) -> HttpResponse:
    user = request.user
    host = access.access_host(user, pk, Permission.MANAGE_HOST)
    back, error = reverse("images:host-detail", args=[pk]), None
    if request.method == "POST":
        try:
            changes.host_remove(by=user, host=host)
            messages.success(request, _("%(host)s was removed from Drydock.") % {"host": host})
            return go_to(request, reverse("images:host-list"))
        except UserError as problem:
            error = problem
    title = _("Remove %(host)s from Drydock?") % {"host": host}
    text = _("Nothing on that machine is touched: images, containers and engine stay. Drydock forgets:")
    return dialog(
        request, title=title, text=text, points=_what_goes(host), submit=_("Remove host"), danger=True,
        error=error, back=back,
    )  # fmt: skip


def _what_goes(host: Host) -> list[str]:
    copies, jobs, pins = host.copies.count(), host.jobs.count(), host.pins.count()
    return [
        ngettext("what it knows of %(n)d image", "what it knows of %(n)d images", copies) % {"n": copies},
        ngettext("%(n)d job with its log", "%(n)d jobs with their logs", jobs) % {"n": jobs},
        ngettext("%(n)d pin on this host", "%(n)d pins on this host", pins) % {"n": pins},
        _("its part in policies, plans and runs"),
        _("its address and certificates"),
    ]
