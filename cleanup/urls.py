"""The addresses of cleanup/."""

from django.urls import path

from cleanup.views import fragments, plans, policies, runs

app_name = "cleanup"
urlpatterns = [
    path("policies/", policies.policy_list, name="policy-list"),
    path("policies/add/", policies.policy_add, name="policy-add"),
    path("policies/rule/<str:kind>/", policies.rule_form, name="rule-form"),
    path("policies/schedule/", policies.schedule_explain, name="schedule-explain"),
    path("policies/<int:pk>/", policies.policy_detail, name="policy-detail"),
    path("policies/<int:pk>/edit/", policies.policy_edit, name="policy-edit"),
    path("policies/<int:pk>/switch/", policies.policy_switch, name="policy-switch"),
    path("policies/<int:pk>/remove/", policies.policy_remove, name="policy-remove"),
    path("policies/<int:pk>/preview/", plans.plan_make, name="plan-make"),
    path("hosts/<int:pk>/prune/<str:kind>/", plans.host_prune, name="host-prune"),
    path("plans/<int:pk>/", plans.plan_detail, name="plan-detail"),
    path("plans/<int:pk>/run/", plans.plan_run, name="plan-run"),
    path("plans/<int:pk>/seen/", plans.plan_seen, name="plan-seen"),
    path("plans/<int:pk>/hosts/<int:host_pk>/<str:part>/", plans.plan_part, name="plan-part"),
    path("runs/", runs.run_list, name="run-list"),
    path("runs/<int:pk>/", runs.run_detail, name="run-detail"),
    path("runs/<int:pk>/cancel/", runs.run_cancel, name="run-cancel"),
    path("runs/<int:pk>/approve/", runs.run_approve, name="run-approve"),
    path("runs/<int:pk>/hosts/<int:host_pk>/", runs.run_host, name="run-host"),
    path("runs/<int:pk>/hosts/<int:host_pk>/images/", runs.run_items, name="run-items"),
    path("pause/", policies.cleanup_pause, name="pause"),
    path("fragments/host/<int:pk>/runs/", fragments.host_runs, name="host-runs"),
    path("fragments/overview/", fragments.overview, name="overview-fragment"),
]
