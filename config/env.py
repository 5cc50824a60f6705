"""Reads settings from the environment; a secret may also come from the file that `NAME_FILE` names."""

import secrets
from pathlib import Path

import environ
from cryptography.fernet import Fernet

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.FileAwareEnv()
DATA_DIR: Path = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".data")))


def _remembered(name: str, value: str) -> str:
    """The secret kept in `DATA_DIR/name`, made from `value` on the first start."""
    path = DATA_DIR / name
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        DATA_DIR.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(value)
        return value


def secret_key() -> str:
    """`SECRET_KEY`, or one made once and kept in the data directory (single-machine set-ups)."""
    return env.str("SECRET_KEY", default="") or _remembered("secret_key", secrets.token_urlsafe(48))


def encryption_keys() -> list[str]:
    """The Fernet keys that protect secrets at rest, newest first: add a new one in front to rotate."""
    keys = env.str("ENCRYPTION_KEYS", default="")
    keys = keys or _remembered("encryption_keys", Fernet.generate_key().decode())
    return [key.strip() for key in keys.replace("\n", ",").split(",") if key.strip()]
