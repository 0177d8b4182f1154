"""What an ingest did, in numbers of photos, and which files failed or are damaged."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...media.scan import RejectedPath


@dataclass
class IngestReport:
    """What an ingest did, in photos; `found` counts every file, `people` all that there are now.

    damaged: photos that are in it as far as their pictures can be read, and what is missing.
    lost: people's faces that are not in their edited photos any more. drawn: manual faces that were added
    or embedded by this model. named: faces that got the name that another program gave them. faults: files
    for which one of these two failed, and why.
    """

    found: int = 0
    new: int = 0
    edited: int = 0
    moved: int = 0
    unchanged: int = 0
    analysed_again: int = 0
    faces: int = 0
    lost: int = 0
    drawn: int = 0
    named: int = 0
    people: int = 0
    missing: int = 0
    errors: list[RejectedPath] = field(default_factory=list)
    damaged: list[RejectedPath] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def pictures(self) -> int:
        """Files that are photos in the database now."""
        return self.found - len(self.errors)
