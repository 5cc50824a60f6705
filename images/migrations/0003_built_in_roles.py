"""Writes the roles that come with Drydock; `access.BUILT_IN_ROLES` says the same, and a test holds the two together."""

from django.db import migrations

ROLES = [
    ("viewer", "Viewer", ["view"]),
    ("operator", "Operator", ["pull", "push", "tag", "view"]),
    (
        "maintainer",
        "Maintainer",
        ["build", "edit_policies", "pull", "push", "remove", "run_cleanup", "tag", "view"],
    ),
    (
        "admin",
        "Admin",
        [
            "build", "edit_policies", "manage_host", "manage_team", "pull", "push", "remove", "run_cleanup", "tag",
            "view",
        ],
    ),
]


def write_roles(apps, schema_editor):
    role = apps.get_model("images", "Role")
    for position, (slug, name, permissions) in enumerate(ROLES):
        role.objects.update_or_create(
            slug=slug,
            defaults={"name": name, "permissions": permissions, "is_built_in": True, "position": position},
        )


class Migration(migrations.Migration):
    dependencies = [("images", "0002_sign_in_attempts")]
    operations = [migrations.RunPython(write_roles, migrations.RunPython.noop)]
