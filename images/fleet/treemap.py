"""Areas in proportion, as square as they come. Pure.

The squarified treemap of Bruls, Huizing and van Wijk (2000).
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float


def treemap(values: Sequence[float], width: float, height: float) -> list[Box]:
    """A box for each value, in the order given: positive numbers, largest first. The boxes fill the area."""
    total = sum(values)
    if not total:
        return []
    areas = [value * width * height / total for value in values]
    return _fill(areas, Box(0, 0, width, height))


def _fill(areas: list[float], free: Box) -> list[Box]:
    boxes: list[Box] = []
    while areas:
        side = min(free.width, free.height)
        count = 1
        while count < len(areas) and _worst(areas[: count + 1], side) <= _worst(areas[:count], side):
            count += 1
        row, free = _row(areas[:count], free)
        boxes += row
        areas = areas[count:]
    return boxes


def _worst(row: list[float], side: float) -> float:
    """The worst ratio of the sides of the boxes when the row lies along `side`; 1 is a square."""
    total = sum(row)
    return max(side**2 * max(row) / total**2, total**2 / (side**2 * min(row)))


def _row(row: list[float], free: Box) -> tuple[list[Box], Box]:
    """Lays the row along the shorter side of the free box; the boxes and what stays free."""
    total, boxes = sum(row), []
    if free.width >= free.height:
        thickness, y = total / free.height, free.y
        for area in row:
            boxes.append(Box(free.x, y, thickness, area / thickness))
            y += area / thickness
        return boxes, Box(free.x + thickness, free.y, max(free.width - thickness, 1e-9), free.height)
    thickness, x = total / free.width, free.x
    for area in row:
        boxes.append(Box(x, free.y, area / thickness, thickness))
        x += area / thickness
    return boxes, Box(free.x, free.y + thickness, free.width, max(free.height - thickness, 1e-9))
