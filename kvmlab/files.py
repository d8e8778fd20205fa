"""Files that are written: the name is looked at first, and what is wrong with it is told in words."""

from __future__ import annotations

import os
import shutil
from os import PathLike
from pathlib import Path

from kvmlab.engine import InputError

NAME_LIMIT = 200


def checked(path: str | PathLike[str], suffixes: tuple[str, ...], example: str) -> Path:
    """Return the path of a file that is to be written, if its name ends as it should.

    Args:
        path: where to write.
        suffixes: the endings allowed, such as ``.html``; capital letters do not matter.
        example: a good name, for the message.

    Raises:
        InputError: it is no name of a file, or it ends otherwise.
    """
    try:
        file = Path(path)
    except TypeError:
        raise InputError(f"path is {_short(path)}; it must be the name of a file, such as {example!r}") from None
    if file.suffix.lower() not in suffixes:
        *some, last = suffixes
        raise InputError(f"path is {_short(file)}; it must end in {', '.join(some)}{' or ' * bool(some)}{last}")
    return file


def write(file: Path, data: bytes) -> Path:
    """Write a file, replacing what was there, as when a document is saved: all of it, or nothing is changed.

    Args:
        file: where; the directory must exist.
        data: all of it.

    Returns:
        The path.

    Raises:
        InputError: nothing can be written there; the message says why.
    """
    ready(file)
    try:
        _replace(file.resolve(), data)
    except OSError as error:
        raise InputError(f"path is {_short(file)} and cannot be written: {error.strerror}") from None
    return file


def ready(file: Path) -> None:
    """Look whether a file can be written, before work is put into what shall stand in it.

    Args:
        file: where; the directory must exist.

    Raises:
        InputError: nothing can be written there; the message says why.
    """
    try:
        if "\0" in str(file):
            raise ValueError("embedded null byte")
        if not file.parent.is_dir():
            raise NotADirectoryError(0, f"there is no directory {_short(file.parent)}")
        if file.is_dir():
            raise IsADirectoryError(0, "it is a directory")
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise PermissionError(0, "it may not be written")
    except OSError as error:
        raise InputError(f"path is {_short(file)} and cannot be written: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"path is {_short(file)} and cannot be written: {error}") from None


def directory(path: str | PathLike[str]) -> Path:
    """Return a directory that files are to be written in, made if it is not there.

    Args:
        path: the directory.

    Raises:
        InputError: it is no name of one, or it cannot be made.
    """
    try:
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
    except TypeError:
        raise InputError(f"path is {_short(path)}; it must be the name of a directory") from None
    except FileExistsError:
        raise InputError(f"path is {_short(path)}; it is no directory") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"path is {_short(path)} and cannot be made: {why}") from None
    return folder


def _replace(file: Path, data: bytes) -> None:
    """Write beside the file first, so that at no moment half of it is there."""
    beside = file.with_name(f".{file.name[:NAME_LIMIT]}.part")
    try:
        beside.write_bytes(data)
        if file.exists():
            shutil.copymode(file, beside)
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _short(value: object) -> str:
    """Quote a name in a message, cut where it is too long to be read."""
    words = repr(str(value))
    return words if len(words) <= NAME_LIMIT else words[:NAME_LIMIT] + "…"
