"""A host's image budget against several jobs that bring something at once."""

import pytest

from images.errors import UserError
from images.hosts.budget import budget_check, earlier_bring
from images.models import Host, Job
from tests import factories

pytestmark = pytest.mark.django_db


def bringing(host: Host, kind: str = "pull", **fields: object) -> Job:
    values: dict[str, object] = {
        "state": "running",
        "progress_unit": "bytes",
        "progress_total": 700,
        "progress_done": 100,
    }
    return Job.objects.create(kind=kind, host=host, **(values | fields))


def test_what_earlier_jobs_still_bring_counts_and_nothing_else() -> None:
    host = factories.make_host()
    bringing(host)
    bringing(host, "load", progress_done=700)
    bringing(host, "push")
    bringing(host, state="succeeded")
    bringing(host, "build", progress_unit="steps")
    bringing(factories.make_host())
    mine = bringing(host)
    bringing(host)  # asked for later: it is the one that has to give way
    assert earlier_bring(mine) == 600


def test_second_of_two_pulls_that_do_not_fit_together_is_stopped() -> None:
    host = factories.make_host(image_budget_bytes=1000, total_bytes=0)
    first, second = bringing(host), bringing(host)
    budget_check(host, 600 + earlier_bring(first), "first")
    with pytest.raises(UserError) as refused:
        budget_check(host, 600 + earlier_bring(second), "second")
    assert refused.value.code == "image_over_budget"
