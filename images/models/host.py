"""Docker hosts and what is known about the engine behind each."""

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from images.models.fields import EncryptedTextField

if TYPE_CHECKING:
    from images.models.people import Permission, User


class HostGroup(models.Model):
    """Hosts that belong together, such as "production" or "ci"; grants and policies name groups."""

    name = models.CharField(_("name"), max_length=100, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class HostState(models.TextChoices):
    NEW = "new", _("New")
    ONLINE = "online", _("Online")
    OFFLINE = "offline", _("Offline")


class StoreKind(models.TextChoices):
    """How an engine stores images; layer sizes and image IDs differ between the two."""

    GRAPH = "graph", _("graph driver")
    CONTAINERD = "containerd", _("containerd store")
    PODMAN = "podman", _("Podman's store")


class CheckState(models.TextChoices):
    WAITING = "waiting", _("Waiting")
    REACHED = "reached", _("Reached")
    FAILED = "failed", _("Failed")


class HostQuerySet(models.QuerySet["Host"]):
    def visible_to(self, user: "User", permission: "Permission | str" = "view") -> Self:
        """The hosts on which the user has the permission."""
        from images import access

        return access.restrict_hosts(self, user, permission)

    def due_for_sync(self, now: datetime, *, every: timedelta) -> Self:
        """Enabled hosts whose picture is older than `every` or was never taken, and that may be tried again."""
        may_try = models.Q(next_attempt_at=None) | models.Q(next_attempt_at__lte=now)
        is_old = models.Q(synced_at=None) | models.Q(synced_at__lt=now - every)
        return self.filter(may_try, is_old | ~models.Q(state=HostState.ONLINE), is_enabled=True)


class Host(models.Model):
    """A machine whose Docker Engine is registered."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    # unix:///path, tcp://host:port or ssh://user@host:port
    address = models.CharField(_("address"), max_length=255)
    use_tls = models.BooleanField(_("TLS"), default=False)
    tls_ca = models.TextField(_("CA certificate"), blank=True, default="")
    tls_certificate = models.TextField(_("client certificate"), blank=True, default="")
    tls_key = EncryptedTextField(_("client key"), blank=True, default="")
    ssh_key = EncryptedTextField(_("ssh key"), blank=True, default="")
    ssh_host_key = models.TextField(_("host key"), blank=True, default="")  # as a line of known_hosts
    groups = models.ManyToManyField(HostGroup, verbose_name=_("groups"), related_name="hosts", blank=True)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    image_budget_bytes = models.PositiveBigIntegerField(_("image budget"), null=True, blank=True)
    # How many jobs of a sort run on it at once; the rest waits in the queue.
    most_transfers = models.PositiveSmallIntegerField(_("pulls and pushes at once"), default=3)
    most_builds = models.PositiveSmallIntegerField(_("builds at once"), default=1)
    most_removals = models.PositiveSmallIntegerField(_("removals at once"), default=1)
    added_at = models.DateTimeField(auto_now_add=True)

    # What the last contact told. Every one of these may be absent on some engine.
    state = models.CharField(max_length=10, choices=HostState.choices, default=HostState.NEW, db_index=True)
    state_since = models.DateTimeField(null=True)
    failure_count = models.PositiveIntegerField(default=0)  # contacts that failed in a row
    next_attempt_at = models.DateTimeField(null=True)  # when an offline host is tried again
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_values = models.JSONField(default=dict)  # what the error's sentence names
    error_raw = models.TextField(blank=True, default="")
    error_at = models.DateTimeField(null=True)
    engine_id = models.CharField(max_length=100, blank=True, default="", db_index=True)
    engine_kind = models.CharField(max_length=20, blank=True, default="")  # "docker" or "podman"
    engine_version = models.CharField(max_length=50, blank=True, default="")
    api_version = models.CharField(max_length=20, blank=True, default="")
    store_kind = models.CharField(max_length=20, choices=StoreKind.choices, blank=True, default="")
    storage_driver = models.CharField(max_length=50, blank=True, default="")
    operating_system = models.CharField(max_length=200, blank=True, default="")
    architecture = models.CharField(max_length=50, blank=True, default="")
    root_directory = models.CharField(max_length=500, blank=True, default="")
    registry_mirrors = models.JSONField(default=list)

    # Inventory: how fresh the picture is, and sums over it.
    synced_at = models.DateTimeField(null=True)  # the last full list that was reconciled
    changed_at = models.DateTimeField(null=True)  # when its rows changed last: a page made before is behind
    # Last use is known without a gap since then. None: a gap is open, or what happened before is not reconciled.
    use_known_since = models.DateTimeField(null=True)
    # What `use_known_since` was before the open gap: it comes back if the engine proves that nothing was missed.
    use_known_before_gap = models.DateTimeField(null=True)
    inventory_digest = models.CharField(
        max_length=64, blank=True, default=""
    )  # of the lists the rows were made from
    sync_lease_until = models.DateTimeField(
        null=True
    )  # a sync is under way: never two lists at once on one host
    sync_worker = models.CharField(max_length=100, blank=True, default="")
    image_count = models.PositiveIntegerField(default=0)  # without intermediate images
    container_count = models.PositiveIntegerField(default=0)
    total_bytes = models.PositiveBigIntegerField(default=0)  # every layer once
    shared_bytes = models.PositiveBigIntegerField(default=0)  # layers used by more than one copy
    unused_bytes = models.PositiveBigIntegerField(default=0)  # freed if every unused copy went
    is_estimate = models.BooleanField(default=False)  # bytes above are estimates (containerd store, Podman)
    build_cache_bytes = models.PositiveBigIntegerField(default=0)
    build_cache_holds_layers = models.BooleanField(default=False)  # then freed bytes are said as "up to"
    cache_asked_at = models.DateTimeField(null=True)  # None: what is known of the build cache may be wrong

    # The watcher that holds this host's event stream.
    watcher = models.CharField(max_length=100, blank=True, default="")
    watcher_lease_until = models.DateTimeField(null=True)
    watched_since = models.DateTimeField(null=True)
    last_event_at = models.DateTimeField(null=True)
    last_event_key = models.CharField(
        max_length=300, blank=True, default=""
    )  # tells that event from every other

    objects = HostQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_online(self) -> bool:
        return self.state == HostState.ONLINE

    @property
    def is_plain_tcp(self) -> bool:
        """Whether anyone who reaches the port controls the machine."""
        return self.address.startswith("tcp://") and not self.use_tls

    @property
    def engine_mark(self) -> str:
        """Which engine the rows are about: plans and jobs made for one engine are not carried out on another.

        "" while it is not known. Podman makes up a new ID at each question, so there the place decides.
        """
        engine_id = "" if self.engine_kind == "podman" else self.engine_id
        if not engine_id and not self.root_directory:
            return ""
        parts = (self.address, engine_id, self.root_directory)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def is_watched(self, now: datetime) -> bool:
        """Whether a living watcher follows its events."""
        return bool(self.watched_since and self.watcher_lease_until and self.watcher_lease_until > now)

    def is_use_known(self, now: datetime) -> bool:
        """Whether last use can be relied on at this moment; a watcher that died leaves only its lease behind."""
        return self.use_known_since is not None and self.is_watched(now)


class HostCheck(models.Model):
    """A try to reach an engine, asked for on a page and carried out by a worker: only workers reach engines."""

    address = models.CharField(max_length=255)
    use_tls = models.BooleanField(default=False)
    tls_ca = models.TextField(blank=True, default="")
    tls_certificate = models.TextField(blank=True, default="")
    tls_key = EncryptedTextField(blank=True, default="")  # emptied when the check has ended
    ssh_key = EncryptedTextField(blank=True, default="")  # likewise
    ssh_host_key = models.TextField(blank=True, default="")  # the one that is expected; "" = any, and tell it
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    state = models.CharField(max_length=10, choices=CheckState.choices, default=CheckState.WAITING)
    ended_at = models.DateTimeField(null=True)
    result = models.JSONField(default=dict)  # the facts of EngineInfo
    error_code = models.CharField(max_length=50, blank=True, default="")
    error_values = models.JSONField(default=dict)
    error_raw = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"check of {self.address}"
