"""The news that a job has ended: for who started it, on hosts still in sight, and nowhere twice."""

import time
import uuid
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.test import Client
from django.utils import timezone

from images.jobs import life
from images.live import progress
from images.live.listeners import Listener, allowed_topics
from images.models import Host, Job, User
from tests import factories

pytestmark = pytest.mark.django_db


def ended(host: Host, by: User | None, seconds_ago: float = 1, **fields: Any) -> Job:
    moment = timezone.now() - timedelta(seconds=seconds_ago)
    values = {"kind": "pull", "state": "succeeded", "subject": f"shop/api:{seconds_ago}", "ended_at": moment}
    return Job.objects.create(host=host, created_by=by, **(values | fields))


def news(client: Client, *, seconds: float = 60, page: str = "http://testserver/hosts/") -> str:
    after = f"{int((time.time() - seconds) * 1000)}-0"
    response = client.get(
        f"/jobs/news/?after={after}", headers={"HX-Request": "true", "HX-Current-URL": page}
    )
    assert response.status_code == 200
    return response.content.decode()


def test_ended_job_of_mine_is_told(client: Client, host: Host, ada: User) -> None:
    job = ended(host, ada)
    client.force_login(ada)
    text = news(client)
    assert f'id="notice_{job.pk}"' in text
    assert "shop/api:1" in text
    assert 'hx-swap-oob="beforeend:#notices"' in text


def test_jobs_of_others_open_ones_and_old_ones_are_not(client: Client, host: Host, ada: User) -> None:
    ended(host, factories.make_user())
    ended(host, None)
    ended(host, ada, seconds_ago=90)
    Job.objects.create(kind="pull", host=host, created_by=ada, state="running")
    client.force_login(ada)
    assert "shop/api" not in news(client)
    # A page that lay in the background for hours does not tell what is long known.
    ended(host, ada, seconds_ago=3000)
    text = news(client, seconds=7200)
    assert "shop/api:90" in text
    assert "shop/api:3000" not in text


def test_host_that_is_out_of_sight_by_now_is_not_named(client: Client, ada: User) -> None:
    ended(factories.make_host("secret"), ada)
    client.force_login(ada)
    assert "secret" not in news(client)


def test_page_of_the_job_or_of_its_batch_needs_no_notice(client: Client, host: Host, ada: User) -> None:
    job = ended(host, ada, batch=uuid.uuid4())
    client.force_login(ada)
    assert "shop/api" not in news(client, page=f"http://testserver/jobs/{job.pk}/?page=2")
    assert "shop/api" not in news(client, page=f"http://testserver/jobs/batches/{job.batch}/")
    assert "shop/api" in news(client, page=f"http://testserver/jobs/{job.pk + 1}/")


def test_no_more_than_three_and_a_word_about_the_rest(client: Client, host: Host, ada: User) -> None:
    for seconds in range(1, 6):
        ended(host, ada, seconds_ago=seconds)
    client.force_login(ada)
    text = news(client)
    assert text.count('id="notice_') == 1 + 3  # the watch has such an id as well
    assert "2 more jobs of yours have ended." in text


def test_next_question_begins_where_this_answer_ended(client: Client, host: Host, ada: User) -> None:
    ended(host, ada)
    client.force_login(ada)
    _, _, rest = news(client).partition("/jobs/news/?after=")
    text = client.get(f"/jobs/news/?after={rest.partition(chr(34))[0]}").content.decode()
    assert "shop/api" not in text
    assert client.get("/jobs/news/?after=nonsense").status_code == 200


def test_end_of_a_job_is_told_to_who_started_it(host: Host, ada: User) -> None:
    job = ended(host, ada)
    with mock.patch.object(progress, "publish") as told:
        life.announce(job)
        job.state = "running"
        life.announce(job)
    ended_topics, running_topics = (set(call.args) for call in told.call_args_list)
    assert ended_topics - running_topics == {f"by:{ada.pk}"}


def test_nobody_listens_to_what_is_told_to_another(ada: User) -> None:
    listener = Listener("key", ada.pk, "hash", None)
    own = f"by:{ada.pk}"
    assert allowed_topics(listener, ["jobs", own, f"by:{ada.pk}0", "by:", "by:*"]) == {"jobs", own}


def test_every_page_of_who_is_signed_in_listens(client: Client, host: Host, ada: User) -> None:
    assert "notice_watch" not in client.get("/account/login/").content.decode()
    client.force_login(ada)
    for url in ("/", "/hosts/", "/jobs/"):
        assert f'data-live="by:{ada.pk}"' in client.get(url).content.decode()
