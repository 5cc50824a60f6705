from typing import Any

from django.db import migrations, models


def fill(apps: Any, schema_editor: Any) -> None:
    plans = apps.get_model("cleanup", "Plan").objects
    plans.filter(host_plans__is_up_to=True).update(is_up_to=True)


class Migration(migrations.Migration):
    """A run promises what its plan does: it has no figure of its own, which could tell one bound only."""

    dependencies = [
        ("cleanup", "0006_one_off_policies"),
    ]

    operations = [
        migrations.AddField(
            model_name="plan",
            name="is_up_to",
            field=models.BooleanField(default=False),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.RemoveField(
            model_name="run",
            name="promised_bytes",
        ),
        migrations.RemoveField(
            model_name="hostrun",
            name="promised_bytes",
        ),
    ]
