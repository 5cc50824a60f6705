"""Settings for the tests: nothing is needed but a database, and only a temporary folder is written to."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

if "DATA_DIR" not in os.environ:
    os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="drydock-tests-")
    atexit.register(shutil.rmtree, os.environ["DATA_DIR"], ignore_errors=True)

from config import install
from config.env import DATA_DIR
from config.settings import *  # noqa: F403

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):  # noqa: F405
    # A file and not memory: threads and the processes of the live site must see the same rows and locks.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}  # noqa: F405
CELERY_BROKER_URL = "memory://"
# A slow hash is the point in production and only a cost here.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if Path(install.BUILDX).exists():
    BUILDX = str(install.BUILDX)
# WhiteNoise warns of a folder that is not there, and warnings are errors.
# Of its own: WhiteNoise reads it for each client, and falls over a file that goes meanwhile, as SQLite's do.
_static = DATA_DIR / "static"
_static.mkdir(parents=True, exist_ok=True)
STATIC_ROOT = str(_static)
