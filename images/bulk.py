"""Writes many small rows at once. The ORM makes an object and a clause of each: a third of a first sync."""

from collections.abc import Collection, Sequence

from django.db import connection

from images.models import Copy, ImageLayer


def image_layers_add(rows: Sequence[tuple[int, int, int]]) -> None:
    """Adds (image, layer, position); what another sync has added meanwhile stays."""
    table = connection.ops.quote_name(ImageLayer._meta.db_table)
    _many(
        f"INSERT INTO {table} (image_id, layer_id, position) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",  # noqa: S608
        rows,
    )


def own_bytes_write(rows: Collection[tuple[int, int]]) -> None:
    """Sets (bytes, copy)."""
    table = connection.ops.quote_name(Copy._meta.db_table)
    _many(f"UPDATE {table} SET own_bytes = %s WHERE id = %s", rows)  # noqa: S608


def _many(sql: str, rows: Collection[tuple[int, ...]]) -> None:
    """The statement is a constant but for the table's own name; every value is a parameter."""
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(sql, list(rows))
