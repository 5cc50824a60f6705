"""Compiles config/locale/*/LC_MESSAGES/*.po, without gettext's own tools; run by `make setup`."""

import polib

from config.env import BASE_DIR

LOCALE = BASE_DIR / "config" / "locale"


def main() -> None:
    for path in sorted(LOCALE.glob("*/LC_MESSAGES/*.po")):
        target = path.with_suffix(".mo")
        if not target.exists() or target.stat().st_mtime < path.stat().st_mtime:
            polib.pofile(str(path)).save_as_mofile(str(target))


if __name__ == "__main__":
    main()
