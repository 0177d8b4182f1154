"""What others do to the file meanwhile is waited for, with a word; what takes too long is said."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from desks import Desk, make_clustered
from running import beside, faces, rows
from serving import site

from datasette_faces.errors import DatabaseBusy
from datasette_faces.library.ingest.lock import lock_for_ingest
from datasette_faces.store import connection, lock_holders, patience
from datasette_faces.store.connection import connect_to_write, sqlite, transaction
from datasette_faces.store.database import changing, reading, writing

LOCKS = [(mode, how) for mode in ("delete", "wal") for how in ("immediate", "exclusive", "read")]
needs_locks = pytest.mark.skipif(
    not lock_holders.SYSTEM_LOCKS.exists(), reason="this system does not tell who locks a file"
)


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clustered(tmp_path_factory.mktemp("waiting") / "people.db")


@pytest.fixture
def database(clustered: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(clustered, tmp_path / "people.db"))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "NOTICE_SECONDS", 0.05)
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(connection, "SETTLE_MS", 50)


class Released(logging.Handler):
    """An event that comes with the first word about waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.event = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())
        self.event.set()


def hold(database: Path, mode: str, how: str) -> Any:
    """A connection that holds a lock, as of another program."""
    conn = sqlite().connect(database, isolation_level=None, check_same_thread=False)
    conn.execute(f"pragma journal_mode = {mode}").fetchall()
    if how == "read":
        conn.execute("begin")
        conn.execute("select count(*) from photos").fetchone()
    else:
        conn.execute(f"begin {how}")
        conn.execute("update photos set format = 'held'")
    return conn


@contextmanager
def held_until_said(database: Path, mode: str, how: str) -> Iterator[Released]:
    """The file is held until it is said that somebody waits for it."""
    released = Released()
    conn = hold(database, mode, how)

    def let_go() -> None:
        released.event.wait(5)
        conn.execute("commit")
        conn.close()

    thread = threading.Thread(target=let_go)
    patience.LOG.addHandler(released)
    thread.start()
    try:
        yield released
    finally:
        patience.LOG.removeHandler(released)
        released.event.set()
        thread.join()


@pytest.mark.parametrize(("mode", "how"), LOCKS)
def test_a_write_waits_until_another_one_has_ended(database: Path, mode: str, how: str) -> None:
    with (
        held_until_said(database, mode, how) as released,
        changing(str(database)) as conn,
        transaction(conn),
    ):
        conn.execute("update photos set camera = 'waited'")
    # A log lets readers and writers work at once
    assert bool(released.said) == ((mode, how) != ("wal", "read"))
    assert rows(database, "select distinct camera from photos") == [("waited",)]
    assert how == "read" or rows(database, "select distinct format from photos") == [("held",)]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_reading_waits_for_who_keeps_the_file_to_itself(database: Path, mode: str) -> None:
    with held_until_said(database, mode, "exclusive") as released, reading(str(database)) as conn:
        assert conn.execute("select count(*) from photos").fetchone() == (12,)
    assert bool(released.said) == (mode == "delete")


