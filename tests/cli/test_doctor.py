"""`threadsup doctor`: verdicts, and what is printed of them."""

from __future__ import annotations

import json
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.processes import Command, write
from threadsup.cli import command, doctor, main
from threadsup.cli.doctor import (
    Finding,
    as_json,
    as_text,
    of_cores,
    of_gil,
    of_packages,
    of_rooms,
    of_trial,
    stops,
)
from threadsup.cli.interpreter import Gil
from threadsup.cli.machine import Cores, Room
from threadsup.cli.trying import Trial, start_threads

if TYPE_CHECKING:
    from pathlib import Path

GOOD = Finding("memory", "ok", "enough")
BAD = Finding("mappings", "stops", "too few", "sysctl vm.max_map_count")


@pytest.mark.parametrize(
    ("gil", "verdict", "words"),
    [
        (Gil(built=True, on=True, forced=""), "ok", "one thread at a time"),
        (Gil(built=False, on=False, forced=""), "ok", "threads use all cores"),
        (Gil(built=False, on=True, forced="PYTHON_GIL=1"), "note", "by PYTHON_GIL=1"),
        (Gil(built=False, on=True, forced="", by=("a", "b")), "note", "by importing a, b"),
        (
            Gil(built=False, on=True, forced="", by=("a", "b"), certain=False),
            "note",
            "by importing one of a, b",
        ),
        (Gil(built=False, on=True, forced=""), "note", "is not known"),
    ],
)
def test_the_gil_is_judged(gil: Gil, verdict: str, words: str) -> None:
    """On where it was built in is all right; on where it was not has a culprit."""
    _, found = of_gil(gil)
    assert found.verdict == verdict
    assert words in found.says


@pytest.mark.parametrize(
    ("cores", "verdict", "says"),
    [
        (Cores(8, 8, None), "ok", "8 cores"),
        (Cores(8, 2, None), "ok", "2 cores of 8, by affinity"),
        (Cores(1, 1, None), "note", "1 core: threads take turns"),
        (Cores(8, 8, 1.5), "note", "8 cores, of which the control group lets 1.5 be busy"),
        (Cores(2, 2, 4.0), "ok", "2 cores"),
    ],
)
def test_cores_are_judged(cores: Cores, verdict: str, says: str) -> None:
    """Fewer usable than present are told, and by what."""
    (found,) = of_cores(cores)
    assert (found.verdict, found.says) == (verdict, says)


def test_room_for_all_is_no_obstacle() -> None:
    """Exactly as many as wanted is enough."""
    room = Room("mappings", "maps", 20_010, 10, 2, "sysctl")
    _, found = of_rooms([room], 10_000, 8 << 20)
    assert (found.verdict, found.says) == ("ok", "20,010, 10 in use: room for 10,000 threads")
    assert found.remedy == ""


def test_room_for_one_less_is_an_obstacle() -> None:
    """It says how many there is room for, and what to turn."""
    room = Room("mappings", "maps", 20_008, 10, 2, "sysctl")
    _, found = of_rooms([room], 10_000, 8 << 20)
    assert found.verdict == "stops"
    assert "room for 9,999 threads, not for 10,000" in found.says
    assert found.remedy == "sysctl"


def test_no_limit_is_no_obstacle() -> None:
    """What is not limited is named all the same."""
    _, found = of_rooms([Room("threads of this user", "threads", None, 5, 1)], 10, 8 << 20)
    assert (found.verdict, found.says) == ("ok", "no limit")


def test_bytes_are_shown_as_people_read_them() -> None:
    """Stacks and memory in the units that fit."""
    stack, memory = of_rooms([Room("memory", "bytes", 3 << 30, 1 << 30, 1 << 16)], 10, 8 << 20)
    assert stack.says.startswith("8 MiB of addresses")
    assert memory.says == "3 GiB, 1 GiB in use: room for 32,768 threads"


def test_what_is_not_known_can_be_tried() -> None:
    """On a system that does not say, the remedy is to try."""
    *_, found = of_rooms([], 10_000, 8 << 20)
    assert (found.verdict, found.remedy) == ("unknown", "threadsup doctor --try 10000")


