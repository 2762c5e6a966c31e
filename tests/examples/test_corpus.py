"""The parts of the corpus job that need no supervisor: counting, chaos, stores, sums."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples.corpus.account import contradictions, settle_account
from examples.corpus.chaos import Chaos, ChaosError
from examples.corpus.desk import Desk
from examples.corpus.files import File, list_files, standard_library
from examples.corpus.ledger import Ledger
from examples.corpus.measure import (
    Record,
    RefusedError,
    count_tokens,
    decode,
    measure_file,
    read_shape,
)
from examples.corpus.options import parse
from examples.corpus.report import aligned
from examples.corpus.store import Rows, Store, clear, read_rows, shard_file, shard_of
from examples.corpus.verify import Recount, compare, recount
from threadsup import Crashed, MailboxClosed, Rejected, Shutdown, WorkerExited

SOURCE = '''\
"""A module."""

# one comment
import os  # two


class First:
    async def method(self, x):
        def inner():
            return x

        return inner

    if os.name == "nt":
        def sometimes(self): pass

def last(): return [y for y in ()]
'''


# -- measuring ------------------------------------------------------------------------


def test_lines_blanks_comments_and_identifiers_are_counted() -> None:
    """The token counts of a small source are what a person counts."""
    tokens = count_tokens(SOURCE)
    assert (tokens.lines, tokens.blank, tokens.comments) == (17, 6, 2)
    # os | First | method self x | inner | x | inner | os name | sometimes self | last y y
    assert tokens.identifiers == 15
    assert tokens.distinct == 10


def test_what_stands_there_twice_is_counted() -> None:
    """A repetition is one whatever its names are; what looks copied is longer."""
    line = "{} = [{}, {}, ({}, {}), {}] "  # 15 tokens, of which one more makes a repetition
    first, second = line.format(*"abcdef"), line.format(*"uvwxyz")
    assert count_tokens(f"{first}+ 1\n{second}- 1\n").repeated == 0
    assert count_tokens(f"{first}+ 1\n{second}+ 2\n").repeated == 2
    block = f"{first}\n" * 5
    assert count_tokens(block).repeated > 30
    assert count_tokens(block).copied == 0
    assert count_tokens(f"{block}pass\n{block}").copied > 0


def test_functions_at_any_depth_and_classes_are_counted() -> None:
    """Nested, async and conditional functions count, and the longest has its full name."""
    shape = read_shape(SOURCE)
    assert (shape.functions, shape.classes) == (4, 1)
    assert (shape.longest, shape.longest_name, shape.longest_line) == (5, "First.method", 8)


def test_functions_in_every_compound_statement_are_found() -> None:
    """A function may stand in any block of any statement that has blocks."""
    text = """
try:
    def a(): pass
except E:
    def b(): pass
else:
    def c(): pass
finally:
    def d(): pass
for x in y:
    def e(): pass
else:
    def f(): pass
while x:
    def g(): pass
with x:
    def h(): pass
match x:
    case 1:
        def i(): pass
if x:
    pass
elif y:
    def j(): pass
try:
    pass
except* E:
    def k(): pass
async def l():
    async for x in y:
        def m(): pass
    async with x:
        def n(): pass
"""
    assert read_shape(text).functions == 14


def test_of_two_longest_functions_the_first_one_is_named() -> None:
    """Equal lengths are decided by the line, so that a recount decides the same."""
    shape = read_shape("def b():\n    pass\ndef a():\n    pass\n")
    assert (shape.longest_name, shape.longest_line) == ("b", 1)


def test_an_empty_file_is_measured() -> None:
    """No bytes are a source of no lines."""
    record = measure_file("empty.py", b"")
    assert (record.size, record.lines, record.functions, record.longest_name) == (0, 0, 0, "")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_kind_of_line_end_counts_as_one(end: str) -> None:
    """A file has the same lines whatever system wrote it, the last one without an end too."""
    record = measure_file("x.py", f"a = 1{end}{end}b = 2".encode())
    assert (record.lines, record.blank) == (3, 1)


def test_the_encoding_cookie_is_obeyed() -> None:
    """Bytes are decoded as the file itself says, with or without a byte order mark."""
    assert decode("# coding: latin-1\ns = 'ä'".encode("latin-1")).endswith("'ä'")
    assert decode(b"\xef\xbb\xbfx = 1") == "x = 1"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"# coding: no-such-codec\n", "not decodable"),
        (b"# coding: rot13\nx = 1\n", "not decodable"),
        (b"s = '\xff'\n", "not decodable"),
        (b"x = (\n", "not tokenisable"),
        (b"if x:\n        y\n    z\n", "not tokenisable"),
        (b"x = = 1\n", "not Python"),
    ],
)
def test_what_is_no_source_is_refused_with_a_reason(data: bytes, why: str) -> None:
    """A file that cannot be measured is refused at the step that finds it out."""
    with pytest.raises(RefusedError, match=why):
        measure_file("bad.py", data)


# -- the list of files ----------------------------------------------------------------


def test_only_regular_python_files_are_listed(tmp_path: Path) -> None:
    """Packages, byte code, folders, pipes and links to nowhere are left out."""
    for name in ("b.py", "a/c.py", "site-packages/x.py", "__pycache__/y.py", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "nowhere.py").symlink_to(tmp_path / "gone")
    assert [file.name for file in list_files(tmp_path)] == ["a/c.py", "b.py"]


def test_a_name_that_is_no_text_becomes_one(tmp_path: Path) -> None:
    """A file name of arbitrary bytes can be hashed, printed and stored."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")).touch()
    (file,) = list_files(tmp_path)
    assert file.name == "\\xff.py"
    assert Path(file.path).exists()


