"""How fast something goes, smoothed over the last few seconds. Pure."""

MEASURE_SECONDS = 0.25  # less than this between two measurements says nothing
SMOOTHING = 0.3  # weight of the newest measurement


class Meter:
    """A smoothed rate, in units a second."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._done, self._at = 0, 0.0

    def measure(self, done: int, now: float) -> None:
        """`now` in seconds of a clock that never goes back. What falls behind begins anew, such as a second attempt."""
        passed = now - self._at
        if not self._at or done < self._done:
            self._done, self._at = done, now
        elif passed >= MEASURE_SECONDS:
            newest = (done - self._done) / passed
            self.rate = newest if not self.rate else SMOOTHING * newest + (1 - SMOOTHING) * self.rate
            self._done, self._at = done, now

    def left(self, done: int, total: int) -> float | None:
        """Seconds until the end at the present rate; None when nothing can be said."""
        return (total - done) / self.rate if self.rate > 0 and total > done else None
