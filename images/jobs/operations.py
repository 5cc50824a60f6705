"""What each kind of job does. A new kind is one function here (or in another room) with the decorator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from images import audit
from images.errors import Text
from images.models.people import Permission

if TYPE_CHECKING:
    from images.jobs.context import JobContext

Handler = Callable[["JobContext"], dict[str, Any]]


@dataclass(frozen=True)
class Operation:
    """How a kind of job behaves. `repeatable` jobs are queued again when their worker was lost."""

    kind: str
    label: Text
    permission: Permission
    handler: Handler
    queue: str = "engine"
    deadline_seconds: int = 3600
    repeatable: bool = False
    # The field of Host that says how many jobs of this sort it does at once; "" for as many as there are.
    limit: str = ""
    # Whether an ended job may be started anew with the same input; see retry.py.
    can_retry: bool = True


OPERATIONS: dict[str, Operation] = {}


def operation(
    kind: str, *, label: Text, permission: Permission, queue: str = "engine", deadline_seconds: int = 3600,
    repeatable: bool = False, limit: str = "", can_retry: bool = True,
) -> Callable[[Handler], Handler]:  # fmt: skip
    """Registers the decorated function as what jobs of this kind do; it returns the job's result."""

    def register(handler: Handler) -> Handler:
        OPERATIONS[kind] = Operation(
            kind, label, permission, handler, queue, deadline_seconds, repeatable, limit, can_retry
        )
        audit.ACTIONS[f"job.{kind}"] = label
        return handler

    return register