def test_the_standard_library_is_the_running_one() -> None:
    """The corpus is the library of the interpreter that runs the job."""
    assert str(standard_library()) == str(Path(os.__file__).parent)


# -- chaos ----------------------------------------------------------------------------


def _attempts(chaos: Chaos, place: str, names: list[str], tries: int) -> dict[str, list[bool]]:
    crashed: dict[str, list[bool]] = {name: [] for name in names}
    for _ in range(tries):
        for name in names:
            try:
                chaos.strike(place, name)
            except (ChaosError, SystemExit):
                crashed[name].append(True)
            else:
                crashed[name].append(False)
    return crashed


def test_chaos_is_the_same_for_a_seed_in_any_order() -> None:
    """Which attempt crashes depends on seed, place, file and attempt, on no order."""
    names = [f"f{n}" for n in range(200)]
    one = _attempts(Chaos(0.3, 7), "read", names, 3)
    two = _attempts(Chaos(0.3, 7), "read", names[::-1], 3)
    assert one == two
    assert one != _attempts(Chaos(0.3, 8), "read", names, 3)


def test_chaos_crashes_the_share_it_was_asked_for_and_says_how_many() -> None:
    """The rate holds over many attempts, and every crash is counted."""
    chaos = Chaos(0.25, 1)
    crashed = _attempts(chaos, "read", [f"f{n}" for n in range(4000)], 1)
    count = sum(map(sum, crashed.values()))
    assert chaos.crashes == count
    assert 850 < count < 1150


def test_a_file_that_crashed_is_not_bound_to_crash_again() -> None:
    """Each attempt draws anew, so a redelivered file gets through."""
    crashed = _attempts(Chaos(0.5, 1), "read", [f"f{n}" for n in range(500)], 6)
    assert any(tries[0] for tries in crashed.values())
    assert sum(all(tries) for tries in crashed.values()) < 25


def test_no_chaos_never_strikes() -> None:
    """A rate of 0 is none at all."""
    chaos = Chaos(0.0, 1)
    assert not any(map(any, _attempts(chaos, "read", ["a", "b"], 50).values()))
    assert chaos.crashes == 0


def test_chaos_crashes_in_two_ways() -> None:
    """Some of the crashes are a stray `sys.exit()`."""
    chaos = Chaos(0.5, 1)
    seen = set()
    for number in range(100):
        try:
            chaos.strike("read", f"f{number}")
        except (ChaosError, SystemExit) as error:
            seen.add(type(error))
    assert seen == {ChaosError, SystemExit}


# -- the desk -------------------------------------------------------------------------


def test_what_is_in_hand_is_noted_and_forgotten_after_a_crash() -> None:
    """The note stands exactly as long as the file is in hand."""
    desk = Desk()
    with desk.hold("read", "a.py"), desk.hold("store", "b.py"):
        assert desk.in_hand() == {"read": ("a.py",), "store": ("b.py",)}
    with desk.hold("store", "a.py", "b.py"):
        assert desk.in_hand() == {"store": ("a.py", "b.py")}
    assert desk.in_hand() == {}
    with pytest.raises(ZeroDivisionError), desk.hold("read", "a.py"):
        raise ZeroDivisionError
    assert desk.in_hand() == {}


