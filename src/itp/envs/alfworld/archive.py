"""Unpack an archive of ALFWorld games so that an interrupted attempt is never mistaken for the whole.

`itp data alfworld --archive` stands on it. Everything is written beside the target under a temporary name, which the
target gets in one rename at the end. Names that lead outside, links and devices are refused before they are written.
"""

from __future__ import annotations

import contextlib
import fcntl
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from itp.envs.alfworld.data import GAMES_FOLDER, locate_data
from itp.errors import DataError

Progress = Callable[[int, int], None]
"""(bytes of the archive read, bytes of the archive)"""
_Entry = tuple[str, "IO[bytes] | None"]
"""Name within the archive, and content; None for a folder."""
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError)


def unpack(archive: str | Path, out: str | Path, on_progress: Progress | None = None) -> Path:
    """Unpack an archive of games into a new folder.

    Args:
        archive: a .tar.xz, .tar.gz, .tar or .zip file with a folder `json_2.1.1` in it, at the top or below one folder.
        out: folder to create; it will hold `json_2.1.1` itself, whatever the archive puts around it.
        on_progress: called now and then.

    Returns:
        The folder.

    Raises:
        DataError: the archive is missing, damaged, unsafe or no ALFWorld archive; the target exists or cannot be
            written. Nothing is left behind then.
    """
    archive, out = Path(archive).expanduser(), Path(out).expanduser().absolute()
    if not archive.is_file():
        raise DataError(f"--archive {archive} is not a file: name a .tar.xz or .zip of ALFWorld games")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"--out {out} exists and is not empty: look at it with --data {out}, or name another folder")
    scratch = out.with_name(f".{out.name}.unpacking-{os.getpid()}")
    lock = -1
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(out)
        scratch.mkdir()
        lock = _lock(scratch)
        _extract(archive, scratch, on_progress)
        root = locate_data(scratch)
        if root is None:
            raise DataError(f"{archive} holds no folder {GAMES_FOLDER}: it is no archive of ALFWorld games")
        root.rename(out)
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(f"{archive} is damaged or no archive ({_first_line(error)}): get it again") from error
    except (OSError, RuntimeError, NotImplementedError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or _first_line(error)
        raise DataError(f"{archive} cannot be unpacked into {out} ({reason}): make room or change --out") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if lock >= 0:
            os.close(lock)
    return out


def _lock(folder: Path) -> int:
    """A lock on a folder that the kernel drops with its process, however that ends; raises BlockingIOError if taken."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _remove_leftovers(out: Path) -> None:
    """Delete what killed processes left half unpacked; what a living one is at work on stays."""
    for folder in out.parent.glob(f".{out.name}.unpacking-*"):
        with contextlib.suppress(OSError):
            os.close(_lock(folder))
            shutil.rmtree(folder, ignore_errors=True)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _extract(archive: Path, folder: Path, on_progress: Progress | None) -> None:
    """Write every file of the archive below `folder`."""
    total = archive.stat().st_size
    with archive.open("rb") as file:
        entries = _zip_entries(file) if zipfile.is_zipfile(archive) else _tar_entries(file)
        for name, content in entries:
            target = folder / _safe(name, archive)
            if content is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with content, target.open("wb") as copy:
                shutil.copyfileobj(content, copy)
            if on_progress is not None:
                on_progress(min(file.tell(), total), total)


def _safe(name: str, archive: Path) -> PurePosixPath:
    """The entry's name, if it stays within the folder it is unpacked into."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise DataError(f"{archive} is refused: its entry {name!r} leads outside the folder it is unpacked into")
    return path


def _tar_entries(file: IO[bytes]) -> Iterator[_Entry]:
    with tarfile.open(fileobj=file, mode="r|*") as tar:
        for member in tar:
            if not member.isfile() and not member.isdir():
                raise DataError(f"{file.name} is refused: its entry {member.name!r} is a link or a device, not a file")
            yield member.name, tar.extractfile(member)


def _zip_entries(file: IO[bytes]) -> Iterator[_Entry]:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataError(f"{file.name} is refused: its entry {entry.filename!r} is a link or a device")
            yield entry.filename, None if entry.is_dir() else archive.open(entry)
