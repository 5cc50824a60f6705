"""Policies, plans, and runs."""

from django.utils.translation import gettext_lazy as _

from images.problems.problem import Problem

CLEANUP: dict[str, Problem] = {
    "cleanup_paused": Problem(
        _("All cleanup is paused."),
        _("Somebody used the one switch that stops it."),
        _("Let it go on from the page of policies, then start again."),
    ),
    "plan_not_ready": Problem(
        _("The plan is not ready yet."),
        "",
        _("Wait until it is made, or make a new one."),
    ),
    "plan_sees_nothing": Problem(
        _("No host of this plan could be looked at, so it does not show what would go."),
        "",
        _("Make a new preview once they answer."),
    ),
    "plan_expired": Problem(
        _("The plan has expired."),
        _("A plan is good for a limited time, because the hosts change."),
        _("Make a new preview and look at it."),
    ),
    "plan_outdated": Problem(
        _("The policy was changed after this plan was made."),
        "",
        _("Make a new preview and look at it."),
    ),
    "plan_used": Problem(
        _("This plan was run already."),
        "",
        _("Make a new preview: it says what is left."),
    ),
    "plan_empty": Problem(
        _("The plan removes nothing."),
        "",
        _("If it should, change the policy's rules and make a new preview."),
    ),
    "policy_off": Problem(
        _("The policy was switched off before the run came to this image."),
        "",
        _("Switch it on again, or run a new preview by hand."),
    ),
    "host_off": Problem(
        _("The host was switched off before the run came to this image."),
        "",
        _("Switch it on again and make a new preview."),
    ),
    "right_withdrawn": Problem(
        _("Who started the run may not run cleanup on this host any more."),
        "",
        _("Somebody with that right can make a new preview and run it."),
    ),
    "out_of_scope": Problem(
        _("The host left the policy's scope before the run came to this image."),
        "",
        _("Make a new preview: it shows the hosts as they are now."),
    ),
    "use_lost": Problem(
        _("Whether a container used it since the preview can not be told."),
        _("The host's events were not followed without a gap, and the rule goes by last use."),
        _("Make a new preview: it goes by what is known then."),
    ),
    "not_in_inventory": Problem(
        _("Drydock has no picture of this image at the moment."),
        _("It was removed and came again, or the host was not followed for a while."),
        _("Wait for the next picture of the host, then make a new preview."),
    ),
    "run_not_waiting": Problem(
        _("This run does not wait for approval."),
        _("Somebody else approved or cancelled it."),
        _("Look at its page: it says what became of it."),
    ),
    "run_ended": Problem(
        _("This run has ended already."),
        "",
        _("Look at its results, and make a new preview for what is left."),
    ),
    "policy_running": Problem(
        _("A run of “%(policy)s” is going on."),
        "",
        _("Wait for its end or cancel it, then try again."),
    ),
    "not_answered": Problem(
        _("The engine never answered the request."),
        _("It hangs or was stopped; it may still carry the request out when it wakes."),
        _("Drydock looks again at the next sync and writes down what became of it."),
    ),
    "not_reached": Problem(
        _("The run ended before it came to this image."),
        "",
        _("Make a new preview for what is left."),
    ),
    "run_cancelled": Problem(
        _("The run was cancelled before it came to this image."),
        "",
        _("Make a new preview for what is left."),
    ),
    "not_carried_out": Problem(
        _("The engine did not remove it."),
        _("It stopped answering in the middle of the work."),
        _("Make a new preview."),
    ),
    "used_since": Problem(
        _("A container used it after the preview was made."),
        "",
        _("Make a new preview: it goes by what is known then."),
    ),
}
