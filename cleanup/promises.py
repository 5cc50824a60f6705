"""What a removal is promised to free. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
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
