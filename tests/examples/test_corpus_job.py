"""The corpus job whole: the tree, chaos, signals, the command and the declared form."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

import threadsup
from examples.corpus import __main__ as command
from examples.corpus import interrupts, job, measure, stages, store, tree
from examples.corpus.chaos import Chaos
from examples.corpus.files import list_files
from examples.corpus.job import run
from examples.corpus.store import read_rows, shard_of
from examples.corpus.tree import ATTEMPTS
from examples.corpus.verify import compare, recount
from tests.helpers import Gate, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from examples.corpus.files import File
    from examples.corpus.job import Interruption, Run

CHECKOUT = Path(__file__).resolve().parents[2]
DECLARED = CHECKOUT / "examples" / "corpus" / "corpus.toml"
SHARDS = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of 120 small sources, two of which are none."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for number in range(118):
        body = "    return x\n" * (number % 7 + 1)
        (folder / f"f{number:03}.py").write_text(f"# {number}\ndef f(x):\n{body}")
    (folder / "not_decodable.py").write_bytes(b"s = '\xff'\n")
    (folder / "not_python.py").write_text("x = = 1\n")
    return folder


def _nothing(note: Interruption) -> None:
    raise AssertionError(note)


def _run(
    folder: Path,
    chaos: Chaos | None = None,
    said: Callable[[Interruption], object] = _nothing,
    form: tree.Form = "wide",
) -> tuple[list[File], Run]:
    databases = folder.parent / "databases"
    databases.mkdir()
    files = list_files(folder)
    return files, run(files, databases, SHARDS, chaos or Chaos(), said, form)


def _differences(files: list[File], done: Run) -> list[str]:
    return compare(recount(files), done.rows, done.ledger.refused, done.ledger.dead)


# -- the tree -------------------------------------------------------------------------


@pytest.mark.parametrize("form", get_args(tree.Form))
def test_every_file_is_stored_or_refused(folder: Path, form: tree.Form) -> None:
    """Without chaos the rows are those of a plain loop and nothing crashes."""
    files, done = _run(folder, form=form)
    assert (done.account.stored, done.account.refused, done.account.dead) == (118, 2, 0)
    assert done.account.complete
    assert done.contradictions == []
    assert (done.crashes, done.restarts, done.failed) == (0, 0, ())
    assert _differences(files, done) == []


@pytest.mark.parametrize(("form", "least"), [("wide", 60), ("narrow", 100)])
def test_no_file_is_lost_in_chaos(folder: Path, form: tree.Form, least: int) -> None:
    """Stages and stores crash all the time, and every file is where it belongs."""
    chaos = Chaos(0.2, 1)
    files, done = _run(folder, chaos, form=form)
    assert done.crashes > least
    assert done.restarts == done.crashes
    assert done.account.complete
    assert done.contradictions == []
    assert _differences(files, done) == []


def _fails_for_good(chaos: Chaos, file: str, refused: str | None) -> tuple[bool, int]:
    """Return what chaos makes of a file, and with how many crashes, stage by stage."""
    made = 0

    def passes(*places: str, tries: int, begun: int = 0) -> int | None:
        """Return the attempt that gets through all places, None if none does."""
        nonlocal made
        for attempt in range(begun + 1, begun + tries + 1):
            count = {place: counts.get((place, file), 0) + 1 for place in places}
            for place in places:
                counts[place, file] = count[place]
                if chaos.strikes(place, file, count[place]):
                    made += 1
                    break
            else:
                return attempt
        return None

    counts: dict[tuple[str, str], int] = {}
    for stage in ("read", "tokenise", "measure"):
        if passes(stage, tries=ATTEMPTS) is None:
            return True, made
        if stage == refused:
            return False, made
    shard = f"store {shard_of(file, SHARDS)}"
    for _ in range(ATTEMPTS):
        if passes("store", tries=1) is None:
            continue
        if passes(shard, f"{shard}, committed", tries=ATTEMPTS) is not None:
            return False, made
    return True, made


def test_the_files_that_fail_for_good_are_those_the_seed_says(folder: Path) -> None:
    """Each crash gives the file another attempt, up to the limit: then it is a dead letter.

    One by one: what a batch has in it depends on the moment.
    """
    chaos = Chaos(0.5, 4)
    files, done = _run(folder, chaos, form="narrow")
    refusing = {"not_decodable.py": "read", "not_python.py": "measure"}
    fates = {f.name: _fails_for_good(chaos, f.name, refusing.get(f.name)) for f in files}
    assert done.ledger.dead.keys() == {name for name, (dead, _) in fates.items() if dead}
    assert done.injected == sum(crashes for _, crashes in fates.values())
    assert done.account.dead > 0
    assert done.account.complete
    assert done.contradictions == []
    assert _differences(files, done) == []


def test_a_batch_is_tried_as_one(folder: Path) -> None:
    """Files that get as far as the last stage are stored, or fail together; none is lost."""
    chaos = Chaos(0.5, 4)
    files, done = _run(folder, chaos)
    refusing = {"not_decodable.py": "read", "not_python.py": "measure"}
    early = {f.name for f in files if _fails_early(chaos, f.name, refusing.get(f.name))}
    late = done.ledger.dead.keys() - early
    assert early <= done.ledger.dead.keys()
    assert all(name not in refusing for name in late)
    assert done.account.complete
    assert done.contradictions == []
    assert _differences(files, done) == []


def _fails_early(chaos: Chaos, file: str, refused: str | None) -> bool:
    for stage in ("read", "tokenise", "measure"):
        if all(chaos.strikes(stage, file, attempt) for attempt in range(1, ATTEMPTS + 1)):
            return True
        if stage == refused:
            break
    return False


def test_a_crash_is_counted_once_however_it_happened(folder: Path) -> None:
    """With no store failing for good, each crash of a stage or store is one of chaos's."""
    chaos = Chaos(0.1, 2)
    _, done = _run(folder, chaos)
    assert done.crashes == done.injected == chaos.crashes > 0


