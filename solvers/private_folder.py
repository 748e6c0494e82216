"""A folder that nobody but this user can write in, for files that are trusted when they are read back."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotPrivate(Exception):
    """Why a folder is not this user's alone, and what to do, in one line."""


def user_cache() -> Path:
    """Where programs of this user keep what they can make again: the convention of the operating system.

    Raises:
        NotPrivate: nobody knows, for the user has no home.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.name == "nt":
        local = os.environ.get("LOCALAPPDATA", "")
        return Path(local) if local else _home() / "AppData" / "Local"
    if Path(given).is_absolute():
        return Path(given)
    return _home() / ("Library/Caches" if os.uname().sysname == "Darwin" else ".cache")


def _home() -> Path:
    try:
        home = Path.home()
    except RuntimeError:
        raise NotPrivate("this user has no home folder: set XDG_CACHE_HOME") from None
    if not home.is_absolute():  # another folder after every change of the working one, and perhaps somebody else's
        raise NotPrivate(f"the home folder, {home}, is no absolute path: set HOME or XDG_CACHE_HOME")
    return home


def make_private(base: Path, *names: str) -> Path:
    """base/names[0]/names[1]/..., made with mode 0700 where it is missing.

    Raises:
        NotPrivate: somebody else owns one of them, or can write it or a folder on the way to it, or put another in its
            place; or one cannot be made.
    """
    folder = base
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            folder = folder / name
            folder.mkdir(mode=0o700, exist_ok=True)
        check_private(folder, own=len(names))
    except OSError as error:
        raise NotPrivate(f"{error.filename or folder}: {error.strerror or error}") from None
    return folder


def check_private(folder: Path, own: int) -> None:
    """``make_private`` without making anything; the last ``own`` of the folders are ours and not links.

    Elsewhere on the way a folder may belong to the system, be a link, or be one in which everybody can make files but
    nobody can touch those of others (/tmp).

    Raises:
        NotPrivate, OSError
    """
    if not hasattr(os, "getuid"):  # Windows: folders of a user's profile are the user's by their access lists
        return
    ours = [folder, *folder.parents][:own]
    for path in ours:
        about = os.lstat(path)
        if not stat.S_ISDIR(about.st_mode):
            raise NotPrivate(f"{path} is a link or no folder: remove it")
        if about.st_uid != os.getuid() or about.st_mode & 0o077:
            raise NotPrivate(f"{path} is open to others: chmod 700 it, or remove it if it is not yours")
    for path in _steps(folder.parents[own - 1] if own else folder):
        about = os.lstat(path)
        if about.st_uid not in (0, os.getuid()):
            raise NotPrivate(f"{path} belongs to another user, who could put another folder in place of {folder}")
        everybodys = about.st_mode & 0o022 and not about.st_mode & stat.S_ISVTX
        if everybodys and not stat.S_ISLNK(about.st_mode):
            raise NotPrivate(f"{path} can be written by others: chmod go-w it")


def _steps(path: Path) -> list[Path]:
    """Every folder and link through which a path leads."""
    steps, todo = [], Path(os.path.abspath(path))
    for _ in range(64):
        chain = [todo, *todo.parents]
        steps += chain
        link = next((p for p in reversed(chain) if p.is_symlink()), None)
        if link is None:
            return steps
        todo = Path(os.path.abspath(link.parent / os.readlink(link) / todo.relative_to(link)))
    raise NotPrivate(f"{path} leads through too many links")
