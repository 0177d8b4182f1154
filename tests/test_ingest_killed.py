"""Thirty times: kill -9 at a random moment, run again, and the file is as if nothing had happened."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from running import beside, ingest, rows, start
from toy_model import BLUE, GREEN, RED, WHITE, ToyModel, draw

from datasette_faces.library.ingest import run

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX"),
    pytest.mark.once,
    pytest.mark.slow,
]

KILLS_EACH = 10
PHOTOS = 40
BROKEN = COPIES = PHOTOS // 8
FOUND = PHOTOS + COPIES
BATCH_PHOTOS = 2
"""So few in a transaction that an ingest writes over twenty times."""
MOMENT = ("ingested_at", "seen_at", "built_at")
Contents = dict[str, list[tuple[object, ...]]]
COLOURS = (RED, GREEN, BLUE, WHITE)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 photos of one to three faces, with copies and broken files among them; read it only."""
    photos = tmp_path_factory.mktemp("album")
    choose = random.Random(7)
    for number in range(PHOTOS):
        colours = [choose.choice(COLOURS) for _ in range(choose.randint(1, 3))]
        draw(photos / f"{number:03}.png", *colours, note=str(number))
    for number in range(0, PHOTOS, 8):
        shutil.copy(photos / f"{number:03}.png", photos / f"{number:03} copy.png")
        (photos / f"{number:03} broken.jpg").write_text(f"no picture {number}")
    return photos


@pytest.fixture(scope="module")
def wanted(album: Path, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """The rows of an undisturbed run."""
    undisturbed = tmp_path_factory.mktemp("undisturbed") / "x.db"
    run.ingest(str(undisturbed), [str(album)], ToyModel(), worker_count=2)
    assert_whole(undisturbed)
    everything = contents(undisturbed)
    assert len(everything["photos"]) == PHOTOS
    return everything


def contents(database: Path) -> Contents:
    """All rows of all tables, but for the moments at which they were written."""
    everything = {}
    for (table,) in rows(
        database, "select name from sqlite_master where type = 'table' order by 1"
    ):
        if table.startswith(("sqlite_", "_sqlite_migrations")):
            continue
        columns = [
            row[1] for row in rows(database, f"pragma table_info({table})") if row[1] not in MOMENT
        ]
        named = ", ".join(f'"{column}"' for column in columns)
        everything[table] = sorted(rows(database, f"select {named} from {table}"), key=repr)
    return everything


def assert_whole(database: Path) -> None:
    assert rows(database, "pragma integrity_check") == [("ok",)]
    assert rows(database, "pragma foreign_key_check") == []
    assert rows(database, "pragma journal_mode") == [("delete",)]
    assert beside(database) == []


def processes_of(session: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def assert_alone(session: int) -> None:
    """Workers end by themselves when their parent is gone."""
    if not Path("/proc/self/stat").exists():
        return
    patience = time.monotonic() + 20
    while left := processes_of(session):
        assert time.monotonic() < patience, f"still running: {left}"
        time.sleep(0.01)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_of_10_kills_and_10_runs_gives_the_rows_of_an_undisturbed_run(
    toy, album, wanted, tmp_path, seed
):
    slow = ToyModel(log=str(tmp_path / "slow.log"), seconds=0.003)
    choose = random.Random(seed)
    interrupted = 0
    for number in range(KILLS_EACH):
        database = tmp_path / f"{number}.db"
        slow.forget()
        process = start_ingest(slow, database, album)
        # From the first moment on to the last: counted in pictures, so that it holds on any machine
        after = choose.randint(0, PHOTOS - 1)
        while process.poll() is None and lines_of(slow.log) < after:
            time.sleep(0.001)
        time.sleep(choose.random() * 0.02)
        process.kill()
        process.communicate()
        interrupted += process.returncode == -signal.SIGKILL
        report = ingest(database, album)
        assert (report["photos"], len(report["errors"])) == (FOUND, BROKEN)
        assert_whole(database)
        assert contents(database) == wanted
        assert_alone(process.pid)
        database.unlink(missing_ok=True)
    assert interrupted >= KILLS_EACH * 0.7


def start_ingest(model: ToyModel, database: Path, folder: Path) -> subprocess.Popen[str]:
    """An ingest that writes often, so that kills fall between and into its transactions."""
    environment = {**os.environ, "BATCH_PHOTOS": str(BATCH_PHOTOS)}
    options = ("--model", "toy", "--workers", 2)
    return start(model, "ingest", database, folder, *options, env=environment)


def lines_of(log: str) -> int:
    """How many pictures were looked at so far."""
    try:
        return Path(log).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def test_kills_in_a_row_on_one_file_come_to_the_same_end(toy, album, wanted, tmp_path):
    database = tmp_path / "x.db"
    slow = ToyModel(log=str(tmp_path / "slow.log"), seconds=0.003)
    for after in (10, 15, 12):
        slow.forget()
        process = start_ingest(slow, database, album)
        while process.poll() is None and lines_of(slow.log) < after:
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    ingest(database, album)
    assert_whole(database)
    assert contents(database) == wanted


def test_a_kill_before_the_first_row_leaves_nothing_in_the_way(toy, album, tmp_path):
    """The file with its migrations table alone, as it is for a moment after it was made."""
    from contextlib import closing

    from datasette_faces.store.connection import sqlite

    database = tmp_path / "x.db"
    with closing(sqlite().connect(database)) as conn:
        conn.execute("pragma journal_mode = wal")
        conn.execute(
            "create table _sqlite_migrations (id integer primary key, migration_set, name, applied_at)"
        )
    assert ingest(database, album)["photos"] == FOUND
    assert_whole(database)