COMMANDS: list[tuple[object, ...]] = [
    ("people", "DB", "name", 1, "Ada"),
    ("people", "DB", "merge", 1, 2),
    ("people", "DB", "rebuild"),
    ("people", "DB", "import", os.devnull),
    ("people", "DB", "import-names"),
    ("cluster", "DB"),
    ("index", "DB"),
    ("calibrate", "DB"),
    ("status", "DB"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda it: " ".join(map(str, it[:3])))
def test_every_command_waits_and_says_so_on_stderr(
    database: Path, command: tuple[object, ...]
) -> None:
    arguments = [database if part == "DB" else part for part in command]
    expected = faces(
        *(
            Path(shutil.copy(database, f"{database}.2")) if part == "DB" else part
            for part in command
        )
    )
    with held_until_said(database, "delete", "exclusive") as released:
        result = faces(*arguments)
    assert result.exit_code == expected.exit_code, result.output
    waiting = f"{database} is in use by another process"
    assert released.said[0].startswith(waiting)
    assert released.said[0].endswith("waiting until it has ended, for 30 seconds at most…")
    assert result.stderr.count(waiting) == len(released.said)
    assert waiting not in result.stdout


def test_doctor_waits_to_repair(database: Path) -> None:
    with changing(str(database)) as conn, transaction(conn):
        conn.execute("update people set faces = 99 where id = 1")
    with held_until_said(database, "delete", "immediate"):
        faces("doctor", database, "--fix")
    assert rows(database, "select faces from people where id = 1") == [(4,)]


def test_a_transaction_waits_each_time(database: Path) -> None:
    with changing(str(database)) as conn:
        for camera in "ab":
            with held_until_said(database, "wal", "immediate") as released, transaction(conn):
                conn.execute("update photos set camera = ?", [camera])
            assert len(released.said) == 1
    assert rows(database, "select distinct camera from photos") == [("b",)]


@pytest.mark.parametrize(("mode", "how"), [lock for lock in LOCKS if lock != ("wal", "read")])
def test_what_takes_too_long_names_the_file_how_long_and_the_mend(
    database: Path, monkeypatch: pytest.MonkeyPatch, mode: str, how: str
) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.15)
    with closing(hold(database, mode, how)) as conn:
        result = faces("people", database, "name", 1, "Ada")
        conn.execute("rollback")
    assert (result.exit_code, result.stdout) == (1, "")
    waiting, error = result.stderr.splitlines()
    assert waiting.endswith("for 0.15 seconds at most…")
    assert error.startswith(f"Error: {database} is in use by another process")
    assert error.endswith(
        "and still was after 0.15 seconds; wait until it has ended, and run the same command again"
    )
    assert faces("people", database, "name", 1, "Ada").exit_code == 0
    assert beside(database) == []


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_what_no_waiting_helps_is_said_at_once(database: Path, mode: str) -> None:
    with closing(hold(database, mode, "immediate")) as other:
        if mode == "wal":
            other.execute("rollback")
        with closing(connect_to_write(str(database))) as conn:
            conn.execute("begin")
            conn.execute("select count(*) from photos").fetchone()
            if mode == "wal":
                other.execute("update photos set camera = 'other'")
            else:
                other.execute("pragma cache_size = 0")
                other.execute("update photos set thumbnail = zeroblob(9)")
            with pytest.raises(sqlite().OperationalError, match="locked"):
                conn.execute("update photos set camera = 'late'")


HOLDER = """
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("begin immediate")
print("held", flush=True)
sys.stdin.readline()
"""


@contextmanager
def holding_process(database: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that is about to write, until its standard input ends."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(database)], **pipes) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        assert process.stdin
        process.stdin.close()


@needs_locks
def test_the_process_that_holds_the_file_is_named(database: Path) -> None:
    assert lock_holders.find_processes(str(database)) == []
    with holding_process(database) as process:
        if not lock_holders.find_processes(str(database)):
            pytest.skip("this system does not tell who locks this file")
        assert lock_holders.describe_holder(str(database)) == f"another process ({process.pid})"
    assert lock_holders.describe_holder(str(database)) == "another process"


def test_a_second_process_that_writes_is_waited_for(database: Path) -> None:
    with holding_process(database) as process, ThreadPoolExecutor(1) as thread:
        released = Released()
        patience.LOG.addHandler(released)
        waiting = thread.submit(faces, "people", database, "name", 1, "Ada")
        assert released.event.wait(10)
        patience.LOG.removeHandler(released)
        assert process.stdin
        process.stdin.close()
        assert waiting.result().exit_code == 0
    assert rows(database, "select name from people where id = 1") == [("Ada",)]


@pytest.mark.parametrize(
    ("options", "work", "refusal"),
    [
        ({}, "an ingest", "Another ingest into {}"),
        ({"work": "a run of forget"}, "a run of forget", "{} is in use by a run of forget"),
    ],
)
def test_what_holds_the_lock_is_named_by_its_process(
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: dict[str, str],
    work: str,
    refusal: str,
) -> None:
    with lock_for_ingest(str(database), **options):
        assert Path(f"{database}.lock").read_text() == f"{os.getpid()} {work}\n"
        # As another process sees it
        another = SimpleNamespace(**{**vars(os), "getpid": lambda: 1})
        monkeypatch.setattr(lock_holders, "os", another)
        said = lock_holders.describe_holder(str(database))
        with pytest.raises(DatabaseBusy) as caught, lock_for_ingest(str(database)):
            pass
        monkeypatch.undo()
        assert said == f"another process ({work}, process {os.getpid()})"
        assert str(caught.value).startswith(refusal.format(database))
        assert f"(process {os.getpid()})" in str(caught.value)
        result = faces("ingest", database, tmp_path, "--model", "toy")
        assert result.exit_code == 1
    assert beside(database) == []


def test_a_lock_that_is_released_names_nobody_any_more(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where an open file cannot be removed
    monkeypatch.setattr(Path, "unlink", lambda *arguments, **options: None)
    with lock_for_ingest(str(database)):
        pass
    assert Path(f"{database}.lock").read_text() == ""


def test_what_writes_many_rows_is_not_done_twice(database: Path) -> None:
    conn = patience.connect(
        connection.sqlite(), str(database), path=str(database), patience_s=1, isolation_level=None
    )
    conn.execute("create temp table kept(x)")
    attempts: list[int] = []

    def give() -> Iterator[tuple[int]]:
        attempts.append(1)
        yield (1,)
        raise conn.OperationalError("database is locked")

    class Rows:
        def __iter__(self) -> Iterator[tuple[int]]:
            return give()

    with closing(conn), pytest.raises(DatabaseBusy):
        conn.executemany("insert into kept values (?)", Rows())
    assert attempts == [1]


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "999999999", "9" * 40])
def test_a_lock_file_that_says_nothing_names_nobody(database: Path, text: str) -> None:
    Path(f"{database}.lock").write_text(text)
    assert lock_holders.read_holder(str(database)) is None


