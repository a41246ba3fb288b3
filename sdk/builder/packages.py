"""Debian packages of a foreign architecture: resolved by apt in a world of its own, locked, fetched, checked by sha256.

A lock names versions, hashes and pool paths, and no server: packages come from the mirrors that this machine's own
apt is set up with.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from oci.layout import write_whole
from poco.errors import BadInputError, PewError
from sdk.builder.description import Description, PackageLayer

SUITE = "bookworm"
#: Debian's names of the platforms' architectures.
DEBIAN = {"linux/arm/v7": "armhf", "linux/arm64": "arm64", "linux/amd64": "amd64"}
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_HELPER = Path("/usr/lib/apt/apt-helper")
_OTHER_MIRROR = "PEW_DEBIAN_MIRROR"
_INSTALL = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)


@dataclass(frozen=True)
class Package:
    """One locked package file."""

    name: str
    version: str
    sha256: str
    size: int
    path: str


#: Per layer of the description, per platform: its packages.
Lock = list[dict[str, list[Package]]]


def load_lock(path: Path, description: Description) -> Lock:
    """Read the lock of a dapp and check that it answers what its description asks.

    Raises:
        BadInputError: no lock, a broken one, or one for another list of packages.
    """
    hint = f"run: python -m sdk.builder build {description.name} --refresh-lock"
    try:
        document = json.loads(path.read_text())
        layers = [
            {
                platform: [Package(**package) for package in packages]
                for platform, packages in layer["platforms"].items()
            }
            for layer in document["layers"]
        ]
        asked = [layer["request"] for layer in document["layers"]]
    except FileNotFoundError as error:
        raise BadInputError(f"{path.name} is missing", hint=hint) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInputError(f"{path.name} cannot be read: {error}", hint=hint) from error
    wanted = [_request(layer) for layer in description.layers]
    if asked != wanted or any(not set(description.platforms) <= set(layer) for layer in layers):
        raise BadInputError(f"{path.name} is for other packages than dapp.yaml names", hint=hint)
    return layers


def save_lock(path: Path, description: Description, lock: Lock) -> None:
    """Write a lock, one package a line."""
    lines = ['{"suite": ' + json.dumps(SUITE) + ', "layers": [']
    for number, (layer, packages) in enumerate(zip(description.layers, lock, strict=True)):
        lines.append(f'{"," if number else ""}{{"request": {json.dumps(_request(layer))}, "platforms": {{')
        for position, (platform, entries) in enumerate(sorted(packages.items())):
            rows = ",\n".join("  " + json.dumps(asdict(entry)) for entry in entries)
            lines.append(f'{"," if position else ""}"{platform}": [\n{rows}\n]')
        lines.append("}}")
    lines.append("]}")
    path.write_text("\n".join(lines) + "\n")


def resolve(description: Description, cache: Path) -> Lock:
    """Ask apt what the description's packages are today.

    Raises:
        PewError: no apt, no mirror, or apt cannot satisfy the request.
    """
    lock: Lock = [{} for _ in description.layers]
    for platform in description.platforms:
        world = _AptWorld(cache / "apt" / DEBIAN[platform], DEBIAN[platform])
        world.update()
        taken: set[str] = set()
        asked: list[str] = []
        for number, layer in enumerate(description.layers):
            asked += layer.packages
            found = [package for package in world.closure(asked) if package.name not in taken]
            taken |= {package.name for package in found}
            kept = [package for package in found if package.name not in layer.exclude]
            lock[number][platform] = sorted(kept, key=lambda package: package.name)
    return lock


def fetch(packages: list[Package], cache: Path) -> list[Path]:
    """The package files, from the cache or from the machine's mirrors, each checked against its sha256.

    Raises:
        PewError: the archive no longer has one, or no mirror answers.
    """
    folder = cache / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [package for package in packages if not (folder / package.sha256).exists()]
    for mirror in _mirrors() if missing else []:
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            command = [str(_HELPER), "-q", "-o", "Acquire::Retries=2", "download-file"]
            for package in missing:
                uri = package.path.replace("+", "%2b").replace("~", "%7e")
                command += [f"{mirror}/{uri}", f"{fresh}/{package.sha256}", f"SHA256:{package.sha256}"]
            subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
            for path in Path(fresh).iterdir():
                # Read, not moved: it is a link where the mirror is a folder. apt checks the hash too; a cache is only
                # as good as its names.
                content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() == path.name:
                    write_whole(folder / path.name, content)
        missing = [package for package in missing if not (folder / package.sha256).exists()]
        if not missing:
            break
    if missing:
        names = ", ".join(f"{package.name} {package.version}" for package in missing[:5])
        raise PewError(
            f"{len(missing)} locked packages could not be fetched from this machine's Debian mirrors: {names}",
            hint="check the network; if the archive has newer versions, build with --refresh-lock",
        )
    return [folder / package.sha256 for package in packages]


class _AptWorld:
    """apt with its own state for one architecture; only keys, proxies and logins are the machine's."""

    def __init__(self, folder: Path, architecture: str) -> None:
        for sub in ("lists/partial", "archives/partial"):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        (folder / "status").write_text("")
        signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
        (folder / "sources.list").write_text("".join(f"deb {signed}{uri} {SUITE} main\n" for uri in _mirrors()))
        settings = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            "Dir::State": folder,
            "Dir::State::status": folder / "status",
            "Dir::State::lists": folder / "lists",
            "Dir::Cache": folder,
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Debug::NoLocking": "true",
        }
        self._options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        self._architecture = architecture

    def update(self) -> None:
        self._run("apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "update")

    def closure(self, names: list[str]) -> list[Package]:
        plan = self._run("apt-get", "-qq", "--simulate", "install", *names)
        chosen = [f"{name}={version}" for name, version in _INSTALL.findall(plan)]
        shown = self._run("apt-cache", "show", *chosen)
        packages = {}
        for stanza in shown.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in stanza.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
            if "Filename" in fields:
                name = fields["Package"]
                packages[name] = Package(
                    name, fields["Version"], fields["SHA256"], int(fields["Size"]), fields["Filename"]
                )
        return list(packages.values())

    def _run(self, tool: str, *arguments: str) -> str:
        command = [tool, *self._options, *arguments]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )
        if done.returncode:
            said = next((line for line in done.stderr.splitlines() if line.startswith("E:")), done.stderr[-300:])
            said = re.sub(r"https?://[^ ]*", "the mirror", said)
            raise PewError(
                f"apt cannot resolve packages for {self._architecture}: {said}",
                hint="check the package names in dapp.yaml and the network, then try again",
            )
        return done.stdout