def test_an_old_or_missing_dependency_stops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extras may be missing, dependencies may not."""
    versions = {"pykka": "4.4.9", "threadsup": "0.1.0", "rich": "15.0"}
    monkeypatch.setattr(doctor, "version_of", lambda name: versions.get(name, ""))
    found = {finding.about: finding for finding in of_packages()}
    assert found["threadsup"].says == "0.1.0"
    assert found["pykka"].says == "4.4.9, of which 4.5 is needed"
    assert found["typing-extensions"].verdict == "stops"
    assert (found["rich"].verdict, found["shtab"].verdict) == ("ok", "note")
    assert "threadsup[cli]" in found["shtab"].remedy
    versions |= {"pykka": "4.10", "typing-extensions": "4.0"}
    assert not stops(of_packages())


def test_the_text_has_a_line_for_each_and_one_for_all() -> None:
    """Verdict, subject, what was found; the remedy below; at last who would stop it."""
    lines = as_text([GOOD, BAD], 10_000).splitlines()
    assert lines == [
        "ok      memory    enough",
        "stops   mappings  too few",
        "                  -> sysctl vm.max_map_count",
        "",
        "10,000 threads would be stopped by: mappings",
    ]
    assert as_text([GOOD], 1).splitlines()[-1] == "nothing here would stop 1 thread"
    unknown = Finding("threads", "unknown", "?")
    assert as_text([GOOD, unknown], 10).splitlines()[-1] == "nothing known would stop 10 threads"


def test_the_json_is_the_same_for_programs() -> None:
    """One verdict for all, the worst, and every finding."""
    told = json.loads(as_json([GOOD, BAD], 10))
    assert (told["threads"], told["verdict"]) == (10, "stops")
    assert told["findings"][1] == {
        "about": "mappings",
        "verdict": "stops",
        "says": "too few",
        "remedy": "sysctl vm.max_map_count",
    }


def test_a_trial_starts_threads_and_ends_them() -> None:
    """All of them are gone after it: the check around every test sees to that."""
    trial = start_threads(20)
    assert (trial.started, trial.error) == (20, "")
    (found,) = of_trial(trial, 20)
    assert (found.about, found.verdict) == ("20 threads, tried", "ok")


def test_a_trial_that_is_refused_says_how_far_it_came() -> None:
    """The system's own words, and how many there were by then."""
    import threading  # noqa: PLC0415 - for this one

    made: list[threading.Thread] = []

    class Refused(threading.Thread):
        def start(self) -> None:
            if len(made) == 3:
                raise RuntimeError("can't start new thread")
            made.append(self)
            super().start()

    trial = start_threads(10, Refused)
    assert (trial.started, trial.error) == (3, "can't start new thread")
    (found,) = of_trial(trial, 10)
    assert (found.verdict, found.says) == ("stops", "3 started, then: can't start new thread")


def test_a_trial_that_is_broken_off_leaves_nothing() -> None:
    """Ctrl-C in the middle ends what was started."""
    import threading  # noqa: PLC0415 - for this one

    class Broken(threading.Thread):
        def start(self) -> None:
            super().start()
            if self.name.endswith("-last"):
                raise KeyboardInterrupt

    names = iter(["a", "b", "c-last"])

    def make(**options: Any) -> threading.Thread:
        return Broken(**{**options, "name": next(names)})

    with pytest.raises(KeyboardInterrupt):
        start_threads(5, make)


# -- the verb -------------------------------------------------------------------------


def test_it_looks_at_this_interpreter(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said of the build is true; no thread is started for it."""
    assert main(["doctor", "--json", "--threads", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = {finding["about"]: finding for finding in told["findings"]}
    free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    assert ("free-threaded" in found["interpreter"]["says"]) == free
    assert sys.executable in found["interpreter"]["says"]
    assert found["GIL"]["says"].startswith("off" if free else "on")
    assert found["pykka"]["verdict"] == "ok"


def test_what_stops_it_is_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More threads than any machine has room for."""
    monkeypatch.setattr(doctor, "of_rooms", lambda *_: [BAD])
    assert main(["doctor"]) == 1
    assert "10,000 threads would be stopped by: mappings" in capsys.readouterr().out


def test_trying_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `--try` nothing is started; with it, as many as it says."""
    asked: list[int] = []

    def start(number: int) -> Trial:
        asked.append(number)
        return Trial(number, 0.5, "")

    monkeypatch.setattr(command, "start_threads", start)
    monkeypatch.setattr(doctor, "of_rooms", lambda *_: [GOOD])
    assert main(["doctor"]) == 0
    assert asked == []
    assert main(["doctor", "--try", "70"]) == 0
    assert asked == [70]
    assert "70 threads, tried" in capsys.readouterr().out


def test_the_modules_of_a_file_are_looked_at(tmp_path: Path) -> None:
    """What a tree imports may switch the GIL on: it is imported, and nothing of it runs."""
    job = "print('imported')\ndef job(): print('ran')"
    toml = '[[worker]]\nid = "job"\ntarget = "jobs:job"\n[supervisor]\nname = "app"\n'
    with Command("doctor", write(tmp_path, job, toml), "--threads", "1") as done:
        assert done.end() == 0, done.text
        assert done.out.items[0] == "imported"
        assert "ran" not in done.out.items


def test_a_bad_file_is_no_patient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its errors are told as by every verb."""
    assert main(["doctor", str(tmp_path / "no.toml")]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5"])
def test_a_number_of_threads_is_one(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    """None, fewer, and what is no whole number are refused."""
    with pytest.raises(SystemExit) as caught:
        main(["doctor", f"--threads={number}"])
    assert caught.value.code == 2
    assert "--threads" in capsys.readouterr().err
