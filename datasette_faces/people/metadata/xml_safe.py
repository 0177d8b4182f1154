"""XML parsed safely, and written back without losing anything.

A document type, and with it every entity and every external reference, is refused before any of it is
evaluated; so are too many bytes, elements and levels. Prefixes, comments and processing instructions
stay as they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from xml.parsers import expat

from ...errors import NamesError

MAX_BYTES = 16_000_000
"""Lightroom's masks make sidecars of a few megabytes; one of this size takes half a second to read."""
MAX_PARTS = 200_000
"""Elements and attributes together; a part takes about 500 bytes of memory."""
MAX_DEPTH = 100
"""Levels of elements; XMP as programs write it has about ten."""
MAX_PREFIXES = 500
"""Prefixes in scope at one place; exiftool has fewer in all."""
XML = "http://www.w3.org/XML/1998/namespace"
NOT_XML_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

QName: TypeAlias = tuple[str, str]
"""A namespace's URI, "" for none, and the local name."""


@dataclass(frozen=True, slots=True)
class RawMarkup:
    """A comment or processing instruction, as its source text."""

    source: str


@dataclass(slots=True)
class Element:
    """An element; declared: namespaces by the prefix that it binds to them, "" for the default."""

    name: QName
    attributes: dict[QName, str] = field(default_factory=dict)
    children: list[Element | RawMarkup | str] = field(default_factory=list)
    declared: dict[str, str] = field(default_factory=dict)

    @property
    def elements(self) -> list[Element]:
        """The children that are elements."""
        return [child for child in self.children if isinstance(child, Element)]

    @property
    def text(self) -> str:
        """The text directly in this element."""
        return "".join(child for child in self.children if isinstance(child, str))

    def walk(self) -> Iterator[Element]:
        """This element and all elements in it, in the order of the file."""
        stack = [self]
        while stack:
            element = stack.pop()
            yield element
            stack += reversed(element.elements)


@dataclass(slots=True)
class Document:
    """The root element, with the comments and processing instructions around it."""

    root: Element
    before: list[RawMarkup]
    after: list[RawMarkup]


def parse_xml(data: bytes) -> Document:
    """Parse XML. Raises NamesError with a reason for the user."""
    if len(data) > MAX_BYTES:
        raise NamesError(f"the XMP is larger than {MAX_BYTES // 1_000_000} MB")
    # In pictures, and in files of some programs, zeros fill the space that is reserved for changes
    data = (
        data if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[1:2] == b"\0" else data.strip(b"\0")
    )
    try:
        return _TreeBuilder().read(data)
    except expat.ExpatError as error:
        why = expat.ErrorString(error.code)
        raise NamesError(f"the XMP is damaged at line {error.lineno}: {why}") from None
    # An encoding that Python does not know, or that is not one of text
    except (LookupError, ValueError) as error:
        raise NamesError(f"the XMP cannot be decoded: {error}") from None


