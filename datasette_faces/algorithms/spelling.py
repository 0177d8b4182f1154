"""Text in the form in which names are compared: the same however é is composed, and in any case.

A Mac writes é as two characters (NFD), most others as one (NFC).
"""

from __future__ import annotations

import unicodedata


def compose(text: str) -> str:
    """A text with its accents composed (NFC)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """A text that is equal for all that differ in case and composition only."""
    return compose(compose(text).casefold())


def spellings(text: str) -> tuple[str, ...]:
    """A text as it is, composed (NFC) and decomposed (NFD), each form once."""
    if text.isascii():
        return (text,)
    return tuple(dict.fromkeys((text, *(unicodedata.normalize(it, text) for it in ("NFC", "NFD")))))


def spell_like(text: str, model: str) -> str:
    """A text, decomposed (NFD) if the model is, composed (NFC) otherwise."""
    is_decomposed = model != compose(model)
    return unicodedata.normalize("NFD", text) if is_decomposed else compose(text)
