"""Folders that nobody else can write in."""

import os

import pytest

from assay.solvers.private_folder import NotPrivate, check_private, make_private, user_cache

pytestmark = pytest.mark.skipif(not hasattr(os, "getuid"), reason="modes and owners are those of POSIX systems")


@pytest.fixture
def base(tmp_path):
    tmp_path.chmod(0o755)
    return tmp_path / "cache"


def test_folders_are_made_for_this_user_alone(base):
    mask = os.umask(0o000)
    try:
        folder = make_private(base, "assay", "compiled")
    finally:
        os.umask(mask)
    assert folder == base / "assay" / "compiled"
    assert [path.stat().st_mode & 0o777 for path in (base, folder.parent, folder)] == [0o700] * 3
    assert make_private(base, "assay", "compiled") == folder


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o755, 0o722])
def test_a_folder_of_ours_that_is_open_to_others_is_refused(base, mode):
    folder = make_private(base, "assay", "compiled")
    for path in (folder, folder.parent):
        path.chmod(mode)
        with pytest.raises(NotPrivate, match="open to others: chmod 700 it"):
            make_private(base, "assay", "compiled")
        path.chmod(0o700)


@pytest.mark.parametrize(("mode", "refused"), [(0o775, True), (0o757, True), (0o1777, False), (0o755, False)])
def test_a_folder_on_the_way_may_be_read_but_not_written_by_others(base, mode, refused):
    make_private(base, "assay")
    base.chmod(mode)
    if refused:
        with pytest.raises(NotPrivate, match="can be written by others: chmod go-w it"):
            make_private(base, "assay")
    else:
        make_private(base, "assay")


def test_links_lead_on_but_ours_are_folders(base, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    base.symlink_to("elsewhere")
    folder = make_private(base, "assay")
    assert (elsewhere / "assay").is_dir()
    elsewhere.chmod(0o777)
    with pytest.raises(NotPrivate, match="elsewhere can be written by others"):
        make_private(base, "assay")
    elsewhere.chmod(0o755)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(NotPrivate, match="is a link or no folder"):
        make_private(base, "assay")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_what_belongs_to_somebody_else_is_refused(base):
    folder = make_private(base, "assay")
    os.chown(folder, 12345, -1)
    with pytest.raises(NotPrivate, match="open to others"):
        check_private(folder, own=1)
    os.chown(folder, 0, -1)
    os.chown(base, 12345, -1)
    with pytest.raises(NotPrivate, match="belongs to another user"):
        check_private(folder, own=1)


def test_what_cannot_be_made_says_why(base):
    base.write_text("a file")
    with pytest.raises(NotPrivate, match=str(base)):
        make_private(base, "assay")


def test_the_users_cache_folder_follows_the_system(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert user_cache() == tmp_path or os.uname().sysname == "Darwin"
    for value in ("", "relative"):  # the specification: a path that is not absolute is ignored
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert user_cache().parent in (tmp_path / "home", tmp_path / "home" / "Library")


def test_a_home_that_is_no_absolute_path_is_nobodys(monkeypatch):
    """It would be another folder, and perhaps another user's, after every change of the working one."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "relative")
    with pytest.raises(NotPrivate, match="no absolute path"):
        user_cache()
