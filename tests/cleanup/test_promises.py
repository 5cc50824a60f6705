"""A promise is exact, a range or "up to": every page says it as it is."""

from collections.abc import Callable

import pytest
from django.test import Client

from cleanup.models import Plan, Run, RunState
from images.models import Host
from images.promises import Promise
from tests import factories
from tests.cleanup import rows
from tests.cleanup.pages import words_of

pytestmark = pytest.mark.django_db

EXACT, RANGE, UP_TO = Promise(3000, 3000), Promise(1000, 3000), Promise(3000, 3000, is_up_to=True)
WORDS = [
    pytest.param(EXACT, "3.00 kB", id="exact"),
    pytest.param(RANGE, "1.00 kB to 3.00 kB", id="range"),
    pytest.param(UP_TO, "up to 3.00 kB", id="up to"),
]


@pytest.fixture(autouse=True)
def _signed_in(client: Client) -> None:
    user = factories.make_user()
    factories.grant(user, "maintainer")
    client.force_login(user)


def planned(host: Host, promise: Promise) -> Plan:
    plan = rows.make_plan(rows.make_policy("Nightly", hosts=[host]))
    rows.add_host(
        plan,
        host,
        promised_bytes=promise.low,
        promised_bytes_high=promise.high,
        is_up_to=promise.is_up_to,
    )
    return plan


def ended(host: Host, promise: Promise, freed: int | None = 2000) -> Run:
    run = rows.make_run(planned(host, promise), RunState.SUCCEEDED, freed_bytes=freed)
    run.host_runs.update(freed_bytes=freed)
    return run


@pytest.mark.parametrize(
    ("promise", "least", "most"), [(EXACT, 3000, 3000), (RANGE, 1000, 3000), (UP_TO, 0, 3000)]
)
def test_promise_is_kept_by_what_lies_within_it(promise: Promise, least: int, most: int) -> None:
    assert (promise.is_kept(least), promise.is_kept(most)) == (True, True)
    assert (promise.is_kept(least - 1), promise.is_kept(most + 1)) == (False, False)


BEFORE: dict[str, Callable[[Plan], tuple[int, ...]]] = {
    "plan-detail: which frees {}.": lambda plan: (plan.pk,),
    "plan-detail: 1 image would go, frees {} ": lambda plan: (plan.pk,),
    "plan-detail: Run now: remove 1 image, free {} ": lambda plan: (plan.pk,),
    "plan-run: This frees {}.": lambda plan: (plan.pk,),
    "plan-run: Cancel Remove 1 image, free {}": lambda plan: (plan.pk,),
    "policy-detail: 1 image, {} ": lambda plan: (plan.policy_id,),
}
AFTER: dict[str, Callable[[Run], tuple[int, ...]]] = {
    "run-list: |{}|2.00 kB|": lambda run: (),
    "run-detail: Promised {} 1 image": lambda run: (run.pk,),
    "run-detail: promised {}, freed 2.00 kB": lambda run: (run.pk,),
    "run-host: promised {}, freed 2.00 kB": lambda run: (run.pk, run.host_runs.get().host_id),
    "policy-detail: |{}|2.00 kB|": lambda run: (run.policy_id,),
    "policy-list: promised {}, freed 2.00 kB": lambda run: (),
    "host-runs: |{}|2.00 kB|": lambda run: (run.host_runs.get().host_id,),
    "overview-fragment: promised {}, freed 2.00 kB in 1 run|": lambda run: (),
}


@pytest.mark.parametrize(("promise", "words"), WORDS)
@pytest.mark.parametrize("place", BEFORE)
def test_promise_is_said_before_a_run(
    client: Client, host: Host, place: str, promise: Promise, words: str
) -> None:
    page, _, sentence = place.partition(": ")
    assert sentence.format(words) in words_of(client, page, *BEFORE[place](planned(host, promise)))


@pytest.mark.parametrize(("promise", "words"), WORDS)
@pytest.mark.parametrize("place", AFTER)
def test_promise_is_said_after_a_run(
    client: Client, host: Host, place: str, promise: Promise, words: str
) -> None:
    page, _, sentence = place.partition(": ")
    assert sentence.format(words) in words_of(client, page, *AFTER[place](ended(host, promise)))


