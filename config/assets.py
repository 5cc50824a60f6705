"""Copies what the pages load from node_modules into build/vendor: an explicit list, nothing else is served.

Run by `make setup` after `npm ci`. Source map comments are cut off, because the manifest storage of static
files fails on maps that are not there.
"""

import re
import shutil
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
PACKAGES = BASE_DIR / "node_modules"
VENDOR = BASE_DIR / "build" / "vendor"

FILES = {
    "@tabler/core/dist/css/tabler.min.css": "tabler/tabler.min.css",
    "idiomorph/dist/idiomorph-ext.min.js": "idiomorph/idiomorph-ext.min.js",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter/inter-latin.woff2",
    "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2": "inter/inter-latin-ext.woff2",
}
# Outline icons of @tabler/icons, shown inline by the `icon` template tag.
ICONS = """
adjustments alert-triangle arrow-back-up arrow-down arrow-up arrows-sort ban bell box brand-docker eraser
calendar calendar-clock check chevron-down chevron-left chevron-right circle-check circle-x clock
clock-pause cloud copy cpu dashboard database dots-vertical download edit external-link eye file-text filter
folder hammer help history hourglass info-circle key language layers-intersect layout-dashboard link list
lock lock-open logout menu-2 moon package packages pin pinned pinned-off player-pause player-play
player-stop plug-connected plug-connected-x plus recycle refresh search server server-2 server-off settings
shield shield-check stack-2 sun sun-moon tag trash upload user user-off users users-group x
""".split()  # noqa: SIM905 - one word per icon is easier to keep than a list of strings
SOURCE_MAP = re.compile(rb"(/\*# sourceMappingURL=[^*]*\*/|//# sourceMappingURL=\S*)")


def main() -> None:
    shutil.rmtree(VENDOR, ignore_errors=True)
    copies = FILES | {f"@tabler/icons/icons/outline/{name}.svg": f"icons/{name}.svg" for name in ICONS}
    for source, target in copies.items():
        path = VENDOR / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(SOURCE_MAP.sub(b"", (PACKAGES / source).read_bytes()))


if __name__ == "__main__":
    main()
