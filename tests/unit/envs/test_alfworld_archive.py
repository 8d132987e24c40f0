"""Unpacking archives of games: whole or not at all, and nothing outside the target."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from itp.envs.alfworld.archive import unpack
from itp.errors import DataError

GAME = "json_2.1.1/train/task/trial/game.tw-pddl"


def make_tar(path: Path, files: dict[str, bytes], *more: tarfile.TarInfo) -> Path:
    packed = {".xz": lzma.compress, ".gz": gzip.compress, ".tar": bytes}[path.suffix]
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for entry in more:
            tar.addfile(entry)
    path.write_bytes(packed(raw.getvalue()))
    return path


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def left_behind(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("name", ["games.tar.xz", "games.tar.gz", "games.tar", "games.zip"])
@pytest.mark.parametrize("around", ["", "alfworld/"])
def test_every_kind_of_archive_ends_in_the_same_folder(tmp_path: Path, name: str, around: str) -> None:
    make = make_zip if name.endswith(".zip") else make_tar
    archive = make(tmp_path / name, {f"{around}{GAME}": b"{}", f"{around}logic/alfred.pddl": b"x"})
    seen: list[tuple[int, int]] = []
    out = unpack(archive, tmp_path / "deep" / "out", lambda done, total: seen.append((done, total)))
    assert out == tmp_path / "deep" / "out"
    assert (out / GAME).read_bytes() == b"{}"
    assert left_behind(out) == ["json_2.1.1", "logic"]
    assert left_behind(out.parent) == ["out"]
    assert len(seen) == 2
    assert all(0 < done <= total == archive.stat().st_size for done, total in seen)


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "json_2.1.1/../../evil", "json_2.1.1\\..\\evil"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_lead_outside_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    folder = tmp_path / "in" / "side"
    folder.mkdir(parents=True)
    make = make_zip if kind == "zip" else make_tar
    archive = make(tmp_path / f"games.{kind}", {GAME: b"{}", name: b"evil"})
    with pytest.raises(DataError, match="leads outside"):
        unpack(archive, folder / "out")
    assert left_behind(folder) == []
    assert left_behind(tmp_path) == [f"games.{kind}", "in"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    entry = tarfile.TarInfo("json_2.1.1/link")
    entry.type, entry.linkname = kind, "/etc/passwd"
    archive = make_tar(tmp_path / "games.tar", {GAME: b"{}"}, entry)
    with pytest.raises(DataError, match="link or a device"):
        unpack(archive, tmp_path / "out")
    assert left_behind(tmp_path) == ["games.tar"]


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "games.zip", "w") as archive:
        entry = zipfile.ZipInfo("json_2.1.1/link")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="link or a device"):
        unpack(tmp_path / "games.zip", tmp_path / "out")


CUTS = [(name, share) for name in ("games.tar.xz", "games.tar.gz", "games.zip") for share in (0.0, 0.02, 0.5, 0.95)]


@pytest.mark.parametrize(("name", "share"), [*CUTS, ("games.tar", 0.45)])
def test_a_cut_archive_leaves_nothing(tmp_path: Path, name: str, share: float) -> None:
    make = make_zip if name.endswith(".zip") else make_tar
    archive = make(tmp_path / name, {f"{GAME}{n}": os.urandom(2000) for n in range(20)})
    archive.write_bytes(archive.read_bytes()[: int(share * archive.stat().st_size)])
    with pytest.raises(DataError, match="get it again") as caught:
        unpack(archive, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert left_behind(tmp_path) == [name]


def test_what_cannot_be_unpacked_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a file"):
        unpack(tmp_path / "gone.tar.xz", tmp_path / "out")
    (tmp_path / "text.tar.xz").write_text("not an archive")
    with pytest.raises(DataError, match="damaged or no archive"):
        unpack(tmp_path / "text.tar.xz", tmp_path / "out")
    with pytest.raises(DataError, match=r"holds no folder json_2\.1\.1"):
        unpack(make_tar(tmp_path / "other.tar", {"readme": b"x"}), tmp_path / "out")
    good = make_tar(tmp_path / "good.tar", {GAME: b"{}"})
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be unpacked into"):
        unpack(good, tmp_path / "file" / "out")
    (tmp_path / "full" / "json_2.1.1").mkdir(parents=True)
    with pytest.raises(DataError, match="not empty"):
        unpack(good, tmp_path / "full")
    (tmp_path / "empty").mkdir()
    assert (unpack(good, tmp_path / "empty") / GAME).is_file()


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive = make_tar(tmp_path / "games.tar", {GAME: b"{}"})
    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(DataError, match=r"No space left on device.*make room"):
        unpack(archive, tmp_path / "out")
    assert left_behind(tmp_path) == ["games.tar"]


def test_a_killed_attempt_is_no_data_and_the_next_starts_over(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "games.tar", {f"{GAME}{n}": b"x" * 100 for n in range(50)})
    code = (
        "import sys, time; from itp.envs.alfworld.archive import unpack\n"
        "unpack(sys.argv[1], sys.argv[2], lambda done, total: (print('going', flush=True), time.sleep(60)))"
    )
    words = [sys.executable, "-c", code, str(archive), str(tmp_path / "out")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert [name.startswith(".out.unpacking-") for name in left_behind(tmp_path)] == [True, False]
        # What a living process is at work on stays when another one unpacks to the same place.
        assert unpack(archive, tmp_path / "out").is_dir()
        assert any((tmp_path / f".out.unpacking-{process.pid}").rglob("game*"))
        (tmp_path / "out").rename(tmp_path / "first")
        process.send_signal(signal.SIGKILL)
        # Dead and not yet waited for: a zombie, as it stays in a container without an init process.
        while process.returncode is None and not _is_zombie(process.pid):
            time.sleep(0.01)
        unpack(archive, tmp_path / "out")
    assert left_behind(tmp_path) == ["first", "games.tar", "out"]
    assert len(list((tmp_path / "out").rglob("game*"))) == 50
