"""Photographs on disk → a faces database: what is new is analysed, what moved is found again.

Reads files, hands their bytes to workers, writes in small transactions in the order of the scan, so
that a stopped ingest goes on where it was and gives the same rows. No HTTP, no click.
"""

from __future__ import annotations

import glob
import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field

from ...errors import BrokenPicture, FacesError, PictureError
from ...media.files import as_path, read_file
from ...media.scan import RejectedPath, Scan, walk_paths
from ...models.base import FaceModel
from ...models.model_pools import ModelPool, ModelPools, PoolOptions, QueuePolicy
from ...models.pipeline import MIN_FACE_PX
from ...people import grouping, import_names, manual_faces
from ...search import index_upkeep
from ...shapes import Analysis, File
from ...store import edited_photos, embeddings, faces, models, people, scans
from ...store import photos as store
from ...store.connection import Connection, transaction
from ...store.database import writing
from ...store.edited_photos import Moves
from . import edits
from .lock import lock_for_ingest

BATCH_PHOTOS = 64
BATCH_SECONDS = 1.0
READ_AHEAD = 2
"""Pictures that wait for each worker: enough that none waits for the disk."""

READ_AHEAD_BYTES = 256_000_000
MAX_UNWRITTEN = 2
"""Pictures that are read, in hand or done, may be so many times what the pool has in hand."""
NAMES_PROGRESS_FROM = 1_000
"""Reading the names of so many photos takes seconds: it shows a progress of its own."""
MAX_REGROUPED_FACES = 100_000
"""Up to so many faces, all are grouped again after names were imported: half a minute."""

Progress = Callable[[int, int, File | None], None]
"""Called with files done, files in all, and the one just done."""


