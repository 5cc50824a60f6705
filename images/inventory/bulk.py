"""Writes many small rows at once. The ORM makes an object and a clause of each: a third of a first sync."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from django.db import connection, models

from images.models import Copy, ImageLayer

PLAIN = (models.CharField, models.TextField, models.IntegerField, models.BooleanField, models.ForeignKey)
"""Fields whose values a database takes as they are."""


def rows_add(model: type[models.Model], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Adds rows of a model from the values of the fields that are named (of a foreign key its `_id`).

    Every other field has its default. What `bulk_create` does beside that (primary keys, conflicts) is not there.
    """
    fields = {field.attname: field for field in model._meta.concrete_fields if not field.primary_key}
    given = [fields[name] for name in names]
    others = [field for name, field in fields.items() if name not in names]
    defaults = tuple(field.get_db_prep_save(field.get_default(), connection) for field in others)
    prepared = [(place, field) for place, field in enumerate(given) if not isinstance(field, PLAIN)]

    def row(values: Sequence[Any]) -> tuple[Any, ...]:
        whole = list(values)
        for place, field in prepared:
            whole[place] = field.get_db_prep_save(whole[place], connection)
        return (*whole, *defaults)

    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in (*given, *others))
    places = ", ".join(["%s"] * len(fields))
    _many(
        f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({places})",  # noqa: S608
        [row(values) for values in rows],
    )


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


def _many(sql: str, rows: Collection[tuple[Any, ...]]) -> None:
    """The statement is a constant but for the names of table and columns; every value is a parameter."""
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(sql, list(rows))
