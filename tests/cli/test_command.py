"""The command's verbs and arguments, in this process: what is printed and returned."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.processes import ROOT, write
from threadsup.cli import doctor, main

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
[supervisor]
name = "app"
auto_shutdown = "all"
[[worker]]
id = "poller"
target = "jobs:poll"
significant = true
[[group]]
id = "cache"
[[group.worker]]
id = "w1"
target = "jobs:serve"
kind = "handler"
[[chain]]
id = "etl"
[[chain.stage]]
target = "jobs:serve"
"""

NAMED = '[supervisor]\nname = "app"\n'

JOBS = "def poll(): ...\ndef serve(message): ..."


@pytest.fixture(autouse=True)
def own_modules() -> object:
    """Forget the module beside the file, which every test has under the same name."""
    yield
    sys.modules.pop("jobs", None)


def test_check_says_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A right file is summed up in a line."""
    assert main(["check", str(write(tmp_path, JOBS, GOOD))]) == 0
    assert capsys.readouterr().out == "ok: app: 1 worker, 1 group (1 member), 1 chain (1 stage)\n"


def test_tree_draws_what_is_declared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The declared tree is drawn, and nothing of it runs."""
    assert main(["tree", str(write(tmp_path, JOBS, GOOD))]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = ["supervisor app", "task poller", "group cache", "handler w1", "chain etl"]
    assert [" ".join(line.strip("├─└│ ").split()[:2]) for line in lines] == [*shown, "stage serve"]
    assert "jobs:serve, permanent" in lines[3]


@pytest.mark.parametrize("verb", ["check", "tree", "run"])
def test_every_error_of_a_file_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """All at once, each with its path, on the error stream; exit code 2."""
    toml = """
[supervisor]
nam = "app"
[[worker]]
target = "jobs:poll"
shutdown = -1
[[chain]]
id = "etl"
strategy = "some_for_one"
[[chain.stage]]
target = "jobs:poll"
"""
    file = write(tmp_path, JOBS, toml)
    assert main([verb, str(file)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    paths = {line.partition(":")[0] for line in lines}
    assert {"worker[0].shutdown", "chain[0].strategy", "chain[0].stage[0].target"} <= paths
    assert any("nam" in path for path in paths)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[worker", "is not TOML"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, words: str
) -> None:
    """No TOML, no text, no file: a line and exit code 2, no traceback."""
    file = tmp_path / "app.toml"
    if content is not None:
        file.write_bytes(content)
    assert main(["check", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{file}: ")
    assert words in line


def test_a_folder_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Naming a folder is told as what it is."""
    assert main(["check", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path}: ")


def test_only_what_is_beside_the_file_or_allowed_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--allow PKG` opens one more package; without it the target is refused unimported."""
    file = write(
        tmp_path, JOBS, NAMED + '[[worker]]\ntarget = "colorsys:rgb_to_hsv"\nargs = [1, 2, 3]\n'
    )
    sys.modules.pop("colorsys", None)
    assert main(["check", str(file)]) == 2
    assert "colorsys" not in sys.modules
    assert "worker[0].target" in capsys.readouterr().err
    assert main(["check", str(file), "--allow", "colorsys"]) == 0


def test_a_module_that_exits_when_it_is_imported_is_a_bad_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code beside the file cannot end the command at import."""
    file = write(tmp_path, "raise SystemExit(7)", '[[worker]]\ntarget = "jobs:poll"\n')
    assert main(["check", str(file)]) == 2
    assert "worker[0].target" in capsys.readouterr().err


def test_ctrl_c_while_modules_are_imported_is_130(tmp_path: Path) -> None:
    """A signal before anything runs ends the command without a traceback."""
    file = write(tmp_path, "raise KeyboardInterrupt", '[[worker]]\ntarget = "jobs:poll"\n')
    assert main(["check", str(file)]) == 130


@pytest.mark.parametrize(
    "arguments",
    [[], ["start", "app.toml"], ["run"], ["run", "a", "--every", "-1"], ["check", "a", "--fast"]],
)
def test_bad_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments that mean nothing are refused with the usage."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: threadsup" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chek", "a"], "no command 'chek'; did you mean 'check'?"),
        (["frobnicate"], "there are run, check, tree, doctor, completion"),
        (["--version-of", "chek"], "no command 'chek'; did you mean 'check'?"),
        (["check", "a", "--alow", "b"], "check has no option '--alow'; did you mean '--allow'?"),
        (["tree", "a", "--mermaids=1"], "did you mean '--mermaid'?"),
        (["tree", "a", "--every", "3"], "tree has no option '--every'"),
        (["tree", "a", "b"], "one argument too many: 'b'"),
    ],
)
def test_what_was_meant_is_guessed(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command or an option with a letter too few is answered with the one that there is."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_a_file_of_another_name_is_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those beside it that have a name like it are named."""
    file = write(tmp_path, JOBS, GOOD)
    assert main(["check", str(tmp_path / "ap.toml")]) == 2
    assert capsys.readouterr().err.splitlines()[1] == f"threadsup: did you mean {file}?"
    assert main(["check", str(tmp_path / "gone" / "ap.toml")]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_a_tree_as_mermaid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text of a flowchart, with as many replicas as a stage starts with."""
    several = GOOD + 'workers = 3\n[[chain.stage]]\nid = "x"\ntarget = "jobs:serve"\n'
    assert main(["tree", str(write(tmp_path, JOBS, several)), "--mermaid"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "flowchart TD"
    assert any(line.endswith('["serve x3"]') for line in lines)
    assert any(line.endswith('["x"]') for line in lines)


NESTED = """
[supervisor]
name = "app"
[[nested]]
id = "inner"
[[nested.worker]]
id = "deep"
target = "jobs:poll"
"""


def test_what_is_nested_is_checked_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A supervisor in a supervisor, with what is in it."""
    file = write(tmp_path, JOBS, NESTED)
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr().out == "ok: app: supervisor inner: 1 worker\n"
    assert main(["tree", str(file)]) == 0
    assert "   └─ task deep" in capsys.readouterr().out
    assert main(["tree", "--mermaid", str(file)]) == 0
    assert "supervisor inner" in capsys.readouterr().out


def test_ctrl_c_in_the_middle_of_looking_is_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verb that only looks ends without a traceback."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "of_cores", interrupted)
    assert main(["doctor"]) == 130
    assert capsys.readouterr() == ("", "")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` names the command and its version."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("threadsup ")


def test_the_module_is_the_command(tmp_path: Path) -> None:
    """`python -m threadsup` does the same, and returns the same exit codes."""
    file = write(tmp_path, JOBS, GOOD)
    done = subprocess.run(
        [sys.executable, "-m", "threadsup", "check", file],
        capture_output=True,
        check=False,
        cwd=ROOT,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout[:3], done.stderr) == (0, "ok:", "")


def test_a_terminal_without_line_drawing_gets_escapes(tmp_path: Path) -> None:
    """An output that cannot show a character is no reason to fail."""
    file = write(tmp_path, JOBS, GOOD)
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-m", "threadsup", "tree", file],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env={"PYTHONIOENCODING": "ascii"},
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\u2514" in done.stdout
