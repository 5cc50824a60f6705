"""What a removal is promised to free. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Promise:
    """Bytes as exactly as they are known: `low` to `high`, or at most `high` where it is "up to"."""

    low: int = 0
    high: int = 0
    is_up_to: bool = False  # a build cache may hold layers back, all of them even

    @property
    def is_exact(self) -> bool:
        return self.low == self.high and not self.is_up_to

    def is_kept(self, freed_bytes: int) -> bool:
        """Whether what was freed lies within what was promised."""
        return (0 if self.is_up_to else self.low) <= freed_bytes <= self.high

    @property
    def values(self) -> dict[str, Any]:
        """For the parameters and the result of a job."""
        return {"promised_bytes": self.high, "promised_low_bytes": self.low, "is_up_to": self.is_up_to}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self | None:
        """The promise among these values of a job; None without one. Old ones tell no lower bound."""
        high = values.get("promised_bytes")
        if high is None:
            return None
        return cls(values.get("promised_low_bytes", high), high, values.get("is_up_to", False))
