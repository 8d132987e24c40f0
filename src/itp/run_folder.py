"""A run's folder: opened once, resumed by the same command, refused to any other.

Every command that writes results opens its `--out` here first. The folder then holds `config.yaml` (the command, its
config, versions and git hash), a lock while a process writes, and whatever the command adds (`traces.jsonl`,
`results.json`, checkpoints). Where a launcher runs the command in several processes, the main one alone locks and
writes; see `itp.training.distributed`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

from itp import __version__
from itp.errors import ConfigError, DataError, ItpError, RunFolderError

CONFIG_NAME = "config.yaml"
LOCK_NAME = ".lock"
SCHEMA_VERSION = 1
REPORTED_PACKAGES = ("torch", "transformers", "trl", "tokenizers", "gymnasium", "numpy", "textworld", "alfworld")
_ABSENT = object()


class RunFolder:
    """An open run folder; holds its lock until `close` (or the end of a `with` block), on the main process.

    Attributes:
        path: the folder.
        resumed: whether the folder held this run already.
        versions: versions of this package and of the libraries it reports.
    """

    def __init__(self, path: Path, *, resumed: bool, versions: dict[str, str | None], lock: int | None) -> None:
        self.path = path
        self.resumed = resumed
        self.versions = versions
        self._lock: int | None = lock

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file of the folder in one piece, on the main process only; see `write_json`."""
        return write_json(self.path / name, content) if is_main() else self.path / name

    def close(self) -> None:
        """Release the lock. Calling it twice is harmless."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ItpError) and not self.resumed and self._lock is not None:
            self._forget()
        self.close()

    def _forget(self) -> None:
        """Take back a folder whose run was refused before it wrote anything: it would refuse the mended command."""
        if {entry.name for entry in self.path.iterdir()} <= {CONFIG_NAME, LOCK_NAME}:
            for name in (CONFIG_NAME, LOCK_NAME):
                (self.path / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.path.rmdir()


def is_main() -> bool:
    """Whether this process writes: the only one, or the first of those that a launcher started (RANK)."""
    return os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1"


def open_run(
    out: Path | str, config: Mapping[str, Any] | Any, *, command: str, ignore: Sequence[str] = ("out", "log")
) -> RunFolder:
    """Create a run folder, or open it again to resume the same run.

    A setting that the folder's itp did not know yet is the same where it has its default: a new setting's default does
    what was done before there was one.

    Args:
        out: the folder.
        config: the command's settings: a mapping or a dataclass. Paths, enums and tuples are stored as plain YAML.
        command: for example "eval" or "train policy".
        ignore: keys that may differ between the first run and a resumed one.

    Raises:
        RunFolderError: the folder holds a run with other settings (named, with both values), holds something else, or
            another process writes to it.
    """
    path = Path(out)
    if not is_main():  # the main process judges the folder; when it refuses, the launcher ends us all
        return RunFolder(path, resumed=False, versions=installed_versions(), lock=None)
    settings = {key: value for key, value in plain(config).items() if key not in ignore}
    try:
        path.mkdir(parents=True, exist_ok=True)
        ours = (LOCK_NAME, f".{CONFIG_NAME}.")  # left by a run that was killed before it wrote its config
        entries = {entry.name for entry in path.iterdir() if not entry.name.startswith(ours)}
    except OSError as error:
        raise RunFolderError(f"--out {path} cannot be used as a folder: {error.strerror}") from error
    if entries and CONFIG_NAME not in entries:
        raise RunFolderError(
            f"--out {path} is not empty and holds no run (there is no {CONFIG_NAME}): name a new or empty folder"
        )
    lock = _take_lock(path)
    try:
        resumed = (path / CONFIG_NAME).exists()
        if resumed:
            _check_same(path, command, settings, ignore, _flat(_defaults(config), ignore))
        else:
            _write_config(path, command, settings)
    except BaseException:
        os.close(lock)
        raise
    return RunFolder(path, resumed=resumed, versions=installed_versions(), lock=lock)


def read_config(path: Path | str) -> dict[str, Any]:
    """The content of a run's `config.yaml`: `command`, `config`, `versions`, `git`, `created`."""
    import yaml

    file = Path(path) / CONFIG_NAME
    if not file.is_file():
        raise RunFolderError(f"{path} is no run folder: there is no {CONFIG_NAME} in it")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{file} cannot be read as YAML: name another folder or delete this one") from error
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict) or "command" not in content:
        raise RunFolderError(f"{file} was not written by itp: name another folder")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise RunFolderError(
            f"{file} has schema version {content.get('schema_version')}, this itp reads {SCHEMA_VERSION}"
        )
    return content


