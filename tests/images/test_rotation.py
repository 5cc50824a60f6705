"""A new key in front of the old one: everything stays readable, and after the rotation the old one can go."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection

from images.jobs.life import job_start
from images.models import GitAccount, Host, HostCheck, JobSecret, Registry
from images.models.fields import EncryptedTextField
from images.rotation import encrypted_fields
from tests import factories

pytestmark = pytest.mark.django_db

SECRETS: dict[str, Callable[[], str]] = {
    "images.Registry.password": lambda: Registry.objects.get().password,
    "images.GitAccount.password": lambda: GitAccount.objects.get().password,
    "images.Host.tls_key": lambda: Host.objects.get().tls_key,
    "images.Host.ssh_key": lambda: Host.objects.get().ssh_key,
    "images.HostCheck.tls_key": lambda: HostCheck.objects.get().tls_key,
    "images.HostCheck.ssh_key": lambda: HostCheck.objects.get().ssh_key,
    "images.JobSecret.value": lambda: JobSecret.objects.get().value,
}


@pytest.fixture
def stored(settings: Any) -> tuple[str, str]:
    """Every kind of secret, written with an old key; gives the old key and a new one."""
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    Registry.objects.create(name="a", prefix="a.example.com", username="alice", password="s3cret")
    GitAccount.objects.create(name="a", prefix="a.example.com", password="s3cret")
    host = factories.make_host(tls_key="s3cret", ssh_key="s3cret")
    job_start(kind="sync", host=host, by=None, secrets={"token": "s3cret"})
    HostCheck.objects.create(address="x", tls_key="s3cret", ssh_key="s3cret")
    return old, new


def test_this_test_knows_every_secret() -> None:
    found = {f"{model._meta.label}.{field.name}" for model, field in encrypted_fields()}
    assert found == set(SECRETS), "add what is new here"


def test_both_keys_read_what_the_old_one_wrote(stored: tuple[str, str], settings: Any) -> None:
    old, new = stored
    settings.ENCRYPTION_KEYS = [new, old]
    assert {read() for read in SECRETS.values()} == {"s3cret"}


def test_without_a_rotation_the_old_key_is_needed(stored: tuple[str, str], settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [stored[1]]
    for read in SECRETS.values():
        with pytest.raises(ImproperlyConfigured, match="put the key"):
            read()


def test_after_a_rotation_the_old_key_can_go(stored: tuple[str, str], settings: Any) -> None:
    old, new = stored
    settings.ENCRYPTION_KEYS = [new, old]
    output = StringIO()
    call_command("rotate_secrets", stdout=output)
    settings.ENCRYPTION_KEYS = [new]
    assert {read() for read in SECRETS.values()} == {"s3cret"}
    assert sorted(output.getvalue().split("\n"))[1:] == sorted(f"{name}: 1" for name in SECRETS)
    settings.ENCRYPTION_KEYS = [old]
    for read in SECRETS.values():
        with pytest.raises(ImproperlyConfigured):
            read()


def test_empty_secrets_stay_empty(settings: Any) -> None:
    registry = Registry.objects.create(name="a", prefix="a.example.com")
    call_command("rotate_secrets", stdout=StringIO())
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM images_registry WHERE id = %s", [registry.pk])
        assert cursor.fetchone() == ("",)


def test_secret_is_not_readable_in_the_database(stored: tuple[str, str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM images_registry")
        assert "s3cret" not in cursor.fetchone()[0]
    assert isinstance(Registry._meta.get_field("password"), EncryptedTextField)
