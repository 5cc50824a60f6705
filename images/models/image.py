"""Images, their layers, and the copies of them that hosts hold."""

from datetime import datetime
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from images.models.host import Host, StoreKind

if TYPE_CHECKING:
    from images.models.people import Permission, User


class Image(models.Model):
    """One content, the same on every host. Immutable, so it is inspected once ever."""

    content_key = models.CharField(max_length=64, unique=True)  # see references.content_key
    built_at = models.DateTimeField(
        null=True, db_index=True
    )  # the config's Created; None when absent or year 1
    architecture = models.CharField(max_length=50, blank=True, default="")
    operating_system = models.CharField(max_length=50, blank=True, default="")
    variant = models.CharField(max_length=50, blank=True, default="")
    author = models.CharField(max_length=500, blank=True, default="")
    labels = models.JSONField(default=dict)
    config = models.JSONField(default=dict)  # the inspect document's Config
    history = models.JSONField(
        default=list
    )  # oldest first: created_by, created_at, bytes, makes_layer, comment
    inspect = models.JSONField(default=dict)  # the document, without what is a host's own
    is_partial = models.BooleanField(default=False)  # content incomplete: layers unknown
    unheld_since = models.DateTimeField(null=True)  # nothing has it any more: see forgetting.images_forget

    def __str__(self) -> str:
        return self.content_key[:12]

    @property
    def platform(self) -> str:
        return "/".join(part for part in (self.operating_system, self.architecture, self.variant) if part)


class Layer(models.Model):
    """A filesystem diff at its place in a chain; stored once per host however many images use it."""

    chain_id = models.CharField(max_length=71)
    store_kind = models.CharField(max_length=20, choices=StoreKind.choices)
    diff_id = models.CharField(max_length=71)
    size_bytes = models.PositiveBigIntegerField()
    created_by = models.TextField(blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "store_kind"], name="layer_once_per_store_kind")
        ]

    def __str__(self) -> str:
        return self.chain_id[:19]


class ImageLayer(models.Model):
    """A layer's place in an image, position 0 at the bottom. Each store kind has its own rows."""

    image = models.ForeignKey(Image, models.CASCADE, related_name="image_layers")
    layer = models.ForeignKey(Layer, models.CASCADE, related_name="image_layers")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["image", "layer"], name="layer_once_per_image")]

    def __str__(self) -> str:
        return f"{self.image_id}[{self.position}]"


class CopyQuerySet(models.QuerySet["Copy"]):
    def visible_to(self, user: "User", permission: "Permission | str" = "view") -> Self:
        """The copies on hosts where the user has the permission."""
        from images import access

        return access.restrict_by_host(self, user, permission)

    def listed(self) -> Self:
        """Without the untagged parents of classic builds."""
        return self.filter(is_intermediate=False)


_SUMMED = (
    "is_intermediate", "host", "container_count", "size_bytes", "own_bytes", "built_at", "last_used_at",
)  # fmt: skip


