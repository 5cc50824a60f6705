"""What a plan could not know, in sentences that name the hosts."""

from typing import Any

import pytest

from cleanup.models import HostPlan, Plan
from cleanup.unknowns import NAMES_SHOWN, plan_unknowns
from images.models import Host, HostGroup, HostState, User
from tests import factories
from tests.cleanup import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> User:
    return factories.make_admin()


def plan_for(*hosts: Host, kind: str = "unused_for") -> Plan:
    rule = {"kind": kind, "effect": "delete", "parameters": {}}
    plan = rows.make_plan(rows.make_policy(), rules=[rule])
    HostPlan.objects.bulk_create(HostPlan(plan=plan, host=host) for host in hosts)
    return plan


def test_nothing_is_said_where_all_is_known(admin: User) -> None:
    assert plan_unknowns(admin, plan_for(factories.make_host(), factories.make_host())) == []
    assert plan_unknowns(admin, plan_for()) == []


@pytest.mark.parametrize(
    ("fields", "begins"),
    [
        ({"state": HostState.OFFLINE}, "Offline now"),
        ({"use_known_since": None}, "Last use is not known"),
        ({"is_estimate": True}, "The engine tells sizes only roughly"),
    ],
)
def test_each_unknown_is_one_sentence_with_its_hosts(
    admin: User, fields: dict[str, Any], begins: str
) -> None:
    well = factories.make_host("well")
    plan = plan_for(factories.make_host("zeta", **fields), well, factories.make_host("alpha", **fields))
    (sentence,) = plan_unknowns(admin, plan)
    assert sentence.startswith(begins)
    assert sentence.endswith(": alpha, zeta.")


def test_use_is_not_missed_where_no_rule_asks_for_it(admin: User) -> None:
    assert plan_unknowns(admin, plan_for(factories.make_host(use_known_since=None), kind="dangling")) == []


def test_hosts_that_are_left_out_have_their_own_words(admin: User) -> None:
    plan = plan_for(factories.make_host(is_estimate=True))
    plan.host_plans.update(warning="host_disabled")
    assert plan_unknowns(admin, plan) == []
    plan.host_plans.update(warning="host_offline")
    (sentence,) = plan_unknowns(admin, plan)
    assert sentence.startswith("Left out, so nothing goes there now, and this does not show what would: ")


def test_host_with_several_unknowns_is_in_each_sentence(admin: User) -> None:
    host = factories.make_host("bad", state=HostState.OFFLINE, use_known_since=None, is_estimate=True)
    sentences = plan_unknowns(admin, plan_for(host))
    assert len(sentences) == 3
    assert all(sentence.endswith(": bad.") for sentence in sentences)


def test_many_hosts_are_named_in_part_and_counted(admin: User) -> None:
    hosts = [factories.make_host(f"h{number:02}", is_estimate=True) for number in range(NAMES_SHOWN + 3)]
    (sentence,) = plan_unknowns(admin, plan_for(*hosts))
    assert sentence.endswith(f"h{NAMES_SHOWN - 1:02}, and 3 more.")
    assert f"h{NAMES_SHOWN:02}" not in sentence
    (shorter,) = plan_unknowns(admin, plan_for(*hosts[:NAMES_SHOWN]))
    assert "more" not in shorter


def test_hosts_one_may_not_see_are_neither_named_nor_counted() -> None:
    group = HostGroup.objects.create(name="ci")
    user = factories.make_user()
    factories.grant(user, "viewer", group)
    seen = factories.make_host("runner", groups=(group,), is_estimate=True)
    hidden = [factories.make_host(f"vault{n}", is_estimate=True) for n in range(NAMES_SHOWN + 1)]
    (sentence,) = plan_unknowns(user, plan_for(seen, *hidden))
    assert sentence.endswith(": runner.")
    assert plan_unknowns(user, plan_for(*hidden)) == []


def test_percent_in_a_name_is_only_a_percent(admin: User) -> None:
    (sentence,) = plan_unknowns(admin, plan_for(factories.make_host("100%(s)s", is_estimate=True)))
    assert sentence.endswith(": 100%(s)s.")


def test_hosts_of_another_plan_are_not_its_business(admin: User) -> None:
    plan_for(factories.make_host(is_estimate=True))
    assert plan_unknowns(admin, plan_for(factories.make_host())) == []