def test_several_that_make_a_file_at_once_all_get_it(tmp_path: Path) -> None:
    database, start = tmp_path / "new.db", threading.Barrier(4)

    def make(_: int) -> int:
        start.wait()
        with writing(str(database)) as conn:
            return int(conn.execute("select count(*) from photos").fetchone()[0])

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(make, range(4))) == [0] * 4


class TestPages:
    @pytest.fixture
    def desk(self, database: Path) -> Iterator[Desk]:
        with site(database) as it:
            yield Desk(it)

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Datasette's own connections wait for five seconds."""
        connect = sqlite().connect
        monkeypatch.setattr(
            sqlite(),
            "connect",
            lambda *args, **options: connect(*args, **{"timeout": 0.05, **options}),
        )

    @pytest.mark.parametrize("ending", ["", ".json"])
    @pytest.mark.parametrize("how", ["immediate", "exclusive"])
    def test_a_decision_on_a_file_in_use_is_refused_for_the_moment(
        self, desk: Desk, database: Path, ending: str, how: str
    ) -> None:
        page = desk.get("/people/1")
        with closing(hold(database, "delete", how)) as conn:
            if how == "exclusive":
                conn.execute("rollback")
                conn.execute("pragma journal_mode = wal").fetchall()
                conn.execute("begin exclusive")
            answer = desk.send("/people/1" + ending, page, action="name", person=1, name="Ada")
            conn.execute("rollback")
        assert answer.status_code == 503
        assert "people is in use by another process; try again when it has ended" in answer.text
        desk.decide("/people/1", action="name", person=1, name="Ada")

    @pytest.mark.parametrize("ending", ["", ".json"])
    @pytest.mark.parametrize("path", ["/people", "/face/1", "/photo/1"])
    def test_a_page_of_a_file_that_somebody_keeps_to_himself_is_no_fault_of_the_server(
        self, desk: Desk, database: Path, path: str, ending: str
    ) -> None:
        assert desk.get(path).status_code == 200
        with closing(hold(database, "delete", "exclusive")) as conn:
            answer = desk.get(path + ending)
            conn.execute("rollback")
        assert answer.status_code == 503
        assert "in use by another process" in answer.text
        assert desk.get(path + ending).status_code == 200


def test_the_error_is_one_of_the_library(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.1)
    attempt: Callable[[], Any] = lambda: reading(str(database)).__enter__()  # noqa: E731
    with closing(hold(database, "delete", "exclusive")), pytest.raises(DatabaseBusy):
        attempt()
