"""Facts of a whole file: functions that say something of all of it; pages read each once if they can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Fact = TypeVar("Fact", bound=Callable[..., Any])

NAME = "file_fact"
"""The attribute that names a fact. `functools.wraps` copies it, so a wrapped function has it, too."""


def file_fact(function: Fact) -> Fact:
    """Mark a function of a connection whose result is a fact of the whole file, under a name of its own.

    The result is shared between requests for files that cannot change: nobody may modify it.
    """
    setattr(function, NAME, f"{function.__module__}.{function.__qualname__}")
    return function


def fact_name(function: Callable[..., Any]) -> str | None:
    """The name of the fact that a function reads, wrapped or not; None where it reads none."""
    name = getattr(function, NAME, None)
    return name if isinstance(name, str) else None


def fact_key(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The key under which a fact is cached: its name and arguments; None for what is no fact."""
    name = fact_name(function)
    return None if name is None else (name, *arguments)
