"""Everything unused on one host: the same preview, guards and record as a policy's, without a policy in the list."""

from typing import Any
from unittest import mock

import pytest
from django.test import Client
from django.utils import timezone

from cleanup import access, policies
from cleanup.models import Plan, Policy, Run
from cleanup.planning import plan_carry_out
from cleanup.prunes import prune_plan
from cleanup.runs import run_start
from images.models import Copy, Host, HostGroup, Job, Pin, User
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet() -> Any:
    with mock.patch.object(policies, "wake"):
        yield


@pytest.fixture
def host() -> Host:
    return factories.make_host("ci-1", groups=(HostGroup.objects.create(name="ci"),))


@pytest.fixture
def ada(host: Host) -> User:
    ada = factories.make_user("ada")
    factories.grant(ada, "maintainer", host.groups.get())
    return ada


def planned(ada: User, host: Host, kind: str) -> Plan:
    plan = prune_plan(by=ada, host=host, kind=kind)
    plan_carry_out(plan.pk)
    return Plan.objects.get(pk=plan.pk)


def going(plan: Plan) -> set[str]:
    return set(plan.host_plans.values_list("items__name", flat=True)) - {None}


def stays(plan: Plan) -> dict[str, str]:
    return dict(plan.host_plans.values_list("survivors__name", "survivors__reason_code"))


@pytest.fixture
def copies(host: Host) -> dict[str, Copy]:
    return {
        "dangling": factories.make_copy(host, engine_id="sha256:" + "d" * 64),
        "unused": factories.make_copy(host, "shop/api:1"),
        "used": factories.make_copy(host, "shop/web:1", container_count=1),
        "pinned": factories.make_copy(host, "shop/base:1"),
    }


def test_everything_unused_goes_but_what_a_guard_holds(
    ada: User, host: Host, copies: dict[str, Copy]
) -> None:
    Pin.objects.create(image=copies["pinned"].image, host=host, reason="ours")
    factories.make_copy(factories.make_host(), "elsewhere:1")
    plan = planned(ada, host, "unused")
    assert going(plan) == {"shop/api:1", "d" * 12}
    assert stays(plan) == {"shop/web:1": "in_use", "shop/base:1": "pinned"}
    assert plan.promised_bytes == 2000


def test_dangling_alone_leaves_what_has_a_tag(ada: User, host: Host, copies: dict[str, Copy]) -> None:
    assert going(planned(ada, host, "dangling")) == {"d" * 12}


def test_it_runs_like_a_policy_and_is_remembered(ada: User, host: Host, copies: dict[str, Copy]) -> None:
    run = run_start(by=ada, plan=planned(ada, host, "unused"))
    job = Job.objects.get(host_run__run=run)
    assert (job.kind, job.subject) == ("cleanup", "docker image prune -a: ci-1")


def test_second_prune_of_a_host_uses_the_same_policy(ada: User, host: Host) -> None:
    plans = [prune_plan(by=ada, host=host, kind=kind) for kind in ("unused", "unused", "dangling")]
    assert [plan.policy_id == plans[0].policy_id for plan in plans] == [True, True, False]
    other = factories.make_host("ci-1b")
    Host.objects.filter(pk=host.pk).update(name="renamed")
    Host.objects.filter(pk=other.pk).update(name="ci-1")
    other.refresh_from_db()
    again = prune_plan(by=ada, host=other, kind="unused")
    assert list(again.policy.hosts.all()) == [other]


def test_it_never_runs_by_itself_and_is_no_policy_in_a_list(
    client: Client, ada: User, host: Host, copies: dict[str, Copy]
) -> None:
    plan = planned(ada, host, "unused")
    assert not Policy.objects.filter(is_enabled=True).exists()
    assert access.listed_policies(ada).count() == 0
    client.force_login(ada)
    for url in ("/cleanup/policies/", "/cleanup/runs/", "/cleanup/fragments/overview/"):
        assert "docker image prune" not in client.get(url).content.decode()
    for part in ("", "edit/", "remove/"):
        assert client.get(f"/cleanup/policies/{plan.policy_id}/{part}").status_code == 404
    assert client.post(f"/cleanup/policies/{plan.policy_id}/switch/").status_code == 404


def test_entry_on_the_hosts_page_leads_to_the_preview(
    client: Client, ada: User, host: Host, copies: dict[str, Copy]
) -> None:
    client.force_login(ada)
    url = f"/cleanup/hosts/{host.pk}/prune/unused/"
    assert f'action="{url}"' in client.get(f"/cleanup/fragments/host/{host.pk}/runs/").content.decode()
    response = client.post(url)
    plan = Plan.objects.get()
    assert response.headers["Location"] == f"/cleanup/plans/{plan.pk}/"
    plan_carry_out(plan.pk)
    text = client.get(f"/cleanup/plans/{plan.pk}/").content.decode()
    assert "docker image prune -a: ci-1" in text
    assert "No container uses it." in text
    assert "Run now: remove 3 images" in text
    assert f'href="/hosts/{host.pk}/"' in text
    assert f'/policies/{plan.policy_id}/"' not in text
    assert "schedule" not in text.lower()
    client.post(f"/cleanup/plans/{plan.pk}/run/")
    run = Run.objects.get()
    assert (
        client.get(f"/cleanup/runs/{run.pk}/").status_code == client.get("/cleanup/runs/").status_code == 200
    )
    # A new preview of the same may be asked for from an expired one.
    assert client.post(f"/cleanup/policies/{plan.policy_id}/preview/").status_code == 302


def test_it_needs_the_permission_to_run_cleanup(client: Client, host: Host) -> None:
    vera = factories.make_user("vera")
    factories.grant(vera, "viewer", host.groups.get())
    client.force_login(vera)
    assert "prune" not in client.get(f"/cleanup/fragments/host/{host.pk}/runs/").content.decode()
    assert client.post(f"/cleanup/hosts/{host.pk}/prune/unused/").status_code == 403
    assert client.post(f"/cleanup/hosts/{host.pk}/prune/everything/").status_code == 403
    assert not Plan.objects.exists()


def test_unknown_kind_is_404(client: Client, ada: User, host: Host) -> None:
    client.force_login(ada)
    assert client.post(f"/cleanup/hosts/{host.pk}/prune/everything/").status_code == 404


def test_paused_cleanup_holds_a_prune_too(ada: User, host: Host, copies: dict[str, Copy]) -> None:
    plan = planned(ada, host, "unused")
    policies.cleanup_pause(by=ada, is_paused=True)
    from images.errors import UserError

    with pytest.raises(UserError, match="paused"):
        run_start(by=ada, plan=plan)
    assert timezone.now() < (plan.expires_at or timezone.now())
