"""The name of a database's file: as a command line takes it, and whether Datasette can open it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from itertools import chain, count

MISREAD = re.compile(r"[#?]|%(?=[0-9A-Fa-f]{2})")
"""What does not mean itself in the address that Datasette makes of a path (`file:PATH?mode=ro`): its end,
or a character by its code, as https://sqlite.org/uri.html has it."""
MEMORY = ":memory:"
"""The name that SQLite takes for no file at all."""


def quote_for_shell(path: str) -> str:
    """A path as a shell takes it, and no command for an option."""
    path = f".{os.sep}{path}" if path.startswith("-") else path
    if os.name == "nt":
        return subprocess.list2cmdline([path])
    if path.isprintable():
        return shlex.quote(path)
    # Codes in place of what would disturb a terminal; shells that know no $'…' are few
    codes = (
        f"\\x{byte:02x}" if byte < 32 or byte > 126 else chr(byte) for byte in os.fsencode(path)
    )
    return "$'{}'".format("".join(f"\\{code}" if code in "\\'" else code for code in codes))


def is_opened_by_datasette(path: str) -> bool:
    """Whether Datasette opens this file under this path, and not another one or none.

    It puts the path into an address as it is: what follows a # or ? is lost, and a new, empty file with
    the beginning of the name may be made. A path with two slashes in front would begin with a server.
    """
    readable = MISREAD.search(path) is None and not path.startswith("//") and path != MEMORY
    return readable and _is_unicode(path)


def find_way_to_open(path: str) -> tuple[str | None, str] | None:
    """The folder to begin in, and the path for Datasette there; None where the name has to change."""
    if is_opened_by_datasette(path):
        return None, path
    folder, name = os.path.split(path)
    name = f"./{name}" if name == MEMORY else name
    return (folder or None, name) if is_opened_by_datasette(name) else None


def command_to_open(path: str, options: str = "") -> str | None:
    """The command line by which Datasette opens a file; None where its name has to change."""
    way = find_way_to_open(path)
    if way is None:
        return None
    folder, name = way
    command = f"datasette {options}{quote_for_shell(name)}"
    return command if folder is None else f"cd {quote_for_shell(folder)} && {command}"


def explain_renaming(path: str) -> str:
    """Why Datasette cannot open a file of this name, and the command that gives it another."""
    folder, name = os.path.split(path)
    why = "#, ? and % have a meaning in the addresses that it makes of paths"
    if not _is_unicode(name):
        why = "it is not in UTF-8"
    new = _free_path(folder, name)
    rename = f"{'ren' if os.name == 'nt' else 'mv'} {quote_for_shell(path)} {quote_for_shell(new)}"
    return f"Datasette cannot open a file of this name: {why}. Rename it: {rename}"


def _free_path(folder: str, name: str) -> str:
    """A path that Datasette opens, as like this name as can be, under which nothing is yet."""
    readable = os.fsencode(name).decode("utf-8", "replace").replace("\ufffd", "-")
    stem, ending = os.path.splitext(re.sub(r"[#?%]", "-", readable))
    names = (f"{stem}{suffix}{ending}" for suffix in chain([""], (f"-{n}" for n in count(2))))
    return next(path for new in names if not os.path.lexists(path := os.path.join(folder, new)))


def _is_unicode(name: str) -> bool:
    """Whether a name is text; one that is not has no address in Datasette."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