@pytest.mark.parametrize(("promise", "words"), WORDS)
def test_run_that_waits_says_its_promise_where_it_is_approved(
    client: Client, host: Host, promise: Promise, words: str
) -> None:
    run = rows.make_run(planned(host, promise), RunState.WAITING, waiting_reason="limit")
    assert f"Approve: remove 1 image, free {words} " in words_of(client, "run-detail", run.pk)


@pytest.mark.parametrize(("promise", "words"), WORDS)
def test_what_could_not_be_measured_is_said_with_its_promise(
    client: Client, host: Host, promise: Promise, words: str
) -> None:
    run = ended(host, promise, freed=None)
    assert f"promised {words}, not measured" in words_of(client, "run-host", run.pk, host.pk)
    assert f"promised {words}, not measured" in words_of(client, "policy-list")
    overview = words_of(client, "overview-fragment")
    assert f"Left out, because not measured: 1 host, promised {words}." in overview
    assert "freed" not in overview
    assert "no run had anything" not in overview
    Run.objects.filter(pk=run.pk).update(freed_bytes=0)  # another host was measured
    page = words_of(client, "run-detail", run.pk)
    assert f"1 host could not be measured; {words} of the promise were theirs." in page


@pytest.mark.parametrize(("promise", "words"), WORDS)
def test_run_under_way_says_its_promise_alone(
    client: Client, host: Host, promise: Promise, words: str
) -> None:
    run = rows.make_run(planned(host, promise), RunState.RUNNING)
    for page in (words_of(client, "run-host", run.pk, host.pk), words_of(client, "policy-list")):
        assert f"promised {words}" in page
        assert "freed" not in page
        assert "not measured" not in page


@pytest.mark.parametrize(
    ("promise", "freed", "note"),
    [
        (EXACT, 3000, "Exactly what was promised."),
        (EXACT, 2000, "As the engines measured it."),
        (RANGE, 2000, "Within what was promised."),
        (RANGE, 4000, "As the engines measured it."),
        (UP_TO, 2000, "Within what was promised."),
        (UP_TO, 3000, "Within what was promised."),
        (UP_TO, 4000, "As the engines measured it."),
    ],
)
def test_run_says_whether_its_promise_was_kept(
    client: Client, host: Host, promise: Promise, freed: int, note: str
) -> None:
    notes = ("Exactly what was promised.", "Within what was promised.", "As the engines measured it.")
    page = words_of(client, "run-detail", ended(host, promise, freed).pk)
    assert [each for each in notes if each in page] == [note]


def test_host_says_how_often_a_promise_of_each_kind_was_kept(client: Client, host: Host) -> None:
    for promise in (EXACT, RANGE, UP_TO):
        policy = ended(host, promise).policy
        policy.name = f"Nightly {policy.pk}"
        policy.save()
    assert "2 of 3 freed what was promised" in words_of(client, "host-runs", host.pk)


@pytest.mark.parametrize(
    ("promise", "at_most"), [(EXACT, False), (RANGE, True), (UP_TO, True)], ids=["exact", "range", "up to"]
)
def test_part_of_one_image_is_a_bound_where_the_promise_is_not_exact(
    client: Client, host: Host, promise: Promise, at_most: bool
) -> None:
    run = ended(host, promise)
    plan_part = words_of(client, "plan-part", run.plan_id, host.pk, "removed")
    assert ("|Frees at most|" if at_most else "|Frees|") in plan_part
    run_items = words_of(client, "run-items", run.pk, host.pk)
    assert ("|Promised at most|" if at_most else "|Promised|") in run_items


def test_run_without_a_made_plan_promises_nothing_yet(client: Client, host: Host) -> None:
    plan = planned(host, EXACT)
    plan.state = "making"
    plan.save()
    run = rows.make_run(plan, RunState.PLANNING)
    assert run.promise is None
    assert "The plan is being made." in words_of(client, "run-detail", run.pk)
    assert "3.00 kB" not in words_of(client, "run-list")
