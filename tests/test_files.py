"""Files replaced in one step, whatever stops it; and files of others, read with bounds."""

import errno
import io
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from assay.solvers import files
from assay.solvers.files import locked, parse_json, read_bytes, read_text, replace


def full(stream):
    stream.write(b"half of it")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupted(stream):
    stream.write(b"half of it")
    raise KeyboardInterrupt


@pytest.mark.parametrize("content", ["naïve\n", "naïve\n".encode(), lambda stream: stream.write("naïve\n".encode())])
def test_text_bytes_and_writers_replace_a_file(tmp_path, content):
    path = tmp_path / "a.txt"
    for _ in range(2):
        replace(path, content)
        assert path.read_bytes() == "naïve\n".encode() and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_mode_follows_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        replace(tmp_path / "a", b"")
        with locked(tmp_path / "a"):
            pass
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o666 & ~mask}


@pytest.mark.parametrize(("content", "error"), [(full, OSError), (interrupted, KeyboardInterrupt)])
def test_what_stops_leaves_the_old_file_and_nothing_else(tmp_path, content, error):
    path = tmp_path / "a"
    replace(path, "old")
    with pytest.raises(error) as caught:
        replace(path, content)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a"]
    if error is OSError:
        assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path)


def test_a_stop_at_the_rename_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        replace(tmp_path / "a", "new")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        replace(tmp_path / "no" / "a", "")
    assert caught.value.filename == str(tmp_path / "no" / "a")


@pytest.mark.parametrize("kind", ["link", "dangling", "folder", "pipe"])
def test_only_plain_files_are_replaced_locked_or_read(tmp_path, kind):
    precious, path = tmp_path / "precious", tmp_path / "a"
    precious.write_text("mine")
    made = {
        "link": lambda: path.symlink_to(precious),
        "dangling": lambda: path.symlink_to(tmp_path / "new"),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }
    made[kind]()
    for attempt in (lambda: replace(path, "x"), lambda: os.close(files.open_own(path))):
        with pytest.raises(OSError, match=r"link|[Ll]inks|folder|directory|plain") as caught:
            attempt()
        assert caught.value.filename == str(path)
    if kind in ("folder", "pipe"):
        with pytest.raises(OSError, match=r"folder|plain"):
            read_bytes(path)
    assert precious.read_text() == "mine" and not (tmp_path / "new").exists()


def test_a_link_at_the_lock_is_not_followed(tmp_path):
    (tmp_path / ".a.lock").symlink_to(tmp_path / "new")
    with pytest.raises(OSError, match=r"\.a\.lock"), locked(tmp_path / "a"):
        pass
    assert not (tmp_path / "new").exists()


def test_what_a_killed_writer_left_is_cleared_away_and_work_in_progress_is_not(tmp_path):
    code = (
        "import os, sys; from assay.solvers.files import replace\n"
        "replace(sys.argv[1], lambda stream: (stream.write(b'x'), stream.flush(), os.kill(os.getpid(), 9)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], env=environment, check=False)
    assert killed.returncode == -9
    (left,) = tmp_path.iterdir()
    begun, go_on = threading.Event(), threading.Event()

    def slowly(stream):
        stream.write(b"slow")
        begun.set()
        go_on.wait(60)

    other = threading.Thread(target=replace, args=(tmp_path / "a", slowly))
    other.start()
    assert begun.wait(60)
    replace(tmp_path / "a", "quick")
    assert not left.exists() and (tmp_path / "a").read_text() == "quick" and len(os.listdir(tmp_path)) == 2
    go_on.set()
    other.join()
    assert (tmp_path / "a").read_text() == "slow" and os.listdir(tmp_path) == ["a"]


def test_a_lock_excludes(tmp_path):
    with locked(tmp_path / "a"):
        other = files.open_own(tmp_path / ".a.lock")
        assert not files.lock(other, wait=False)
    assert files.lock(other, wait=False)
    os.close(other)


def test_reading_is_bounded(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(ValueError, match="larger than"):
        read_bytes(path)
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="plain"):
        read_bytes(tmp_path / "zero")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="UTF-8"):
        read_text(path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000 + "]" * 200_000,
        '{"a":' * 200_000 + "1" + "}" * 200_000,
        "[" * 65 + "]" * 65,
        "[NaN]",
        "-Infinity",
        "1" * 5000,
        "{",
        "",
        b"\xff",
    ],
)
def test_json_that_nobody_should_read(text):
    with pytest.raises(ValueError, match="JSON|digits") as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)


def test_json_that_everybody_can_read():
    assert parse_json("[" * 64 + "]" * 64)
    assert parse_json('{"a": "' + "[" * 100 + r"\"" + '", "b": 1.5}')["b"] == 1.5
    assert np.isnan(parse_json("NaN", nan=True))
    assert parse_json(io.BytesIO(b"[1]").read()) == [1]
