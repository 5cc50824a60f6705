"""Starting a removal: what it promises, what it refuses. Engines are in tests/engine."""

import pytest
from django.utils import timezone

from images.engine.remove import _gained, independent
from images.errors import UserError
from images.models import Copy, Job, Pin
from images.removal import removal_preview, removal_start
from tests import factories as make

pytestmark = pytest.mark.django_db

DIGEST = "sha256:" + "1" * 64


def test_one_job_per_host_in_one_batch() -> None:
    image = make.make_image(make.make_layer(70))
    copies = [make.make_copy(make.make_host(), "a:1", image=image) for _ in range(2)]
    jobs = removal_start(by=make.make_admin(), copies=copies)
    assert {job.host for job in jobs} == {copy.host for copy in copies}
    assert len({job.batch for job in jobs}) == 1
    assert [job.parameters["promised_bytes"] for job in jobs] == [70, 70]
    assert not jobs[0].parameters["force"]


def test_children_come_before_parents_and_untagged_parents_come_along() -> None:
    host, base = make.make_host(), make.make_layer(70)
    parent = make.make_copy(host, image=make.make_image(base), is_intermediate=True)
    image = make.make_image(base, make.make_layer(7))
    child = make.make_copy(host, "b:1", image=image, parent_engine_id=parent.engine_id)
    [job] = removal_start(by=make.make_admin(), copies=[child])
    assert list(job.items.values_list("engine_id", flat=True)) == [child.engine_id, parent.engine_id]
    assert job.parameters["promised_bytes"] == 77


@pytest.mark.parametrize("everywhere", [True, False])
def test_pinned_image_is_refused(everywhere: bool) -> None:
    copy = make.make_copy(make.make_host(), "a:1", "a:2")
    host = None if everywhere else copy.host
    Pin.objects.create(image=copy.image, host=host, reason="Release of May")
    with pytest.raises(UserError) as refused:
        removal_start(by=make.make_admin(), copies=[copy], force=True)
    assert (refused.value.code, refused.value.values) == ("image_pinned", {"reason": "Release of May"})
    assert not Job.objects.exists()
    assert removal_start(by=make.make_admin("b"), copies=[copy], references={copy.pk: ["a:1"]}), (
        "only a tag goes"
    )


def test_pin_of_another_host_and_one_that_ended_do_not_hold() -> None:
    copy = make.make_copy(make.make_host(), "a:1")
    Pin.objects.create(image=copy.image, host=make.make_host(), reason="There")
    Pin.objects.create(image=copy.image, reason="Then", ends_at=timezone.now())
    assert len(removal_start(by=make.make_admin(), copies=[copy])) == 1


def test_one_of_several_references_frees_nothing() -> None:
    copy = make.make_copy(make.make_host(), "a:1", "b:1")
    [preview] = removal_preview(copies=[copy], references={copy.pk: ["a:1"]})
    assert (preview.freed.high, preview.takes) == (0, {copy.pk: ["a:1"]})
    [job] = removal_start(by=make.make_admin(), copies=[copy], references={copy.pk: ["a:1"]})
    assert job.parameters["items"] == [{"seen": ["a:1", "b:1"], "take": ["a:1"]}]


def test_taking_every_reference_means_the_copy() -> None:
    copy = make.make_copy(make.make_host(), "a:1", "b:1", f"a@{DIGEST}")
    [preview] = removal_preview(copies=[copy], references={copy.pk: ["a:1", "b:1"]})
    assert (preview.freed.high, preview.takes) == (1000, {})


def test_copy_in_use_promises_nothing() -> None:
    copy = make.make_copy(make.make_host(), "a:1", container_count=1)
    [preview] = removal_preview(copies=[copy])
    assert (preview.freed.high, preview.in_use) == (0, [copy])


def test_references_the_person_saw_are_what_the_job_compares_with() -> None:
    copy = make.make_copy(make.make_host(), "a:1", "b:1")
    [job] = removal_start(by=make.make_admin(), copies=[copy], shown={copy.pk: ["a:1"]})
    assert job.parameters["items"][0]["seen"] == ["a:1"]


def test_nothing_left_to_remove_says_so() -> None:
    copy = make.make_copy(make.make_host(), "a:1")
    Copy.objects.all().delete()
    with pytest.raises(UserError, match="None of these images"):
        removal_start(by=make.make_admin(), copies=[copy])


def test_digest_goes_with_the_tags_of_its_repository() -> None:
    port = "localhost:5000/x"
    assert independent([f"a@{DIGEST}", "a:1", f"b@{DIGEST}"]) == [f"b@{DIGEST}", "a:1"]
    assert independent([f"{port}:1", f"{port}@{DIGEST}"]) == [f"{port}:1"]
    assert independent([f"{port}@{DIGEST}"]) == [f"{port}@{DIGEST}"]


def test_digest_that_came_with_a_push_is_no_new_reference() -> None:
    assert _gained(["a:1", f"a@{DIGEST}"], ["a:1"]) == []
    assert _gained(["a:1", f"b@{DIGEST}", "a:2"], ["a:1"]) == [f"b@{DIGEST}", "a:2"]
