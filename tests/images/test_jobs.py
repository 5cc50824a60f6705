"""The life of a job: claimed once, watched over, ended, reaped. Workers and Redis have tests of their own."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import kombu.exceptions
import pytest
from django.utils import timezone

from config.celery import app
from images import tasks
from images.errors import UserError
from images.jobs import context as job_context
from images.jobs import life
from images.jobs.context import JobContext, JobStopped
from images.jobs.operations import OPERATIONS, Handler, operation
from images.live import progress
from images.meter import Meter
from images.models import AuditEntry, Host, ItemState, Job, JobItem, JobLog, JobState, Permission
from tests import factories
from tests.conftest import closing
from tests.engine.workers import wait_for

# The watcher of a job is a thread with a connection of its own: it sees only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

Register = Callable[..., None]


@pytest.fixture
def register() -> Iterator[Register]:
    """Registers a handler as the kind "scrub"; gone after the test."""

    def register(handler: Handler, **options: Any) -> None:
        operation("scrub", label="Scrub", permission=Permission.REMOVE, **options)(handler)

    yield register
    OPERATIONS.pop("scrub", None)


@pytest.fixture(autouse=True)
def sent() -> Iterator[list[tuple[str, list[int], str]]]:
    """The messages that would have woken workers."""
    messages: list[tuple[str, list[int], str]] = []

    def send(task: str, args: list[int], queue: str, **options: Any) -> None:
        messages.append((task, args, queue))

    with mock.patch("images.jobs.life.current_app.send_task", send), mock.patch.object(progress, "publish"):
        yield messages


@pytest.fixture
def host() -> Host:
    return factories.make_host()


def nothing(context: JobContext) -> dict[str, Any]:
    return {}


def started(host: Host, **options: Any) -> Job:
    return life.job_start(kind="scrub", host=host, by=None, **options)


def reloaded(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def test_worker_is_woken_only_after_the_commit(register: Register, host: Host, sent: list[Any]) -> None:
    from django.db import transaction

    register(nothing)
    with transaction.atomic():
        job = started(host)
        assert not sent
    assert sent == [("images.tasks.carry_out", [job.pk], "engine")]


def test_lost_redis_does_not_fail_the_click(register: Register, host: Host) -> None:
    register(nothing)
    error = kombu.exceptions.OperationalError("down")
    with mock.patch("images.jobs.life.current_app.send_task", side_effect=error):
        job = started(host)
    assert reloaded(job).state == JobState.QUEUED


def test_job_is_carried_out_and_keeps_its_result(register: Register, host: Host) -> None:
    register(lambda context: {"freed_bytes": 7})
    job = started(host)
    life.job_carry_out(job.pk)
    job = reloaded(job)
    assert (job.state, job.result, job.attempt) == (JobState.SUCCEEDED, {"freed_bytes": 7}, 1)
    assert job.started_at
    assert job.ended_at
    outcomes = AuditEntry.objects.filter(action="job.scrub").order_by("id").values_list("outcome", flat=True)
    assert list(outcomes) == ["started", "done"]


def test_audit_log_names_what_a_job_is_about_at_its_beginning_and_its_end(
    register: Register, host: Host
) -> None:
    register(nothing)
    job = life.job_start(kind="scrub", host=host, by=None, subject="shop/api:1")
    life.job_carry_out(job.pk)
    targets = AuditEntry.objects.filter(action="job.scrub").values_list("target", flat=True)
    assert list(targets) == [f"#{job.pk} shop/api:1"] * 2


def test_second_delivery_does_nothing(register: Register, host: Host) -> None:
    calls: list[int] = []
    register(lambda context: calls.append(context.job.pk) or {})  # type: ignore[func-returns-value]
    job = started(host)
    life.job_carry_out(job.pk)
    life.job_carry_out(job.pk)
    assert calls == [job.pk]


def test_only_one_of_many_workers_claims_a_job(register: Register, host: Host) -> None:
    register(nothing)
    job = started(host)
    claimed: list[Job | None] = []
    barrier = threading.Barrier(6)

    def claim() -> None:
        barrier.wait()
        claimed.append(life.job_claim(job.pk))

    threads = [threading.Thread(target=closing(claim)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([each for each in claimed if each]) == 1


def test_missing_job_is_normal() -> None:
    life.job_carry_out(987654)


def test_kind_that_is_gone_fails_in_words(register: Register, host: Host) -> None:
    register(nothing)
    job = started(host)
    del OPERATIONS["scrub"]
    life.job_carry_out(job.pk)
    assert (reloaded(job).state, reloaded(job).error_code) == (JobState.FAILED, "unexpected")


def test_error_of_a_person_is_stored_as_code_and_values(register: Register, host: Host) -> None:
    def fail(context: JobContext) -> dict[str, Any]:
        context.result["removed"] = 3
        raise UserError("host_refused", address="tcp://x", raw="dial tcp")

    register(fail)
    job = started(host)
    life.job_carry_out(job.pk)
    job = reloaded(job)
    assert (job.state, job.error_code, job.error_values) == ("failed", "host_refused", {"address": "tcp://x"})
    assert (job.error_raw, job.result) == ("dial tcp", {"removed": 3})


def test_fault_of_the_connection_names_the_host_and_is_no_riddle(register: Register, host: Host) -> None:
    import requests

    def fail(context: JobContext) -> dict[str, Any]:
        raise requests.ConnectionError("Connection aborted")

    register(fail)
    job = started(host)
    life.job_carry_out(job.pk)
    assert reloaded(job).error_code.startswith("host_")


def test_unexpected_error_is_logged_with_its_traceback(
    register: Register, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    register(lambda context: {"x": 1 // 0})
    job = started(host)
    life.job_carry_out(job.pk)
    assert reloaded(job).error_code == "unexpected"
    assert reloaded(job).error_raw.startswith("ZeroDivisionError")
    assert any(record.exc_info for record in caplog.records)


def test_queued_job_is_cancelled_at_once_and_never_runs(register: Register, host: Host) -> None:
    calls: list[int] = []
    register(lambda context: calls.append(1) or {})  # type: ignore[func-returns-value]
    job, ada = started(host), factories.make_user("ada")
    life.job_cancel(by=ada, job=job)
    life.job_carry_out(job.pk)
    assert (reloaded(job).state, reloaded(job).cancel_requested_by) == (JobState.CANCELLED, ada)
    assert not calls
    assert AuditEntry.objects.filter(action="job.cancel", actor=ada).exists()


def test_running_job_is_cancelled_within_about_a_second(register: Register, host: Host) -> None:
    began = threading.Event()

    def patient(context: JobContext) -> dict[str, Any]:
        began.set()
        while True:
            context.check()
            time.sleep(0.01)

    register(patient)
    job = started(host)
    worker = threading.Thread(target=closing(life.job_carry_out), args=(job.pk,))
    worker.start()
    assert began.wait(5)
    asked = time.monotonic()
    life.job_cancel(by=factories.make_user(), job=reloaded(job))
    worker.join(10)
    assert time.monotonic() - asked < 2
    assert reloaded(job).state == JobState.CANCELLED


def test_cancel_cuts_a_call_that_hangs(register: Register, host: Host) -> None:
    """The engine is a double: what counts is that the cut comes from beside the call that waits."""
    began, was_cut = threading.Event(), threading.Event()
    engine = mock.Mock(cut=was_cut.set)

    def hang(context: JobContext) -> dict[str, Any]:
        assert context.engine is engine
        began.set()
        assert was_cut.wait(10)
        raise OSError("the socket was shut down")

    register(hang)
    job = started(host)
    with mock.patch.object(job_context, "open_engine") as opened:
        opened.return_value.__enter__.return_value = engine
        opened.side_effect = lambda connection, give_cut, **more: give_cut(engine.cut) or mock.DEFAULT
        worker = threading.Thread(target=closing(life.job_carry_out), args=(job.pk,))
        worker.start()
        assert began.wait(5)
        life.job_cancel(by=factories.make_user(), job=reloaded(job))
        worker.join(10)
    assert was_cut.is_set()
    assert (reloaded(job).state, reloaded(job).error_code) == (JobState.CANCELLED, "")


def test_job_past_its_deadline_is_stopped_and_says_so(register: Register, host: Host) -> None:
    def patient(context: JobContext) -> dict[str, Any]:
        while True:
            context.check()
            time.sleep(0.01)

    register(patient, deadline_seconds=1)
    job = started(host)
    life.job_carry_out(job.pk)
    assert (reloaded(job).state, reloaded(job).error_code) == (JobState.FAILED, "job_deadline")


def test_finished_work_stays_a_success_though_a_cancel_came_late(register: Register, host: Host) -> None:
    def done(context: JobContext) -> dict[str, Any]:
        life.job_cancel(by=factories.make_user(), job=context.job)
        return {"done": True}

    register(done)
    job = started(host)
    life.job_carry_out(job.pk)
    assert reloaded(job).state == JobState.SUCCEEDED


def test_heartbeat_is_written_while_the_operation_works(register: Register, host: Host) -> None:
    def slow(context: JobContext) -> dict[str, Any]:
        time.sleep(1)
        first = Job.objects.get(pk=context.job.pk).heartbeat_at
        return {"is_later": bool(first and context.job.heartbeat_at and first > context.job.heartbeat_at)}

    register(slow)
    job = started(host)
    with (
        mock.patch.object(job_context, "HEARTBEAT_SECONDS", 0.1),
        mock.patch.object(job_context, "WATCH_SECONDS", 0.1),
    ):
        life.job_carry_out(job.pk)
    assert reloaded(job).result == {"is_later": True}


# Items, progress, log


def test_items_that_are_done_are_not_done_again(register: Register, host: Host) -> None:
    register(nothing)
    job = started(host, items=[life.ItemInput(name=name) for name in "abc"])
    JobItem.objects.filter(job=job, name="a").update(state=ItemState.REMOVED)
    context = JobContext(reloaded(job), 60)
    assert [item.name for item in context.items()] == ["b", "c"]
    context.item_done(context.items()[0], ItemState.FAILED, code="image_in_use", values={"container": "db"})
    assert [item.name for item in context.items()] == ["c"]
    assert JobItem.objects.get(job=job, name="b").error_values == {"container": "db"}


def test_last_progress_is_kept_though_it_came_fast(register: Register, host: Host) -> None:
    def count(context: JobContext) -> dict[str, Any]:
        for n in range(38):
            context.progress(n, 100)
        raise JobStopped("cancelled")

    register(count)
    job = started(host)
    life.job_carry_out(job.pk)
    assert (reloaded(job).progress_done, reloaded(job).progress_total) == (37, 100)


def test_progress_of_unknown_total_is_told_now_and_then(register: Register, host: Host) -> None:
    def count(context: JobContext) -> dict[str, Any]:
        for n in range(1000):
            context.progress(n, 0, "bytes")
        return {}

    register(count)
    job = started(host)
    with mock.patch.object(JobContext, "_publish") as told:
        life.job_carry_out(job.pk)
    assert told.call_count < 50


def test_progress_that_came_too_fast_to_be_told_is_told_while_the_operation_waits(
    register: Register, host: Host
) -> None:
    with mock.patch.object(JobContext, "_publish") as told:

        def count(context: JobContext) -> dict[str, Any]:
            for n in range(1, 101):
                context.progress(n, 100, "bytes")
            wait_for(lambda: any(call.kwargs.get("done") == 100 for call in told.call_args_list))
            assert told.call_count < 10
            return {}

        register(count)
        job = started(host)
        life.job_carry_out(job.pk)
    assert reloaded(job).state == JobState.SUCCEEDED, reloaded(job).error_raw


def test_progress_that_is_whole_again_and_again_is_told_now_and_then(register: Register, host: Host) -> None:
    """Of a push each small layer is whole before the next one is named."""

    def count(context: JobContext) -> dict[str, Any]:
        for n in range(1, 200):
            context.progress(n, n, "bytes")
        return {}

    register(count)
    with mock.patch.object(JobContext, "_publish") as told:
        life.job_carry_out(started(host).pk)
    assert told.call_count < 10


def test_news_of_an_end_says_what_its_numbers_count(host: Host) -> None:
    """A page that writes them before it is drawn anew would show millions of nothing."""
    job = Job.objects.create(kind="pull", host=host, state="succeeded", progress_unit="bytes")
    with mock.patch.object(progress, "publish") as told:
        life.announce(job)
    assert told.call_args.kwargs["data"]["unit"] == "bytes"


def test_rate_is_smoothed_and_gives_the_time_left() -> None:
    meter = Meter()
    for second in range(1, 11):
        meter.measure(second * 10, float(second))
    assert meter.rate == pytest.approx(10)
    assert meter.left(100, 200) == pytest.approx(10)
    assert meter.left(100, 0) is None
    assert meter.left(100, 100) is None, "what has come whole may still be unpacked for minutes"


def test_no_line_of_the_log_is_lost(register: Register, host: Host) -> None:
    def write(context: JobContext) -> dict[str, Any]:
        for n in range(500):
            context.log(f"line {n}")
        raise UserError("engine_refused")

    register(write)
    job = started(host)
    life.job_carry_out(job.pk)
    texts = JobLog.objects.filter(job=job).values_list("text", flat=True)
    assert "".join(texts) == "".join(f"line {n}\n" for n in range(500))
    assert len(texts) < 20


# Silent workers and lost messages


def silent(host: Host, **fields: Any) -> Job:
    before = timezone.now() - timedelta(minutes=5)
    values = {
        "state": "running",
        "worker": "dead",
        "attempt": 1,
        "heartbeat_at": before,
        "started_at": before,
    }
    return Job.objects.create(kind="scrub", host=host, **(values | fields))


def test_job_of_a_silent_worker_is_lost(register: Register, host: Host) -> None:
    register(nothing)
    job = silent(host)
    assert life.jobs_reap(timezone.now()) == 1
    assert (reloaded(job).state, reloaded(job).error_code) == (JobState.LOST, "job_lost")
    assert AuditEntry.objects.filter(action="job.scrub", outcome="failed").exists()


def test_repeatable_job_is_queued_again_but_not_for_ever(
    register: Register, host: Host, sent: list[Any]
) -> None:
    register(nothing, repeatable=True)
    job, hopeless = silent(host), silent(host, attempt=life.MOST_ATTEMPTS)
    life.jobs_reap(timezone.now())
    assert reloaded(job).state == JobState.QUEUED
    assert sent == [("images.tasks.carry_out", [job.pk], "engine")]
    assert reloaded(hopeless).state == JobState.LOST


def test_cancelled_job_is_not_repeated(register: Register, host: Host) -> None:
    register(nothing, repeatable=True)
    job = silent(host, cancel_requested_at=timezone.now())
    life.jobs_reap(timezone.now())
    assert reloaded(job).state == JobState.CANCELLED


def test_job_past_its_deadline_is_not_begun_again(register: Register, host: Host) -> None:
    register(nothing, repeatable=True)
    job = silent(host, deadline_at=timezone.now() - timedelta(seconds=1))
    life.jobs_reap(timezone.now())
    assert reloaded(job).state == JobState.LOST


def test_living_job_is_not_reaped(register: Register, host: Host) -> None:
    register(nothing)
    job = silent(host, heartbeat_at=timezone.now() - timedelta(seconds=20))
    assert life.jobs_reap(timezone.now()) == 0
    assert reloaded(job).state == JobState.RUNNING


def test_two_reapers_queue_a_job_once(register: Register, host: Host, sent: list[Any]) -> None:
    register(nothing, repeatable=True)
    job = silent(host)
    seen_by_both = Job.objects.select_related("host").get(pk=job.pk)
    life.jobs_reap(timezone.now())
    assert life._reap(seen_by_both, timezone.now()) is False
    assert len(sent) == 1


def test_worker_taken_for_dead_can_not_end_a_job_claimed_anew(register: Register, host: Host) -> None:
    def usurped(context: JobContext) -> dict[str, Any]:
        Job.objects.filter(pk=context.job.pk).update(worker="another")
        return {"by": "the first"}

    register(usurped)
    job = started(host)
    life.job_carry_out(job.pk)
    assert (reloaded(job).state, reloaded(job).worker, reloaded(job).result) == ("running", "another", {})


def test_worker_that_lost_its_claim_stops(register: Register, host: Host) -> None:
    reasons: list[str] = []

    def usurped(context: JobContext) -> dict[str, Any]:
        Job.objects.filter(pk=context.job.pk).update(worker="another")
        try:
            while True:
                context.check()
                time.sleep(0.01)
        except JobStopped as stopped:
            reasons.append(stopped.reason)
            raise

    register(usurped)
    life.job_carry_out(started(host).pk)
    assert reasons == ["lost"]


@pytest.mark.parametrize(("waiting", "again"), [(0, 1), (3, 0), (None, 0)])
def test_lost_message_is_sent_again_when_none_is_under_way(
    register: Register, host: Host, sent: list[Any], waiting: int | None, again: int
) -> None:
    register(nothing)
    job = started(host)
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(minutes=1))
    young = started(host)
    sent.clear()
    with mock.patch.object(life, "_queue_length", return_value=waiting):
        assert life.jobs_redispatch(timezone.now()) == again
    assert [args for _, args, _ in sent] == [[job.pk]] * again
    assert reloaded(young).state == JobState.QUEUED


def test_tick_asks_the_others_though_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[str] = []

    def broken(now: Any) -> None:
        raise ValueError

    with mock.patch.object(tasks, "TICKS", [broken, lambda now: asked.append("second")]):
        tasks.tick()
    assert asked == ["second"]
    assert "broken failed on this tick" in caplog.text


def test_beat_asks_every_few_seconds_and_every_question_is_asked() -> None:
    [entry] = app.conf.beat_schedule.values()
    assert entry["task"] == tasks.tick.name
    assert entry["schedule"] <= timedelta(seconds=15)
    asked = {f"{function.__module__}.{function.__name__}" for function in tasks.TICKS}
    assert asked >= {
        "images.jobs.life.jobs_reap",
        "images.jobs.life.jobs_redispatch",
        "images.jobs.life.secrets_forget",
        "images.hosts.last_use.watches_lapse",
        "images.hosts.checks.checks_forget",
        "images.transfers.uploads.uploads_forget",
        "images.tasks.sync_due_hosts",
        "images.accounts.registries.registries_retry",
        "images.remote_tags.tags_ask_due",
        "images.restoring.jobs_owing",
        "images.forgetting.jobs_forget",
        "images.forgetting.entries_forget",
        "images.forgetting.images_forget",
    }