# -- the stores -----------------------------------------------------------------------


def _record(name: str, lines: int = 1) -> Record:
    return replace(measure_file(name, b"def f(): pass\n"), lines=lines)


def test_a_store_keeps_a_record_and_a_second_one_replaces_it(tmp_path: Path) -> None:
    """Writing a record twice leaves one row, the newer one, over incarnations too."""
    shard = shard_of("a.py", 3)
    for lines in (1, 2):
        store = Store(str(tmp_path), shard, Desk())
        store.on_start()
        assert store.on_receive((_record("a.py", lines),)) == ("a.py",)
        store.on_stop()
    for other in {0, 1, 2} - {shard}:
        empty = Store(str(tmp_path), other, Desk())
        empty.on_start()
        empty.on_failure(None, None, None)
    rows = read_rows(tmp_path, 3)
    assert rows.records == {"a.py": _record("a.py", 2)}
    assert rows.misplaced == ()


def test_a_row_in_the_wrong_shard_is_noticed(tmp_path: Path) -> None:
    """A record that was sent to another shard than its own is misplaced."""
    for shard in range(2):
        store = Store(str(tmp_path), shard, Desk())
        store.on_start()
        store.on_receive((_record("a.py"),))
        store.on_stop()
    assert read_rows(tmp_path, 2).misplaced == ("a.py",)


def test_a_store_that_crashes_after_the_commit_has_kept_the_record(tmp_path: Path) -> None:
    """The row is there although nobody was answered."""
    name = next(
        f"f{n}"
        for n in range(1000)
        if not Chaos(0.5, 0).strikes("store 0", f"f{n}", 1)
        and Chaos(0.5, 0).strikes("store 0, committed", f"f{n}", 1)
    )
    store = Store(str(tmp_path), 0, Desk(Chaos(0.5, 0)))
    store.on_start()
    with pytest.raises((ChaosError, SystemExit)):
        store.on_receive((_record(name), _record("other")))
    store.on_failure(None, None, None)
    assert read_rows(tmp_path, 1).records.keys() == {name, "other"}


