"""Who listens to the live events, and what they may hear of. Reads the database; call it from a thread."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone

from images import access
from images.live.asgi import fresh_connections, person_of
from images.models import User


@dataclass(frozen=True)
class Listener:
    """A session, whose it is, and the hosts that person may see."""

    session_key: str
    user_id: int
    auth_hash: str  # changes with the password: that signs other sessions out
    scope: access.HostScope


def allowed_topics(listener: Listener, topics: Iterable[str]) -> frozenset[str]:
    """Without what is told to other people alone: `by:<user>` says which jobs that person started."""
    own = f"by:{listener.user_id}"
    return frozenset(topic for topic in topics if topic == own or not topic.startswith("by:"))


@fresh_connections()
def listener_of(session_key: str) -> Listener | None:
    """Whose session this is.

    None when it is nobody's or has ended, or its person was switched off or has to choose a new password.
    """
    user = person_of(HttpRequest(), session_key)
    if user is None or user.must_change_password:
        return None
    return Listener(session_key, user.pk, user.get_session_auth_hash(), access.host_scope(user, "view"))


@fresh_connections()
def listeners_again(listeners: Sequence[Listener]) -> list[Listener | None]:
    """The same, for listeners that were let in before; together, because there may be a thousand of them."""
    keys = {each.session_key for each in listeners}
    sessions = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    alive = set(sessions.values_list("session_key", flat=True))
    people = User.objects.filter(is_active=True, must_change_password=False)
    users = people.filter(pk__in={each.user_id for each in listeners}).in_bulk()
    return [
        _again(each, users.get(each.user_id)) if each.session_key in alive else None for each in listeners
    ]


def _again(listener: Listener, user: User | None) -> Listener | None:
    if user is None or user.get_session_auth_hash() != listener.auth_hash:
        return None
    scope = access.host_scope(user, "view")
    return Listener(listener.session_key, listener.user_id, listener.auth_hash, scope)
