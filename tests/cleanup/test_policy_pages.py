"""The pages of policies: the list, one policy, the form, the pause switch."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from cleanup import wording
from cleanup.models import CleanupSwitch, Policy, RunState
from cleanup.policies import MAX_RULES
from images.models import Host, HostGroup
from tests import factories
from tests.cleanup import rows
from tests.cleanup.pages import text_of
from tests.pages import signed_in

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def form_data(host: Host, *kinds: str, **data: Any) -> dict[str, Any]:
    """What the form sends for a policy with rules of these kinds, in this order."""
    values: dict[str, Any] = {
        "name": "Nightly",
        "scope": "chosen",
        "hosts": [host.pk],
        "minimum_age_hours": "24",
        "schedule": "0 3 * * *",
        "time_zone": "UTC",
        "is_enabled": "on",
        "rule": [f"r{number}" for number in range(len(kinds))],
    }
    return values | {f"r{number}-kind": kind for number, kind in enumerate(kinds)} | data


def test_form_offers_only_groups_one_may_edit_policies_of(client: Client, group: HostGroup) -> None:
    treasury = HostGroup.objects.create(name="treasury")
    user = signed_in(client, "maintainer", group)
    factories.grant(user, "viewer", treasury)
    page = text_of(client, "policy-add")
    assert "ci" in page
    assert "treasury" not in page


def add(client: Client, data: dict[str, Any]) -> Any:
    return client.post(reverse("cleanup:policy-add"), data)


def test_list_says_rules_schedule_and_last_run(client: Client, host: Host) -> None:
    signed_in(client, "viewer")
    policy = rows.make_policy("Nightly", hosts=[host], schedule="0 3 * * *")
    plan = rows.make_plan(policy)
    rows.add_host(plan, host, removed=2)
    rows.make_run(plan, RunState.SUCCEEDED)
    page = text_of(client, "policy-list")
    assert page.count("rule-effect is-delete") == 1
    assert "runner" in page
    assert "03:00" in page
    assert re.search(r"promised <span[^>]*>2.00 MB</span>, freed <span[^>]*>2.00 MB", page)


def test_list_marks_policies_that_need_a_look_or_are_off(client: Client, host: Host) -> None:
    signed_in(client, "viewer")
    rows.make_policy(hosts=[host], seen_revision=1, is_enabled=False)
    assert "needs a look" not in text_of(client, "policy-list")
    assert "it is switched off" in text_of(client, "policy-list")
    rows.make_policy(hosts=[host])
    assert "needs a look" not in text_of(client, "policy-list"), "what only people start waits for nobody"
    rows.make_policy(hosts=[host], schedule="0 3 * * *")
    assert "needs a look" in text_of(client, "policy-list")


def test_empty_list_offers_to_add_a_policy_to_who_may(client: Client) -> None:
    signed_in(client, "maintainer")
    assert "Add the first policy" in text_of(client, "policy-list")
    signed_in(client, "viewer")
    assert "Add the first policy" not in text_of(client, "policy-list")


def test_policy_for_invisible_hosts_is_not_found(client: Client, host: Host) -> None:
    policy = rows.make_policy(hosts=[host])
    signed_in(client, "maintainer", HostGroup.objects.create(name="other"))
    assert policy.name not in text_of(client, "policy-list")
    assert client.get(reverse("cleanup:policy-detail", args=[policy.pk])).status_code == 404


@pytest.mark.parametrize("name", ["policy-edit", "policy-switch", "policy-remove"])
def test_viewer_can_not_change_a_policy(client: Client, host: Host, name: str) -> None:
    policy = rows.make_policy(hosts=[host])
    signed_in(client, "viewer")
    assert client.post(reverse(f"cleanup:{name}", args=[policy.pk])).status_code == 403
    page = text_of(client, "policy-detail", policy.pk)
    assert reverse(f"cleanup:{name}", args=[policy.pk]) not in page


def test_viewer_can_not_add_a_policy(client: Client) -> None:
    signed_in(client, "viewer")
    assert client.get(reverse("cleanup:policy-add")).status_code == 403


def test_policy_is_added_with_its_rules_in_order(client: Client, host: Host) -> None:
    user = signed_in(client, "maintainer")
    data = form_data(host, "dangling", "unused_for", **{"r1-days": "30"})
    response = add(client, data)
    policy = Policy.objects.get()
    assert response.headers["Location"] == reverse("cleanup:policy-detail", args=[policy.pk])
    assert [rule.kind for rule in policy.rules.all()] == ["dangling", "unused_for"]
    assert (policy.created_by, list(policy.hosts.all()), policy.schedule) == (user, [host], "0 3 * * *")
    assert policy.needs_a_look


def test_limit_is_typed_in_gigabytes(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    add(client, form_data(host, "dangling", limit_gigabytes="1.5"))
    assert Policy.objects.get().limit_bytes == 1_500_000_000


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"name": ""}, "id_name_error"),
        ({"schedule": "every day"}, "id_schedule_error"),
        ({"schedule": "61 * * * *"}, "id_schedule_error"),
        ({"hosts": []}, "id_scope_error"),
        ({"minimum_age_hours": "-1"}, "id_minimum_age_hours_error"),
        ({"limit_items": "0"}, "id_limit_items_error"),
        ({"r1-days": "soon"}, "id_r1-days_error"),
    ],
)
def test_what_is_wrong_stands_next_to_its_field_and_nothing_typed_is_lost(
    client: Client, host: Host, changes: dict[str, Any], place: str
) -> None:
    signed_in(client, "maintainer")
    data = (
        form_data(host, "dangling", "unused_for", description="typed with care", **{"r1-days": "77"})
        | changes
    )
    page = add(client, data).content.decode()
    assert f'id="{place}"' in page
    assert "typed with care" in page
    assert f'value="{changes.get("r1-days", "77")}"' in page
    assert not Policy.objects.exists()


def test_policy_without_a_delete_rule_is_refused(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    assert "Add at least one delete rule" in add(client, form_data(host)).content.decode()
    assert not Policy.objects.exists()


def test_no_rule_beyond_the_most_is_dropped_in_silence(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    labels = {f"r{number}-label": f"keep={number}" for number in range(1, 1 + MAX_RULES)}
    page = add(client, form_data(host, "dangling", *["keep_label"] * MAX_RULES, **labels)).content.decode()
    assert not Policy.objects.exists()
    assert escape(wording.error("too_many_rules", {"detail": MAX_RULES})) in page
    assert f"keep={MAX_RULES}" in page

    add(client, form_data(host, "dangling", *["keep_label"] * (MAX_RULES - 1), **labels))
    assert Policy.objects.get().rules.count() == MAX_RULES


def test_rule_of_a_kind_that_does_not_exist_refuses_the_form(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    assert add(client, form_data(host, "dangling", "keep_everything_dear")).status_code == 400
    assert not Policy.objects.exists()


def test_policy_that_selects_everything_says_so_and_asks(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    everything = {"r0-pattern": "*", "r0-syntax": "glob", "r0-target": "tag"}
    page = add(client, form_data(host, "tag_pattern", **everything)).content.decode()
    assert "These rules select every image" in page
    assert not Policy.objects.exists()
    add(client, form_data(host, "tag_pattern", accepts_all="on", **everything))
    assert Policy.objects.exists()


def test_page_of_a_policy_that_selects_everything_says_so(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    policy = rows.make_policy(hosts=[host])
    assert "These rules select every image" not in text_of(client, "policy-detail", policy.pk)
    parameters = {"pattern": "*", "syntax": "glob", "target": "tag"}
    policy.rules.create(effect="delete", kind="tag_pattern", parameters=parameters, position=1)
    assert "These rules select every image" in text_of(client, "policy-detail", policy.pk)


def test_page_says_when_the_policy_runs_next(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    policy = rows.make_policy(
        hosts=[host], schedule="0 3 * * *", next_run_at=timezone.now() + timedelta(hours=5, minutes=1)
    )
    assert re.search(r"<dt>Next run</dt><dd><time[^>]*>in 5 h", text_of(client, "policy-detail", policy.pk))


def test_second_policy_of_the_same_name_is_refused_with_a_sentence(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    rows.make_policy("Nightly", hosts=[host])
    assert 'id="id_name_error"' in add(client, form_data(host, "dangling")).content.decode()


def test_without_a_script_a_button_adds_a_rule_and_keeps_what_was_typed(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    page = add(client, form_data(host, "unused_for", add="dangling", **{"r0-days": "41"}))
    assert [rule.kind for rule in page.context["form"].delete_rules] == ["unused_for", "dangling"]
    assert 'value="41"' in page.content.decode()
    assert "field-errors" not in page.content.decode()
    assert not Policy.objects.exists()


def test_without_a_script_a_button_takes_a_rule_away(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    page = add(client, form_data(host, "dangling", "unused_for", drop="r0"))
    assert [rule.kind for rule in page.context["form"].delete_rules] == ["unused_for"]


def test_without_a_script_a_preset_fills_in_the_schedule(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    page = add(client, form_data(host, "dangling", preset="0 4 * * 0")).content.decode()
    assert 'value="0 4 * * 0"' in page


def test_every_preset_gives_a_rule_that_can_be_added(client: Client) -> None:
    signed_in(client, "maintainer")
    form = client.get(reverse("cleanup:policy-add")).context["form"]
    for effect, offered in (("delete", form.delete_presets), ("keep", form.keep_presets)):
        for preset in offered:
            url = reverse("cleanup:rule-form", args=[preset.kind])
            response = client.get(url, {"preset": preset.key}, headers=HTMX)
            rule = response.context["rule"]
            assert rule.effect == effect
            assert f'<legend class="rule-legend">{escape(rule.title)}</legend>' in response.content.decode()
            assert set(preset.parameters) <= set(rule.fields), preset.key


def test_unknown_kind_of_rule_is_not_found(client: Client) -> None:
    signed_in(client, "maintainer")
    assert client.get(reverse("cleanup:rule-form", args=["nonsense"])).status_code == 404


def test_schedule_is_explained_while_it_is_typed(client: Client) -> None:
    signed_in(client, "maintainer")
    page = text_of(client, "schedule-explain", schedule="0 3 * * *", time_zone="Europe/Berlin")
    assert page.count("<li>") == 5
    assert "03:00" in page
    assert 'class="field-errors"' in text_of(
        client, "schedule-explain", schedule="0 99 * * *", time_zone="UTC"
    )
    assert 'class="field-errors"' in text_of(
        client, "schedule-explain", schedule="0 3 * * *", time_zone="Mars/One"
    )


def test_editing_shows_what_is_stored_and_asks_for_a_new_look(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    policy = rows.make_policy("Nightly", hosts=[host], seen_revision=1)
    page = client.get(reverse("cleanup:policy-edit", args=[policy.pk]))
    assert [rule.kind for rule in page.context["form"].rules] == ["dangling"]
    data = form_data(host, "dangling", "unused_for", **{"r1-days": "9"})
    client.post(reverse("cleanup:policy-edit", args=[policy.pk]), data)
    policy.refresh_from_db()
    assert policy.needs_a_look
    assert policy.rules.get(kind="unused_for").parameters["days"] == 9


def test_edit_does_not_undo_that_of_somebody_else_unseen(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    policy = rows.make_policy("Nightly", hosts=[host])
    url = reverse("cleanup:policy-edit", args=[policy.pk])
    opened = {"version": client.get(url).context["form"].version}
    client.post(url, form_data(host, "dangling", "keep_label", **opened, **{"r1-label": "keep=yes"}))

    refused = client.post(url, form_data(host, "dangling", name="Mine", **opened))
    assert "Somebody changed this policy meanwhile." in refused.content.decode()
    assert 'value="Mine"' in refused.content.decode()
    assert policy.rules.filter(kind="keep_label").exists()

    client.post(url, form_data(host, "dangling", name="Mine", version=refused.context["form"].version))
    policy.refresh_from_db()
    assert policy.name == "Mine"


def test_adding_a_rule_without_a_script_does_not_hide_an_edit_of_somebody_else(
    client: Client, host: Host
) -> None:
    signed_in(client, "maintainer")
    policy = rows.make_policy("Nightly", hosts=[host])
    url = reverse("cleanup:policy-edit", args=[policy.pk])
    page = client.post(url, form_data(host, "dangling", version="as it was opened", add="unused_for"))
    assert page.context["form"].version == "as it was opened"


def test_policy_is_switched_off_and_on(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    policy = rows.make_policy(hosts=[host])
    url = reverse("cleanup:policy-switch", args=[policy.pk])
    for value, expected in (("", False), ("on", True)):
        client.post(url, {"is_enabled": value})
        policy.refresh_from_db()
        assert policy.is_enabled is expected


def test_removing_a_policy_asks_first_and_says_what_goes_with_it(client: Client, host: Host) -> None:
    signed_in(client, "maintainer")
    policy = rows.make_policy(hosts=[host])
    url = reverse("cleanup:policy-remove", args=[policy.pk])
    assert "<dialog data-open" in client.get(url, headers=HTMX).content.decode()
    client.post(url)
    assert not Policy.objects.exists()


def test_policy_that_needs_a_look_says_so_on_its_page(client: Client, host: Host) -> None:
    signed_in(client, "viewer")
    policy = rows.make_policy(hosts=[host], schedule="0 3 * * *")
    assert "This policy needs a look." in text_of(client, "policy-detail", policy.pk)


def test_one_switch_pauses_and_resumes_all_cleanup(client: Client) -> None:
    user = signed_in(client, "maintainer")
    url = reverse("cleanup:pause")
    client.post(url, {"is_paused": "on", "reason": "Audit week"})
    switch = CleanupSwitch.objects.get()
    assert (switch.is_paused, switch.reason, switch.changed_by) == (True, "Audit week", user)
    page = text_of(client, "policy-list")
    assert "All cleanup is paused." in page
    assert "Audit week" in page
    client.post(url, {"is_paused": ""})
    assert "All cleanup is paused." not in text_of(client, "policy-list")


def test_pausing_needs_a_reason(client: Client) -> None:
    signed_in(client, "maintainer")
    response = client.post(reverse("cleanup:pause"), {"is_paused": "on", "reason": " "})
    assert 'id="id_reason_error"' in response.content.decode()
    assert not CleanupSwitch.objects.filter(is_paused=True).exists()


def test_who_may_not_run_cleanup_everywhere_can_not_pause_it(client: Client, group: HostGroup) -> None:
    signed_in(client, "maintainer", group)
    assert client.post(reverse("cleanup:pause"), {"is_paused": "on", "reason": "x"}).status_code == 403


def test_pages_cost_the_same_queries_whatever_the_number_of_rows(client: Client, host: Host) -> None:
    user = signed_in(client, "maintainer")

    def queries(name: str, *args: Any) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(reverse(f"cleanup:{name}", args=args)).status_code == 200
        return len(captured)

    def grow(policy: Policy) -> None:
        plan = rows.make_plan(policy, by=user)
        rows.add_host(plan, host)
        rows.make_run(plan, RunState.SUCCEEDED, by=factories.make_user())

    policy = rows.make_policy(hosts=[host])
    grow(policy)
    before = queries("policy-list"), queries("policy-detail", policy.pk)
    for _ in range(4):
        grow(rows.make_policy(hosts=[host, factories.make_host()], groups=list(HostGroup.objects.all())))
        grow(policy)
    assert (queries("policy-list"), queries("policy-detail", policy.pk)) == before