@dataclass
class IngestReport:
    """What an ingest did, in photos; `found` counts every file, `people` all that there are now.

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
    faults: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def pictures(self) -> int:
        """Files that are photos in the database now."""
        return self.found - len(self.errors)


@dataclass(slots=True)
class _Job:
    """One file to ingest: the hash of its bytes, and its analysis, where it needs one."""

    file: File
    sha256: str = ""
    future: Future[Analysis] | None = None
    error: PictureError | None = None
    moves: Moves | None = None

    def is_done(self) -> bool:
        """Whether it can be written: its analysis is there, or it needs none."""
        return self.future is None or self.future.done()


def ingest(
    database: str,
    paths: list[str],
    model: FaceModel,
    *,
    worker_count: int | None = None,
    min_face_px: float = MIN_FACE_PX,
    clustered: bool = True,
    names: bool = True,
    progress: Progress = lambda done, total, file: None,
) -> IngestReport:
    """Bring the photographs under `paths` into a database, which is made where there is none.

    Raises DatabaseError and ModelError; a broken file is a row in `ingest_errors`.
    """
    started = time.monotonic()
    if not os.path.exists(database) and not any(map(_may_exist, paths)):
        raise FacesError(f"There is no such file or folder: {', '.join(paths)}")
    model.fetch()
    with lock_for_ingest(database), writing(database) as conn:
        with ModelPools([model]) as pools:
            pool = pools.get_pool(model, _pool_options(worker_count, min_face_px))
            report = _Ingest(conn, pool, progress).ingest_paths(paths)
            # By the workers that have loaded the model
            _add_manual_faces(conn, pools, report)
        # The workers are gone: training indexes takes memory, too
        index_upkeep.settle(conn)
        if names:
            _import_names(conn, model, report, progress)
        if clustered:
            report.people = _group_faces(conn, regroup=report.named > 0)
        report.seconds = round(time.monotonic() - started, 2)
    return report


def _pool_options(worker_count: int | None, min_face_px: float) -> PoolOptions:
    """A worker for each processor, by default; reading waits while the queue is full."""
    workers = worker_count or os.cpu_count() or 1
    queue = QueuePolicy(max_waiting=READ_AHEAD * workers, when_full="block")
    return PoolOptions(workers, queue, min_face_px)


def _add_manual_faces(conn: Connection, pools: ModelPools, report: IngestReport) -> None:
    """Add the manual faces that this file lacks."""
    drawn = manual_faces.add_missing_faces(
        conn, pools.measure_manual_face, pools.find_available(models.every(conn))
    )
    report.drawn, report.faults = drawn.added, drawn.faults


def _import_names(
    conn: Connection, model: FaceModel, report: IngestReport, progress: Progress
) -> None:
    """Import the names that other programs gave faces; a model is loaded where they need it."""
    scanned = scans.seen_photos(conn)
    shown = progress if len(scanned) >= NAMES_PROGRESS_FROM else import_names.ignore_progress
    with ModelPools([model]) as pools:
        imported = import_names.import_photo_names(
            conn, pools, photo_ids=scanned, again=False, progress=shown
        )
    report.named = imported.named
    report.faults += imported.faults


def _group_faces(conn: Connection, *, regroup: bool) -> int:
    """Group the new faces, or all of them (regroup), into people; returns how many people there are."""
    infos = models.every(conn)
    if infos:
        # Where it takes minutes, it is left to the command `cluster`
        regroup = regroup and embeddings.count(conn, infos[0].id) <= MAX_REGROUPED_FACES
        with transaction(conn):
            (grouping.cluster if regroup else grouping.grow)(conn, infos[0])
            import_names.propose_names(conn)
    return len(people.listed(conn))


def _may_exist(path: str) -> bool:
    return os.path.lexists(path) or glob.has_magic(path)


class _Ingest:
    """One ingest: what is read, analysed and written so far."""

    def __init__(self, conn: Connection, pool: ModelPool, progress: Progress) -> None:
        self.conn = conn
        self.pool = pool
        self.model = pool.model
        self.progress = progress
        self.report = IngestReport()
        self.scan = Scan()
        self.total = self.done = 0
        self._is_registered = False
        self._batch: list[_Job] = []
        self._new_faces: set[int] = set()
        self._bereft: set[str] = set()
        """The keys of people who lost a face by an edit: another one may stand for them."""
        self._hashes_in_hand: set[str] = set()
        self._errors_by_hash: dict[str, PictureError] = {}
        self._written_at = time.monotonic()

    def ingest_paths(self, paths: list[str]) -> IngestReport:
        """Bring all files up to date: new, changed, returned, moved and missing ones."""
        fresh, changed, returned = self._classify(paths)
        self.total = len(fresh) + len(changed)
        try:
            for file in returned:
                self._batch.append(_Job(file))
            self._process(_Job(file) for file in fresh)
            self._mark_missing()
            # Edited files come last: all that moved away from under their names is known by then
            moved, edited = self._split_changed(changed)
            self._process(_Job(file) for file in moved)
            self._process(_Job(file) for file in edited)
        except KeyboardInterrupt:
            self._save_finished()
            raise
        return self.report

    def _classify(self, paths: list[str]) -> tuple[list[File], list[File], list[File]]:
        """Scan the paths: files that are new, that have changed, and that have returned."""
        scans.begin_scan(self.conn)
        errors = scans.errors(self.conn)
        fresh: list[File] = []
        changed: list[File] = []
        returned: list[File] = []
        for file in walk_paths(paths, self.scan):
            if not scans.mark_seen(self.conn, file.path, is_file=isinstance(file, File)):
                continue
            self.report.found += 1
            if isinstance(file, RejectedPath):
                self._reject(file)
                continue
            error = errors.get(file.path)
            known = store.known_path(self.conn, file)
            if error and scans.is_broken(error, file):
                self.report.errors.append(RejectedPath(file.path, error[0]))
            elif known is None:
                fresh.append(file)
            elif not known.unchanged:
                changed.append(file)
            elif not store.is_analysed(self.conn, known.photo_id, self.model.id):
                fresh.append(file)
            elif known.missing or error:
                returned.append(file)
            else:
                self.report.unchanged += 1
        return fresh, changed, returned

    def _split_changed(self, changed: list[File]) -> tuple[list[File], list[File]]:
        """Split changed files: those that hold a known photo's content now (moved), and edited ones."""
        moved: list[File] = []
        edited: list[File] = []
        for file in changed:
            try:
                sha256 = hashlib.sha256(read_file(file)).hexdigest()
            except PictureError:
                sha256 = ""
            known = store.photo_with_content(self.conn, sha256) is not None
            (moved if known else edited).append(file)
        return moved, edited

    def _process(self, jobs: Iterable[_Job]) -> None:
        """Read, analyse and write files, in their order, a few of them at once."""
        waiting: deque[_Job] = deque()
        for job in jobs:
            self._start(job)
            waiting.append(job)
            while waiting and (waiting[0].is_done() or self._is_too_much(waiting)):
                self._finish(waiting.popleft())
        while waiting:
            self._finish(waiting.popleft())
        self._write()

    def _is_too_much(self, waiting: Collection[_Job]) -> bool:
        """Whether so much waits behind a slow picture that memory would suffer."""
        size_bytes = sum(job.file.size_bytes for job in waiting)
        return (
            size_bytes > READ_AHEAD_BYTES
            or len(waiting) > MAX_UNWRITTEN * self.pool.options.capacity
        )

    def _start(self, job: _Job) -> None:
        try:
            data = read_file(job.file)
        except PictureError as error:
            job.error = error
            return
        job.sha256 = hashlib.sha256(data).hexdigest()
        if job.sha256 in self._hashes_in_hand or job.sha256 in self._errors_by_hash:
            return
        photo_id = store.photo_with_content(self.conn, job.sha256)
        if photo_id and store.is_analysed(self.conn, photo_id, self.model.id):
            return
        self._hashes_in_hand.add(job.sha256)
        self._register_model()
        job.future = self.pool.submit_photo(data)

    def _register_model(self) -> None:
        """Load and register the model with the first new picture: an unchanged folder needs none."""
        if self._is_registered:
            return
        info = self.pool.load()
        with transaction(self.conn):
            models.register(self.conn, info)
            index_upkeep.follow(self.conn)
        self._is_registered = True

    def _finish(self, job: _Job) -> None:
        try:
            if job.future is not None:
                job.future.result()
        except PictureError as error:
            job.error = self._errors_by_hash[job.sha256] = error
        self._batch.append(job)
        overdue = time.monotonic() - self._written_at > BATCH_SECONDS
        if overdue or len(self._batch) >= BATCH_PHOTOS:
            self._write()
        self.done += 1
        self.progress(self.done, self.total, job.file)

    def _write(self) -> None:
        """Write the finished files, in one transaction."""
        if self._batch:
            for job in self._batch:
                if job.future is not None and job.error is None:
                    analysis = job.future.result()
                    job.moves = edits.find_moves(
                        self.conn, self.pool, job.file, job.sha256, analysis
                    )
            with transaction(self.conn):
                for job in self._batch:
                    self._save(job)
                people.reassign_photos(self.conn, self._new_faces)
                people.show(self.conn, self._bereft)
                index_upkeep.follow(self.conn)
        self._hashes_in_hand -= {job.sha256 for job in self._batch}
        # Only now: what Ctrl-C tears out of this transaction is written at the end
        self._batch = []
        self._new_faces = set()
        self._bereft = set()
        self._written_at = time.monotonic()

    def _save(self, job: _Job) -> None:
        photo_id = None if job.error else self._save_photo(job)
        if photo_id is None:
            error = job.error or self._errors_by_hash[job.sha256]
            self.report.errors.append(RejectedPath(job.file.path, str(error)))
            # What a busy machine or a model did to a picture may go better next time
            broken = job.file if isinstance(error, BrokenPicture) else None
            scans.save_error(self.conn, job.file.path, str(error), broken)
            return
        store.save_path(self.conn, photo_id, job.file)

    def _save_photo(self, job: _Job) -> int | None:
        """Save the photo of a file if it is new; returns its id, or None where its content is broken."""
        if not job.sha256:
            known = store.known_path(self.conn, job.file)
            self.report.unchanged += 1
            return known.photo_id if known else None
        photo_id = store.photo_with_content(self.conn, job.sha256)
        if job.future is None:
            self.report.moved += photo_id is not None
            return photo_id
        analysis = job.future.result()
        change: store.Change | None = None
        before: store.Picture | None = None
        if photo_id is None:
            photo_id, change, before = store.save_photo(self.conn, job.file, job.sha256, analysis)
        self.report.new += change == "new"
        self.report.edited += change in ("picture", "caption")
        self.report.analysed_again += change is None
        if before is None:
            saved = faces.save_faces(self.conn, photo_id, self.model.id, analysis.faces)
            edited_photos.find_lost_faces(self.conn, photo_id, self.pool.load(), saved)
        else:
            bereft = edits.save_edited_faces(
                self.conn, self.pool, photo_id, before, analysis, job.moves
            )
            self.report.lost += len(bereft)
            self._bereft.update(bereft)
        store.save_analysis(self.conn, photo_id, self.model.id)
        self.report.faces += len(analysis.faces)
        self._new_faces.add(photo_id)
        return photo_id

    def _reject(self, rejected: RejectedPath) -> None:
        self.report.errors.append(rejected)
        with transaction(self.conn):
            scans.save_error(self.conn, rejected.path, rejected.reason)

    def _mark_missing(self) -> None:
        """Mark photos whose files are gone from the scanned folders."""
        unseen = scans.vanished(self.conn, self.scan.folders, self.scan.named, self.scan.unreadable)
        # A file can be there and not be seen: its name says nothing, or it lies behind a link
        gone = [path for path, raw in unseen if not os.path.isfile(as_path(path, raw))]
        with transaction(self.conn):
            self.report.missing = store.mark_missing(self.conn, gone)
            scans.forget_errors(self.conn, self.scan.folders)

    def _save_finished(self) -> None:
        """Write the finished files of a batch that was interrupted."""
        self._batch = [job for job in self._batch if job.is_done()]
        self._write()
