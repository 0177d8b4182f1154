"""Every error that the library raises.

FacesError                 one line for a person: names the thing, and the mend
├── PictureError           this file gives no picture; the rest goes on
│   └── BrokenPicture      its bytes are at fault, and will be next time
├── ModelError             a model cannot be used
│   ├── UnknownModel
│   ├── MissingExtra       the packages of an extra are not installed
│   ├── MissingWeights     the weights are not installed and could not be downloaded
│   └── WrongWeights       the weights are not those that they should be
├── NamesError             names that other programs wrote cannot be read, or not be written
│   └── UnreadableNow      the file cannot be read at present; later it may be
├── SearchError            a search that makes no sense: a vector, a number, a model
│   └── UnknownFace        a face to search with is not there, or not any more
├── Busy                   the server has its hands full, or is ending; later it may go
│   └── ClientBusy         with this client's own
├── WorkerEnded            a process that helped is gone; nothing was done
├── CatalogueError         a catalogue cannot be made, or not be audited
│   └── Leak               what was made holds what it should not
├── StillThere             what was forgotten is among the file's bytes still
├── DecisionError          what somebody decided about people cannot be
│   ├── NameTaken
│   ├── SeveralOfName
│   ├── FaceThere
│   └── EditedMeanwhile    by somebody else
└── DatabaseError          a database cannot be used
    ├── NotAFacesDatabase
    ├── NewerSchema
    ├── DatabaseBusy
    ├── DatabaseNotWritable
    └── NoVectorExtension  this Python's SQLite loads no extensions
"""

from typing import Any


class FacesError(Exception):
    """Something went wrong in a way that its message explains to a person."""


class PictureError(FacesError):
    """A file gives no picture; the message is the reason that `ingest_errors` keeps."""


class BrokenPicture(PictureError):
    """The bytes themselves are no picture that can be read: the same bytes need no second try."""


class ModelError(FacesError):
    """A model cannot be used."""


class UnknownModel(ModelError):
    """No model of that id is registered and no folder of that name holds a pack."""


class MissingExtra(ModelError):
    """Packages that only the extra `ingest` brings are missing."""


class MissingWeights(ModelError):
    """A model's weights are not installed and could not be downloaded."""


class WrongWeights(ModelError):
    """A model's weights differ from the ones that are expected."""


class NamesError(FacesError):
    """What another program wrote about people cannot be read, or should not be written over."""


class UnreadableNow(NamesError):
    """A file that may hold names is there and cannot be read at present, as on a disk that fails."""


class SearchError(FacesError):
    """What was searched for makes no sense; the message says what would."""


class UnknownFace(SearchError):
    """A face to search with is not there: a wrong id or key, or an upload that has expired."""


class Busy(FacesError):
    """More pictures wait than the server takes at once; the same request may go in a moment."""


class ClientBusy(Busy):
    """One client has as much in hand as one may have."""


class DatabaseError(FacesError):
    """A database cannot be used."""


class NotAFacesDatabase(DatabaseError):
    """The file is no SQLite database, a damaged one, or one that holds something else."""


class NewerSchema(DatabaseError):
    """A newer version of this package wrote the file."""


class DatabaseBusy(DatabaseError):
    """Another process is writing to the file."""


class DatabaseNotWritable(DatabaseError):
    """The file, its folder or its disk cannot be written."""


class NoVectorExtension(DatabaseError):
    """This Python's SQLite cannot load sqlite-vec."""


class WorkerEnded(FacesError):
    """A process that did a part of the work was ended from outside."""

    def __init__(self) -> None:
        """The same message for all."""
        super().__init__(
            "A worker process was killed, perhaps for lack of memory: nothing was kept; try again"
        )


class CatalogueError(FacesError):
    """What was asked for cannot be published; the message says what can."""


class Leak(CatalogueError):
    """A catalogue holds what it must not; report: what was found."""

    def __init__(self, report: Any) -> None:
        """report: an audit's."""
        super().__init__("The catalogue holds what must not be in it: it was not kept")
        self.report = report


class StillThere(FacesError):
    """What was forgotten is, or may be, among the bytes of the file; report: what was done and found."""

    def __init__(self, message: str, report: Any) -> None:
        """report: of the forgetting."""
        super().__init__(message)
        self.report = report


class DecisionError(FacesError):
    """What somebody decided about people cannot be; the message says what can."""


class NameTaken(DecisionError):
    """Another person has that name already."""

    def __init__(self, message: str, person_id: int) -> None:
        """person_id: who has it."""
        super().__init__(message)
        self.person_id = person_id


class SeveralOfName(DecisionError):
    """More than one person has the name that was given; which one is meant?"""

    def __init__(self, name: str, person_ids: list[int]) -> None:
        """person_ids: all those of that name."""
        numbers = ", ".join(map(str, person_ids))
        super().__init__(
            f"{len(person_ids)} people are called {name} ({numbers}): say which one is meant"
        )
        self.person_ids = person_ids


class FaceThere(DecisionError):
    """There is a face already where somebody drew one."""

    def __init__(self, message: str, face_id: int) -> None:
        """face_id: the face that is there."""
        super().__init__(message)
        self.face_id = face_id


class EditedMeanwhile(DecisionError):
    """Somebody else decided something about the same person since it was looked at."""