class Copy(models.Model):
    """An image on one host. Unique by host and engine ID: an engine may hold two IDs of one content."""

    host = models.ForeignKey(Host, models.CASCADE, related_name="copies")
    image = models.ForeignKey(Image, models.PROTECT, related_name="copies")
    engine_id = models.CharField(max_length=100, db_index=True)  # "sha256:..." as this engine names it
    parent_engine_id = models.CharField(max_length=100, blank=True, default="")  # classic builds only

    # Derived from the references, for sorting and searching; kept by images/inventory/.
    repository = models.CharField(
        max_length=255, blank=True, default=""
    )  # of the first reference; "" = dangling
    tag = models.CharField(max_length=128, blank=True, default="")
    search_text = models.TextField(blank=True, default="")  # lower case: references, IDs, digests, labels
    is_dangling = models.BooleanField(default=False)  # no tag
    is_intermediate = models.BooleanField(default=False)  # an untagged parent of a classic build
    is_latest = models.BooleanField(default=False)  # one of its tags is `latest`
    is_behind = models.BooleanField(default=False)  # a registry has something newer; kept by remote_tags.py

    size_bytes = models.PositiveBigIntegerField(default=0)  # all its layers, shared ones included
    own_bytes = models.PositiveBigIntegerField(default=0)  # freed if only this copy went
    content_bytes = models.PositiveBigIntegerField(null=True)  # compressed blobs (containerd store)
    container_count = models.PositiveIntegerField(default=0)

    first_seen_at = models.DateTimeField()  # when it was first noticed on this host
    arrived_at = models.DateTimeField()  # when it came to the host: an event's time, else first_seen_at
    last_seen_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)  # a container was created, started or seen
    built_at = models.DateTimeField(null=True)  # the image's, repeated here to sort by

    objects = CopyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "copies"
        constraints = [models.UniqueConstraint(fields=["host", "engine_id"], name="copy_once_per_host")]
        indexes = [
            models.Index(fields=["repository", "tag", "id"]),
            models.Index(fields=["size_bytes", "id"]),
            models.Index(fields=["own_bytes", "id"]),
            models.Index(fields=["built_at", "id"]),
            models.Index(fields=["last_used_at", "id"]),
            models.Index(fields=["arrived_at", "id"]),
            models.Index(fields=["host", "repository", "tag"]),
            models.Index(fields=["container_count", "id"]),
            # What a grouped list adds up, so that it reads these and not every row of the fleet. The condition
            # always holds: who repeats it means these indexes, and no planner takes them for anything else.
            models.Index(fields=["repository", *_SUMMED], name="copy_by_repository", condition=Q(id__gt=0)),
            models.Index(fields=["image", *_SUMMED], name="copy_by_image", condition=Q(id__gt=0)),
            models.Index(fields=["tag"]),  # short search words look at its beginning
            # The rare ones, so that counting them does not walk through all the others.
            models.Index(fields=["id"], name="copy_in_use", condition=Q(container_count__gt=0)),
            models.Index(fields=["id"], name="copy_dangling", condition=Q(is_dangling=True)),
            models.Index(fields=["id"], name="copy_latest", condition=Q(is_latest=True)),
            models.Index(fields=["id"], name="copy_behind", condition=Q(is_behind=True)),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """The first reference, or the short ID of a dangling copy."""
        return f"{self.repository}:{self.tag}" if self.repository and self.tag else self.short_id

    @property
    def short_id(self) -> str:
        return self.engine_id.removeprefix("sha256:")[:12]


class Reference(models.Model):
    """`repository:tag` or `repository@digest` on one host, pointing at a copy."""

    copy = models.ForeignKey(Copy, models.CASCADE, related_name="references")
    host = models.ForeignKey(Host, models.CASCADE, related_name="+")
    name = models.CharField(max_length=450)  # as the engine writes it, e.g. "redis:7"
    registry = models.CharField(max_length=255)  # "docker.io" when the name has none
    repository = models.CharField(max_length=255)  # as written, without tag and digest
    tag = models.CharField(max_length=128, blank=True, default="")
    digest = models.CharField(max_length=100, blank=True, default="")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["host", "name", "copy"], name="reference_once_per_copy")
        ]
        indexes = [models.Index(fields=["repository"]), models.Index(fields=["registry"])]

    def __str__(self) -> str:
        return self.name


class ContainerState(models.TextChoices):
    """As the engines name them; Podman's are the last three. One that is not listed here shows as it came."""

    CREATED = "created", _("created")
    RUNNING = "running", _("running")
    PAUSED = "paused", _("paused")
    RESTARTING = "restarting", _("restarting")
    REMOVING = "removing", _("being removed")
    EXITED = "exited", _("exited")
    DEAD = "dead", _("dead")
    CONFIGURED = "configured", _("configured")
    INITIALIZED = "initialized", _("initialized")
    STOPPED = "stopped", _("stopped")


class Container(models.Model):
    """A container on a host, kept because it holds an image in use."""

    host = models.ForeignKey(Host, models.CASCADE, related_name="containers")
    copy = models.ForeignKey(Copy, models.SET_NULL, null=True, related_name="containers")
    # The content stays known after the copy was removed by force: the container still holds its layers.
    image = models.ForeignKey(Image, models.SET_NULL, null=True, related_name="+")
    container_id = models.CharField(max_length=64)
    name = models.CharField(max_length=255, blank=True, default="")
    image_engine_id = models.CharField(max_length=100, blank=True, default="")
    image_name = models.CharField(max_length=450, blank=True, default="")  # as its creator wrote it
    state = models.CharField(max_length=20, choices=ContainerState.choices, blank=True, default="")
    created_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["host", "container_id"], name="container_once_per_host")
        ]

    def __str__(self) -> str:
        return self.name or self.container_id[:12]


class PinQuerySet(models.QuerySet["Pin"]):
    def visible_to(self, user: "User", permission: "Permission | str" = "view") -> Self:
        """Pins on hosts the user may view, and those for every host on images the user may view."""
        from images import access

        return access.restrict_pins(self, user, permission)

    def active(self, now: datetime) -> Self:
        return self.filter(Q(ends_at=None) | Q(ends_at__gt=now))


class Pin(models.Model):
    """A person's "never remove this": on one host, or everywhere when no host is named."""

    image = models.ForeignKey(Image, models.CASCADE, related_name="pins")
    host = models.ForeignKey(
        Host, models.CASCADE, null=True, blank=True, related_name="pins", verbose_name=_("host")
    )
    reason = models.CharField(_("reason"), max_length=500)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    ends_at = models.DateTimeField(_("until"), null=True, blank=True)

    objects = PinQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.reason
