"""Jobs of any kind."""

from django.utils.translation import gettext_lazy as _

from images.problems.problem import Problem

JOBS: dict[str, Problem] = {
    "unexpected": Problem(
        _("Something unexpected happened."),
        _("This is a fault in Drydock or an answer of the engine that Drydock does not know yet."),
        _("Try again; if it happens again, report it with the text below."),
    ),
    "job_lost": Problem(
        _("The worker that carried this out went silent."),
        _("It was killed, or its machine was."),
        _("Look at the items: what is marked as done was done. Start the rest again."),
    ),
    "job_no_retry": Problem(
        _("This job can not be started again."),
        _("It is still going on, its host is switched off, or repeating it would mean something else."),
        _("Start what you mean anew from the images or the host."),
    ),
    "job_deadline": Problem(
        _("This took longer than %(limit)s and was stopped."),
        _("The engine hangs, or it is very busy."),
        _("Check the host, then try again."),
    ),
}