def _mirrors() -> list[str]:
    """Base addresses of the Debian mirrors of this machine's apt.

    Raises:
        PewError: this is no Debian-like system, or it knows no Debian mirror.
    """
    if not _HELPER.exists():
        raise PewError(
            "Debian's apt is needed to build images, and this system has none",
            hint="build on Debian, or with: docker buildx build --platform linux/arm64 dapps/<name>",
        )
    found = [os.environ[_OTHER_MIRROR].rstrip("/")] if os.environ.get(_OTHER_MIRROR) else []
    folder = Path("/etc/apt")
    for path in [*sorted(folder.glob("sources.list.d/*.sources"))]:
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            fields = dict(
                line.split(":", 1) for line in stanza.splitlines() if ":" in line and not line.startswith(("#", " "))
            )
            if fields.get("Enabled", "yes").strip() != "no":
                found += _main_uris(fields.get("URIs", "").split(), fields.get("Suites", "").split())
    for path in [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]:
        lines = path.read_text().splitlines() if path.exists() else []
        for line in lines:
            if match := re.match(r"deb\s+(?:\[[^]]*\]\s*)?(\S+)\s+(\S+)\s", line + " "):
                found += _main_uris([match[1]], [match[2]])
    if not found:
        raise PewError(
            "No Debian mirror is set up on this machine",
            hint=f"name one: {_OTHER_MIRROR}=<address of a Debian mirror> python -m sdk.builder ...",
        )
    return list(dict.fromkeys(found))


def _main_uris(uris: list[str], suites: list[str]) -> list[str]:
    """A Debian mirror carries all releases: any Debian release's main suite shows that it is one."""
    releases = {"bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"}
    return [uri.rstrip("/") for uri in uris if uri.startswith(("http:", "https:", "file:")) and releases & set(suites)]


def _request(layer: PackageLayer) -> dict[str, list[str]]:
    return {"packages": layer.packages, "exclude": layer.exclude}
