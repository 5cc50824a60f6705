"""What is written to the log of each process."""

import logging

import pytest
from django.test import Client
from django.urls import reverse

from tests.pages import signed_in


@pytest.mark.django_db
def test_refusal_is_one_line_without_a_traceback(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    signed_in(client, "viewer")
    assert client.get(reverse("images:host-add")).status_code == 403
    record = next(record for record in caplog.records if record.name == "django.request")
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert "/hosts/" in record.getMessage()


def test_fault_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    fault = RuntimeError("no such table")
    logging.getLogger("django.request").error("Internal Server Error: /", exc_info=fault)
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[1] is fault