def test_a_chain_that_gives_up_is_told_and_loses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the budget the tree ends, and the files that got nowhere are accounted for."""
    budget = threadsup.Defaults(max_restarts=2, max_seconds=60.0)
    monkeypatch.setattr(tree, "_DEFAULTS", budget)
    _, done = _run(folder, Chaos(0.5, 1))
    assert done.failed
    assert done.account.lost == ()
    assert not done.account.complete


# -- signals --------------------------------------------------------------------------


class _Held:
    """Holds the tree in the middle: a stage stands at the gate with one file in hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stage: str, name: str) -> None:
        self.gate = Gate(stage)
        original = getattr(stages, stage)

        @functools.wraps(original)
        def held(item: Any, *arguments: Any) -> Any:
            if item.name != name:
                return original(item, *arguments)
            with arguments[-1].hold(stage, name):
                self.gate.meet()
            return original(item, *arguments)

        monkeypatch.setattr(stages, stage, held)

    def open_when_ended(self, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
        """Open the gate once `stage`, which is asked to stop first, has ended for good."""
        original = tree.build

        def ended(note: threadsup.Exit) -> None:
            if note.final:
                self.gate.open()

        def build(*arguments: Any) -> threadsup.Supervisor:
            sup = original(*arguments)
            sup.chain("corpus")[stage].monitor(ended)
            return sup

        monkeypatch.setattr(job, "build", build)


def _kill_when_held(held: _Held, number: signal.Signals) -> threading.Thread:
    def kill() -> None:
        held.gate.wait_reached()
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_stops_in_order_and_says_what_was_in_flight(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """What was in hand is finished, what was waiting is undelivered, nothing is lost."""
    held = _Held(monkeypatch, "measure", "f030.py")
    held.open_when_ended(monkeypatch, "store")
    killer = _kill_when_held(held, number)
    notes: Recorder[Interruption] = Recorder()
    files, done = _run(folder, None, notes)
    killer.join()
    (note,) = notes.items
    assert note is done.interruption
    assert note.signal == number.name
    assert ("f030.py",) in note.in_hand.values()
    assert "f030.py" in note.in_flight
    replicas = sum(done.workers.values())
    assert len(note.in_flight) <= replicas * (tree.CAPACITY + 2) + tree.BATCH.size
    assert done.report.clean
    account = done.account
    assert account.lost == ()
    assert account.stranded > 0
    assert account.stored + account.refused + account.stranded + account.not_offered == len(files)
    assert sum(done.whereabouts.values()) == account.stranded
    assert done.contradictions == []


def test_a_second_signal_stops_waiting_for_who_does_not_stop(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage that stands still is left behind and named; its file is not lost."""
    monkeypatch.setattr(job, "HURRY", 0.05)
    held = _Held(monkeypatch, "tokenise", "f030.py")
    killer = _kill_when_held(held, signal.SIGINT)

    def said(_: Interruption) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    try:
        _, done = _run(folder, None, said)
    finally:
        held.gate.open()
        killer.join()
    assert not done.report.clean
    assert ("corpus", "tokenise") in [left.id for left in done.report.abandoned]
    assert "f030.py" in done.ledger.dead.keys() | done.ledger.stranded.keys()
    assert done.account.lost == ()


def test_a_signal_while_the_tree_starts_ends_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that takes its time to start is waited for, and then all is stopped."""
    gate = Gate("on_start")
    original = store.Store.on_start

    def on_start(self: store.Store) -> None:
        if self._place == "store 0":
            os.kill(os.getpid(), signal.SIGTERM)
            gate.meet()
        original(self)

    monkeypatch.setattr(store.Store, "on_start", on_start)
    databases = folder.parent / "databases"
    databases.mkdir()
    files = list_files(folder)
    done = run(files, databases, SHARDS, Chaos(), lambda _: gate.open())
    assert done.interruption is not None
    assert done.account.lost == ()


def test_the_handlers_are_put_back() -> None:
    """After the block signals mean what they meant before, and nothing is written anywhere."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interrupts.calling(lambda _: None):
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_that_another_thread_takes_is_heard_at_once() -> None:
    """The main thread may be waiting on a lock that nothing interrupts."""
    heard: Recorder[str] = Recorder()
    released = threading.Lock()
    released.acquire()

    def listen(name: str) -> None:
        heard(name)
        released.release()

    def take() -> None:
        # To this very thread, as the kernel may choose to: no system call of the main
        # thread is interrupted.
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    with interrupts.calling(listen):
        thread = threading.Thread(target=take)
        thread.start()
        assert released.acquire(timeout=10.0)
        thread.join()
    assert heard.items == ["SIGTERM"]


# -- the command ----------------------------------------------------------------------


def test_the_command_verifies_and_ends_with_0(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table says that nothing is lost and the recount that nothing differs."""
    assert command.main([str(folder), "--chaos", "0.1", "--seed", "5", "--verify"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["lost", "0", "must", "be", "0"] in lines
    assert ["stored", "118"] in lines
    assert lines[-1][-2:] == ["no", "difference"]
    assert not any(line[:1] == ["faster"] for line in lines)


def test_the_command_says_what_replicas_and_batches_gain(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does the work twice, and keeps the rows of the second time."""
    kept = folder.parent / "kept"
    assert command.main([str(folder), "--compare", "--database", str(kept)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "faster" in line]
    assert re.fullmatch(r" *faster +[0-9.]+x +than one worker per stage: [0-9,]+ items/s", line)
    assert len(read_rows(kept, 4).records) == 118


def test_the_databases_are_kept_where_asked(folder: Path) -> None:
    """A second run into the same folder begins anew."""
    kept = folder.parent / "kept"
    for limit, shards in (("40", "4"), ("3", "2")):
        arguments = [str(folder), "--database", str(kept), "--limit", limit, "--shards", shards]
        assert command.main(arguments) == 0
    assert len(list(kept.iterdir())) == 2
    assert read_rows(kept, 2).records.keys() == {"f000.py", "f001.py", "f002.py"}


def test_a_difference_is_shown_and_ends_with_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row that says something else than the recount is found."""
    original = measure.join

    def join(name: str, size: int, *parts: Any) -> Any:
        return original(name, size + (name == "f007.py"), *parts)

    monkeypatch.setattr(stages, "join", join)
    assert command.main([str(folder), "--verify"]) == 1
    assert "f007.py: size is" in capsys.readouterr().out


def test_a_lost_file_is_named_and_ends_with_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store that answers without keeping anything is caught, without a recount too."""
    original = store.Store.on_receive

    def on_receive(self: store.Store, message: Any) -> tuple[str, ...]:
        kept = tuple(record for record in message if record.name != "f009.py")
        if kept:
            original(self, kept)
        return tuple(record.name for record in message)

    monkeypatch.setattr(store.Store, "on_receive", on_receive)
    assert command.main([str(folder)]) == 1
    assert "LOST\n  f009.py" in capsys.readouterr().out


def test_an_interrupted_command_ends_with_130(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints what was in flight, and leaves the recount out."""
    held = _Held(monkeypatch, "measure", "f030.py")
    held.open_when_ended(monkeypatch, "store")
    killer = _kill_when_held(held, signal.SIGINT)
    assert command.main([str(folder), "--verify"]) == 130
    killer.join()
    said = capsys.readouterr().out
    assert "files in flight" in said
    assert re.search(r"measure +f030\.py", said)
    assert "recounted" not in said


def test_an_interrupted_recount_ends_with_130(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signal after the tree has ended ends the plain loop, SIGTERM too."""

    def recount(_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(command, "recount", recount)
    assert command.main([str(folder), "--verify"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_folder_without_sources_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to do, which is an error of the caller's."""
    assert command.main([str(tmp_path)]) == 2
    assert "no .py file" in capsys.readouterr().err


def test_a_folder_of_foreign_databases_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is deleted that this job did not write."""
    (folder / "corpus-0.sqlite3").write_text("precious" * 20)
    assert command.main([str(folder), "--database", str(folder)]) == 2
    assert "corpus-0.sqlite3" in capsys.readouterr().err
    assert (folder / "corpus-0.sqlite3").exists()


# -- the declared form ----------------------------------------------------------------


def test_the_declared_form_is_accepted_by_the_command() -> None:
    """`threadsup check` finds nothing wrong with corpus.toml, from any folder."""
    checked = subprocess.run(
        [sys.executable, "-m", "threadsup", "check", str(DECLARED)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        timeout=30,
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_declared_form_does_the_same_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree of corpus.toml leaves the rows that a plain loop finds, and ends by itself."""
    monkeypatch.syspath_prepend(str(DECLARED.parent))
    monkeypatch.setitem(sys.modules, "declared", None)
    monkeypatch.delitem(sys.modules, "declared")
    databases = folder.parent / "databases"
    document = tomllib.loads(DECLARED.read_text())
    workers = {worker["id"]: worker for worker in document["worker"]}
    workers["feed"]["kwargs"] = {"folder": str(folder)}
    for member in document["group"][0]["worker"]:
        member["kwargs"] = {"directory": str(databases)}
    spec = threadsup.load(document, allow=("declared",))
    with threadsup.Supervisor.from_spec(spec) as sup:
        sup.wait()
        items = sup.chain("corpus").statistics().items
    assert (items.completed, items.failed, items.in_flight) == (118, 2, 0)
    found = recount(list_files(folder))
    assert read_rows(databases, 2).records == found.records