class _TreeBuilder:
    """Expat's handlers, which build the tree."""

    def __init__(self) -> None:
        self.parts = 0
        self.open: list[Element] = []
        self.scopes: list[dict[str, str]] = [{"xml": XML, "": ""}]
        self.root: Element | None = None
        self.before: list[RawMarkup] = []
        self.after: list[RawMarkup] = []

    def read(self, data: bytes) -> Document:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartDoctypeDeclHandler = self.refuse
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters
        parser.CommentHandler = lambda text: self.markup(f"<!--{text}-->")
        parser.ProcessingInstructionHandler = lambda target, text: self.markup(
            f"<?{target} {text}?>" if text else f"<?{target}?>"
        )
        parser.Parse(data, True)
        assert self.root is not None  # expat raises where there is none
        return Document(self.root, self.before, self.after)

    def refuse(self, *_: object) -> None:
        raise NamesError("the XMP has a document type, which could define entities; XMP has none")

    def start(self, tag: str, flat: list[str]) -> None:
        self.parts += 1 + len(flat) // 2
        if self.parts > MAX_PARTS:
            raise NamesError(f"the XMP has more than {MAX_PARTS:,} elements and attributes")
        if len(self.open) >= MAX_DEPTH:
            raise NamesError(f"the XMP's elements are more than {MAX_DEPTH} levels deep")
        given = dict(zip(flat[::2], flat[1::2], strict=True))
        declared = {
            "" if key == "xmlns" else key[6:]: uri
            for key, uri in given.items()
            if key == "xmlns" or key.startswith("xmlns:")
        }
        self.bind(declared)
        attributes = {
            self.resolve(key) if ":" in key else ("", key): value
            for key, value in given.items()
            if key != "xmlns" and not key.startswith("xmlns:")
        }
        element = Element(self.resolve(tag), attributes, [], declared)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def bind(self, declared: dict[str, str]) -> None:
        scope = {**self.scopes[-1], **declared} if declared else self.scopes[-1]
        if len(scope) > MAX_PREFIXES:
            raise NamesError(f"the XMP binds more than {MAX_PREFIXES} prefixes")
        if not all(uri for prefix, uri in declared.items() if prefix):
            raise NamesError("the XMP is damaged: it binds a prefix to nothing")
        self.scopes.append(scope)

    def end(self, _: str) -> None:
        self.open.pop()
        self.scopes.pop()

    def characters(self, text: str) -> None:
        self.open[-1].children.append(text)

    def markup(self, source: str) -> None:
        if self.open:
            self.open[-1].children.append(RawMarkup(source))
        else:
            (self.before if self.root is None else self.after).append(RawMarkup(source))

    def resolve(self, qualified: str) -> QName:
        prefix, _, local = qualified.rpartition(":")
        if prefix not in self.scopes[-1]:
            raise NamesError(f"the XMP is damaged: its prefix {prefix[:40]!r} is not declared")
        return self.scopes[-1][prefix], local


def serialize_xml(document: Document, preferred: Mapping[str, str]) -> bytes:
    """A document as UTF-8. preferred: by namespace, the prefix to bind where it has none yet."""
    parts = [f"{markup.source}\n" for markup in document.before]
    _write(document.root, {"xml": XML, "": ""}, preferred, parts)
    parts += [f"\n{markup.source}" for markup in document.after]
    return "".join(parts).encode("utf-8")


def _write(
    element: Element, scope: dict[str, str], preferred: Mapping[str, str], parts: list[str]
) -> None:
    scope = {**scope, **element.declared}
    declared = dict(element.declared)
    tag = _qualify(element.name, scope, preferred, declared)
    attributes = [
        f' {_qualify(name, scope, preferred, declared, attribute=True)}="{_escape(value)}"'
        for name, value in element.attributes.items()
    ]
    bound = [
        f' xmlns{":" if prefix else ""}{prefix}="{_escape(uri)}"'
        for prefix, uri in declared.items()
    ]
    parts.append("".join(("<", tag, *bound, *attributes)))
    if not element.children:
        parts.append("/>")
        return
    parts.append(">")
    # Elements without spaces between them, such as new ones, get line ends
    bare = all(isinstance(child, Element) for child in element.children)
    for child in element.children:
        if isinstance(child, Element):
            parts.append("\n" if bare else "")
            _write(child, scope, preferred, parts)
        else:
            parts.append(
                child.source if isinstance(child, RawMarkup) else _escape(child, text=True)
            )
    parts.append(f"{chr(10) if bare else ''}</{tag}>")


def _qualify(
    name: QName,
    scope: dict[str, str],
    preferred: Mapping[str, str],
    declared: dict[str, str],
    *,
    attribute: bool = False,
) -> str:
    """A name with a prefix that is bound to its namespace here; binds a new one where none is."""
    uri, local = name
    if not uri and attribute:
        return local
    # An attribute without a prefix has no namespace, even where there is a default one
    known = [prefix for prefix, at in scope.items() if at == uri and not (attribute and not prefix)]
    prefix = known[-1] if known else _unused_prefix(preferred.get(uri, "ns"), scope)
    if not known:
        scope[prefix] = declared[prefix] = uri
    return f"{prefix}:{local}" if prefix else local


def _unused_prefix(preferred: str, scope: Mapping[str, str]) -> str:
    prefix, count = preferred, 1
    while prefix in scope:
        count += 1
        prefix = f"{preferred}{count}"
    return prefix


def _escape(value: str, *, text: bool = False) -> str:
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    value = value.replace("\r", "&#13;")
    if not text:
        value = value.replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
    return NOT_XML_CHARACTER.sub("\ufffd", value)
