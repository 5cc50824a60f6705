"""One worker at a time for work that is no job."""

from datetime import timedelta
from unittest import mock

import pytest
from django.utils import timezone

from images.accounts import registries
from images.claims import claimed, claims_forget
from images.hosts import checks
from images.models import CheckState, Claim, HostCheck, Registry, Upload, UploadState
from images.transfers import git_looks
from tests import factories

pytestmark = pytest.mark.django_db


def test_second_worker_has_to_leave_it_and_the_next_one_may() -> None:
    with (
        claimed("registry 1", 60) as first,
        claimed("registry 1", 60) as second,
        claimed("registry 2", 60) as other,
    ):
        assert (first, second, other) == (True, False, True)
    with claimed("registry 1", 60) as next_one:
        assert next_one


def test_claim_is_given_back_when_the_work_fails() -> None:
    with pytest.raises(RuntimeError), claimed("registry 1", 60):
        raise RuntimeError
    assert not Claim.objects.exists()


def test_claim_of_a_worker_that_died_runs_out() -> None:
    with claimed("registry 1", 60):
        Claim.objects.update(until=timezone.now() - timedelta(seconds=1))
        with claimed("registry 1", 60) as successor:
            assert successor
    assert not Claim.objects.exists()


def test_claim_that_was_taken_over_is_not_given_back_by_who_lost_it() -> None:
    slow = claimed("registry 1", 60)
    slow.__enter__()
    Claim.objects.update(until=timezone.now() - timedelta(seconds=1))
    with claimed("registry 1", 60):
        slow.__exit__(None, None, None)
        with claimed("registry 1", 60) as third:
            assert not third


def test_old_claims_are_forgotten() -> None:
    slow = claimed("registry 1", 60)
    slow.__enter__()
    now = timezone.now()
    assert claims_forget(now + timedelta(hours=23)) == 0
    assert claims_forget(now + timedelta(hours=25)) == 1


def test_try_of_a_registry_that_another_worker_is_at_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry.objects.create(name="Ours", prefix="registry.example.com")
    opened = mock.Mock(side_effect=RuntimeError)
    monkeypatch.setattr(registries, "open_registry", opened)
    with claimed(f"registry try {registry.pk}", 60):
        registries.registry_try_carry_out(registry.pk)
    assert not opened.called
    registries.registry_try_carry_out(registry.pk)
    registry.refresh_from_db()
    assert (registry.error_code, registry.error_raw) == ("unexpected", "RuntimeError")
    assert registries.registries_retry(timezone.now()) == 0, "it ended, so nobody is woken for it"


def test_worker_is_woken_again_for_a_check_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    woken = mock.Mock(return_value=True)
    monkeypatch.setattr(checks, "wake", woken)
    check = HostCheck.objects.create(address="tcp://10.0.0.1:2375")
    now = timezone.now()
    assert checks.checks_again(now) == 1
    woken.assert_called_with("images.tasks.check_address", check.pk)
    assert checks.checks_again(now + timedelta(minutes=11)) == 0, "nobody waits for it any more"
    with claimed(f"check {check.pk}", 60):
        checks.address_check_carry_out(check.pk)
    check.refresh_from_db()
    assert check.state == CheckState.WAITING, "another worker is at it"
    HostCheck.objects.update(state=CheckState.FAILED)
    assert checks.checks_again(now) == 0


def test_worker_is_woken_again_for_a_look_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    woken = mock.Mock(return_value=True)
    monkeypatch.setattr(git_looks, "wake", woken)
    upload = Upload.objects.create(created_by=factories.make_user(), state=UploadState.FETCHING)
    now = timezone.now()
    assert git_looks.looks_again(now) == 1
    woken.assert_called_with("images.tasks.fetch_repository", str(upload.pk))
    assert git_looks.looks_again(now + timedelta(minutes=16)) == 0
    with claimed(f"git look {upload.pk}", 60):
        git_looks.git_look_carry_out(str(upload.pk))
    upload.refresh_from_db()
    assert upload.state == UploadState.FETCHING
