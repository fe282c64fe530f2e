"""Replaced files are whole, keep their mode and their links, and leave nothing beside them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agnostic_rand.errors import ArgumentError
from agnostic_rand.results.replacement import replacing

from .stored import assert_equal, result


def write(path: Path, data: bytes = b"new") -> None:
    with replacing(path) as file:
        file.write(data)


def test_a_private_file_stays_private_and_is_never_open_to_others(tmp_path: Path) -> None:
    path = tmp_path / "private"
    path.touch()
    path.chmod(0o600)
    with replacing(path):
        assert [one.stat().st_mode & 0o777 for one in tmp_path.iterdir()] == [0o600, 0o600]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o666, 0o755, 0o444])
def test_the_mode_of_an_older_file_is_kept(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    write(path)
    assert path.stat().st_mode & 0o777 == mode
    assert path.read_bytes() == b"new"


def test_a_link_is_written_through_also_where_nothing_is_there_yet(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    link.symlink_to(target)
    for data in (b"first", b"second"):
        write(link, data)
        assert link.is_symlink()
        assert target.read_bytes() == data
    assert [one.name for one in target.parent.iterdir()] == ["target"]


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ArgumentError, match="loop"):
        write(tmp_path / "loop")
    assert (tmp_path / "loop").is_symlink()


def test_a_folder_that_is_missing_is_named_and_no_hidden_file(tmp_path: Path) -> None:
    path = tmp_path / "no" / "x.npz"
    with pytest.raises(ArgumentError, match=r"x\.npz.*no folder '.*no'") as told:
        result().save(path)
    assert ".part" not in str(told.value)


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, told in (("folder", "It is a folder"), ("pipe", "It is no regular file")):
        with pytest.raises(ArgumentError, match=f"{name}.*{told}"):
            write(tmp_path / name)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["folder", "pipe"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ArgumentError, match=r"file.*Permission denied"):
        write(tmp_path / "file")


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_any_fault_of_the_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fault(*_: object) -> None:
        raise OSError(code, os.strerror(code), str(tmp_path / ".hidden.part"))

    monkeypatch.setattr(os, "fsync", fault)
    with pytest.raises(ArgumentError, match=rf"the output '.*file': .*{os.strerror(code)}") as told:
        write(tmp_path / "file")
    assert "hidden" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit, ValueError])
def test_nothing_is_left_after_an_interruption(tmp_path: Path, fault: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise fault

    with pytest.raises(fault):
        interrupted()
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_what_a_killed_process_left_is_removed_by_the_next_save(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    code = (
        "import sys, time; from agnostic_rand.results.replacement import replacing\n"
        f"with replacing({str(path)!r}) as file:\n"
        "    file.write(b'half'); file.flush(); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    found = result()
    found.save(path)
    # Another's work in progress is left alone.
    assert len(list(tmp_path.iterdir())) == 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(list(tmp_path.iterdir())) == 2
    found.save(path)
    assert [one.name for one in tmp_path.iterdir()] == ["scores.npz"]
    assert_equal(found, type(found).load(path))


def test_files_of_others_that_look_alike_are_left_alone(tmp_path: Path) -> None:
    names = [".file.part", ".file.0.part", f".other.{'0' * 32}.part", f".file.{'0' * 32}.party"]
    for name in names:
        (tmp_path / name).touch()
    write(tmp_path / "file")
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([*names, "file"])


def test_the_longest_names_can_be_replaced(tmp_path: Path) -> None:
    for name in ("a" * 255, "é" * 127):
        write(tmp_path / name)
        write(tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 2


def test_many_savers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path, faults = tmp_path / "file", []

    def save(number: int) -> None:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            try:
                write(path, bytes([number]) * 1000)
            except Exception as error:  # noqa: BLE001 - told below
                faults.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    assert len(set(path.read_bytes())) == 1
    assert path.stat().st_size == 1000
