"""Trying an address before or after a host is saved: a row that a worker fills in."""

import logging
import traceback
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone
from docker.errors import APIError

from images.claims import claimed
from images.engine import read, ssh
from images.engine.client import Connection, open_engine
from images.errors import UserError
from images.jobs.life import wake
from images.live import progress
from images.models import CheckState, HostCheck, User

logger = logging.getLogger(__name__)

CLAIM_SECONDS = 60.0  # longer than a check takes
ASKED_FOR = timedelta(minutes=10)
CHECKS_KEPT = timedelta(days=1)


def address_check_start(*, by: User | None, connection: Connection) -> HostCheck:
    """Has a worker try an address; the page asks for the row until it has ended."""
    with transaction.atomic():
        check = HostCheck.objects.create(
            created_by=by,
            address=connection.address,
            use_tls=connection.use_tls,
            tls_ca=connection.ca,
            tls_certificate=connection.certificate,
            tls_key=connection.key,
            ssh_key=connection.ssh_key,
            ssh_host_key=connection.ssh_host_key,
        )
        transaction.on_commit(lambda: wake("images.tasks.check_address", check.pk))
    return check


def address_check_carry_out(check_id: int) -> None:
    """Tries the address of a waiting check and writes what came of it; the key is forgotten then."""
    with claimed(f"check {check_id}", CLAIM_SECONDS) as is_mine:
        check = HostCheck.objects.filter(pk=check_id, state=CheckState.WAITING).first()
        if check is not None and is_mine:
            _carry_out(check)


def _carry_out(check: HostCheck) -> None:
    tls = (check.use_tls, check.tls_ca, check.tls_certificate, check.tls_key)
    wanted = Connection(check.address, *tls, check.ssh_key, check.ssh_host_key)
    try:
        if wanted.route:
            wanted = _met(check, wanted)
        with open_engine(wanted, timeout_seconds=10, reach_seconds=5) as engine:
            check.result |= asdict(read.info(engine))
        check.state = CheckState.REACHED
    except Exception as error:  # noqa: BLE001 - a check that never ended would wait for ever and keep its key
        problem = _problem_of_check(check, error)
        check.state, check.error_code = CheckState.FAILED, problem.code
        check.error_values, check.error_raw = problem.values, problem.raw[:4000]
    check.tls_key, check.ssh_key, check.ended_at = "", "", timezone.now()
    check.save()
    progress.publish(f"check:{check.pk}", host_id=None)


def _problem_of_check(check: HostCheck, error: Exception) -> UserError:
    if isinstance(error, UserError):
        return error
    if isinstance(error, APIError):
        return UserError("host_refused_info", address=check.address, raw=str(error))
    # Without the message, which may hold the key that was tried.
    trace = "".join(traceback.format_tb(error.__traceback__))
    logger.error("The check of %s failed: %s\n%s", check.address, type(error).__name__, trace)
    return UserError("unexpected", raw=type(error).__name__)


def _met(check: HostCheck, wanted: Connection) -> Connection:
    """Notes the host key that is shown there, and tries the way with that one where none is confirmed yet."""
    found = ssh.scan(check.address, expected=check.ssh_host_key)
    check.result = {"ssh_host_key": f"{found.type} {found.body}"}
    if check.ssh_host_key:
        ssh.check_same(check.address, check.ssh_host_key, found)
    return replace(wanted, ssh_host_key=check.result["ssh_host_key"])


def checks_again(now: datetime) -> int:
    """Wakes a worker again for checks whose message was lost, or whose worker died, while somebody may wait."""
    asked = HostCheck.objects.filter(state=CheckState.WAITING, created_at__gt=now - ASKED_FOR)
    return sum(wake("images.tasks.check_address", pk) for pk in asked.values_list("pk", flat=True))


def checks_forget(now: datetime) -> int:
    """Deletes old checks; a key that no worker came for does not stay."""
    return HostCheck.objects.filter(created_at__lt=now - CHECKS_KEPT).delete()[0]