def test_shards_of_an_earlier_run_are_cleared(tmp_path: Path) -> None:
    """A new run begins with no rows, however many shards the last one had."""
    for shard in range(3):
        store = Store(str(tmp_path), shard, Desk())
        store.on_start()
        store.on_stop()
    (tmp_path / "mine.txt").touch()
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_somebody_elses_database_is_not_deleted(tmp_path: Path) -> None:
    """A file of such a name that this job did not write is refused, and nothing is deleted."""
    store = Store(str(tmp_path), 0, Desk())
    store.on_start()
    store.on_stop()
    with closing(sqlite3.connect(shard_file(tmp_path, 1))) as theirs:
        theirs.execute("CREATE TABLE precious (x)")
    with pytest.raises(FileExistsError, match=r"corpus-1\.sqlite3"):
        clear(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


# -- ledger and account ---------------------------------------------------------------


def _done(value: object = None, error: BaseException | None = None) -> Future[Any]:
    future: Future[Any] = Future()
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
    return future


def _ledger() -> Ledger:
    cancelled: Future[Any] = Future()
    cancelled.cancel()
    exited = WorkerExited("sys.exit", Crashed("SystemExit"))
    exited.__cause__ = SystemExit("chaos")
    outcomes = {
        "stored": _done("stored"),
        "refused": _done(error=Rejected("not Python")),
        "failed": _done(error=ChaosError("bad luck")),
        "exited": _done(error=exited),
        "stopped": _done(error=WorkerExited("stopped", Shutdown())),
        "between": _done(error=WorkerExited("stopped", Crashed("ChaosError"))),
        "closed": _done(error=MailboxClosed("stopped")),
        "cancelled": cancelled,
    }
    ledger = Ledger()
    ledger.offered = dict.fromkeys([*outcomes, "open"])
    for name, future in outcomes.items():
        ledger.settle(name, future)
    return ledger


def test_each_outcome_is_entered_where_it_belongs() -> None:
    """Stored, refused, failed for good, and stopped on the way are four different things."""
    ledger = _ledger()
    assert list(ledger.stored) == ["stored"]
    assert ledger.refused == {"refused": "not Python"}
    assert ledger.dead.keys() == {"failed", "exited"}
    assert ledger.stranded.keys() == {"stopped", "between", "closed", "cancelled"}
    assert ledger.unsettled() == ["open"]
    assert ledger.settled == 8


def test_a_file_that_is_nowhere_is_lost() -> None:
    """What the ledger calls stored and no database holds is lost; so is an open entry."""
    account = settle_account(_ledger().offered, Rows({}, ()), _ledger())
    assert account.lost == ("open", "stored")
    assert not account.complete


def test_a_row_counts_whatever_was_said_of_the_file() -> None:
    """A file whose store kept it and then crashed for good is stored, not dead."""
    rows = Rows({"stored": _record("stored"), "failed": _record("failed")}, ())
    account = settle_account([*_ledger().offered, "never"], rows, _ledger())
    assert (account.stored, account.refused, account.dead, account.stranded) == (2, 1, 1, 4)
    assert account.not_offered == 1
    assert account.lost == ("open",)


def test_a_row_nobody_offered_is_a_stranger() -> None:
    """Rows beyond the list cannot make up for files that are missing."""
    ledger = Ledger()
    ledger.offered = {"a": None}
    ledger.stored = {"a": None}
    account = settle_account(["a"], Rows({"z": _record("z")}, ()), ledger)
    assert (account.lost, account.strangers) == (("a",), ("z",))


def test_the_chains_own_numbers_are_held_against_the_ledger() -> None:
    """A chain that counts otherwise than its futures tell is contradicted."""
    ledger = _ledger()
    del ledger.offered["open"]
    assert contradictions(ledger, offered=8, completed=1, dropped=0, failed=7, in_flight=0) == []
    assert contradictions(ledger, offered=9, completed=1, dropped=0, failed=7, in_flight=1) == [
        "the chain counts 9 offered, the futures 8",
        "the chain counts 1 in flight, the futures 0",
    ]


# -- the recount ----------------------------------------------------------------------


def test_equal_rows_are_no_difference(tmp_path: Path) -> None:
    """A recount of the same files agrees, refused ones and dead letters too."""
    (tmp_path / "a.py").write_bytes(b"x = 1\n")
    (tmp_path / "bad.py").write_bytes(b"x = (\n")
    (tmp_path / "dead.py").write_bytes(b"")
    files = [*list_files(tmp_path), File("gone.py", str(tmp_path / "gone.py"))]
    found = recount(files)
    assert found.refused.keys() == {"bad.py", "gone.py"}
    rows = Rows({"a.py": measure_file("a.py", b"x = 1\n")}, ())
    assert compare(found, rows, found.refused, {"dead.py": "ChaosError"}) == []


def test_every_kind_of_difference_is_told() -> None:
    """A missing row, a surplus one, another number, another verdict, a wrong shard."""
    found = Recount({"a": _record("a"), "b": _record("b"), "r": _record("r")}, {"s": "no"}, 0.0)
    rows = Rows({"b": _record("b", 9), "s": _record("s")}, ("b",))
    assert compare(found, rows, {"r": "why"}, {}) == [
        "a: no row",
        "b: in a shard that is not its own",
        "b: lines is 9, recounted 1",
        "r: no row",
        "r: refused by the run: why; by the recount: None",
        "s: a row, but the recount has none",
        "s: refused by the run: None; by the recount: no",
    ]


# -- arguments and layout -------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--chaos", "nan"], "from 0 to 0.5"),
        (["--chaos", "0.6"], "from 0 to 0.5"),
        (["--chaos", "-0.1"], "from 0 to 0.5"),
        (["--chaos", "much"], "from 0 to 0.5, not 'much'"),
        (["--limit", "0"], "at least 1"),
        (["--limit", "1.5"], "a whole number"),
        (["--shards", "65"], "at most 64"),
        (["--seed", "x"], "a whole number, not 'x'"),
        (["/no/such/folder"], "does not exist"),
        ([__file__], "is not a folder"),
        (["--database", __file__], "is not a folder"),
        (["--chaso", "0.1"], "--chaso"),
    ],
)
def test_nonsense_is_refused_with_the_reason(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong argument ends the command with 2 and says what it must be."""
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_without_a_folder_the_standard_library_is_taken() -> None:
    """No argument at all is a complete command."""
    options = parse([])
    assert options.folder == standard_library()
    assert (options.chaos, options.limit, options.shards, options.verify) == (0, None, 4, False)


def test_columns_are_aligned() -> None:
    """Cells stand under each other, at their side, without blanks at the end."""
    assert aligned([("a", "1", "x"), ("bbb", "22", "")], "<><") == "  a     1  x\n  bbb  22"