def installed_versions() -> dict[str, str | None]:
    """Versions of itp, Python and the libraries that can change a result; None for what is not installed."""
    versions: dict[str, str | None] = {"itp": __version__, "python": sys.version.split()[0]}
    for name in REPORTED_PACKAGES:
        versions[name] = None
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def git_hash() -> str | None:
    """Commit of the checkout this package runs from, with "-dirty" for uncommitted changes; None outside one."""
    package = Path(__file__).resolve().parent
    try:
        top = _git(package, "rev-parse", "--show-toplevel")
        if Path(top).resolve() / "src" / "itp" != package:
            return None  # installed into somebody else's repository
        return _git(package, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None


def write_json(path: Path, content: Any) -> Path:
    """Write JSON in one piece: a reader sees the old file or the new one, never half of it."""
    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return write_text(path, text)


def beside(flag: str, checkpoint: str, name: str, out: Path | None) -> Path:
    """Where a command writes what belongs to a checkpoint: the file `name` in its folder, or `out` where it is given.

    Args:
        flag: the flag that names the checkpoint, for the message.
        checkpoint: its folder.
        name: the file's name there.
        out: another place.

    Raises:
        ConfigError: the checkpoint is no folder, and `out` is not given.
        DataError: the folder of `out` is not there.
    """
    if out is None and not Path(checkpoint).is_dir():
        raise ConfigError(f"{flag} {checkpoint} is no folder to write {name} into: give --out FILE.json")
    if out is not None and not out.parent.is_dir():
        raise DataError(f"--out {out}: there is no folder {out.parent}")
    return out or Path(checkpoint) / name


def write_text(path: Path, text: str) -> Path:
    """Write a text file in one piece, through a temporary file in the same folder."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def plain(value: Any) -> Any:
    """A value with only what JSON and YAML know: dataclasses and mappings become dicts, paths and enums text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Path):
        return str(value)
    return value


def _write_config(path: Path, command: str, settings: dict[str, Any]) -> None:
    import yaml

    content = {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "config": settings,
        "versions": installed_versions(),
        "git": git_hash(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_text(path / CONFIG_NAME, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _check_same(
    path: Path, command: str, settings: dict[str, Any], ignore: Sequence[str], defaults: Mapping[str, Any]
) -> None:
    stored = read_config(path)
    if stored["command"] != command:
        raise RunFolderError(
            f"--out {path} holds a run of `itp {stored['command']}`, not of `itp {command}`: name another folder"
        )
    before, settings = _flat(stored["config"], ignore), _flat(settings, ignore)
    known = {**defaults, **before}
    differing = [key for key in {**before, **settings} if known.get(key, _ABSENT) != settings.get(key, _ABSENT)]
    if differing:
        pairs = ", ".join(f"{key}: {_shown(before, key)} there, {_shown(settings, key)} now" for key in differing)
        raise RunFolderError(
            f"--out {path} holds a run with other settings ({pairs}): "
            "give the same values to resume it, or another --out"
        )


def _defaults(config: Any) -> dict[str, Any]:
    """The settings of a dataclass that have a default, with it; of a mapping none."""
    defaults: dict[str, Any] = {}
    for field in dataclasses.fields(config) if dataclasses.is_dataclass(config) else ():
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
    return plain(defaults)


def _flat(settings: Mapping[str, Any], ignore: Sequence[str]) -> dict[str, Any]:
    """Settings with those of nested groups beside the others, as flags are: their names are unique.

    A group that is ignored as a whole stays out with all that is in it.
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in ignore:
            flat |= _flat(value, ignore) if isinstance(value, Mapping) else {key: value}
    return flat


def _shown(settings: dict[str, Any], key: str) -> str:
    return repr(settings[key]) if key in settings else "(not set)"


def _take_lock(path: Path) -> int:
    """An advisory lock that the kernel drops with its process, so that a killed run never blocks the next one."""
    lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(lock, 64).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise RunFolderError(
            f"--out {path} is being written by another process (pid {holder}): "
            "wait for it, stop it, or name another folder"
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode("ascii"))
    return lock


def _git(folder: Path, *words: str) -> str:
    result = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=10)
    return result.stdout.strip()
