"""What makes shells complete the command. It needs what the group `test` installs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.processes import needs
from threadsup.cli import main

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ("run", "check", "tree", "doctor", "completion", "mermaid", "plain", "allow")

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_shtab_threadsup
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def shtab() -> None:
    """Say what is missing where it is."""
    needs("shtab")


@pytest.mark.usefixtures("shtab")
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_knows_every_word(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The verbs and their options are in it."""
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert [word for word in WORDS if word not in script] == []


def replies(folder: Path, script: str, *words: str) -> set[str]:
    (folder / "script").write_text(script)
    done = subprocess.run(
        ["bash", "-c", ASK, "ask", str(folder / "script"), *words],  # noqa: S607
        capture_output=True,
        check=True,
        cwd=folder,
        text=True,
        timeout=30,
    )
    return set(done.stdout.split())


@pytest.mark.usefixtures("shtab")
def test_bash_completes_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Verbs, options of a verb, shells and files, asked of the shell itself."""
    main(["completion", "bash"])
    script = capsys.readouterr().out
    (tmp_path / "app.toml").touch()
    assert replies(tmp_path, script, "threadsup", "ch") == {"check"}
    assert replies(tmp_path, script, "threadsup", "tree", "--m") == {"--mermaid"}
    assert replies(tmp_path, script, "threadsup", "completion", "f") == {"fish"}
    assert replies(tmp_path, script, "threadsup", "run", "app") == {"app.toml"}


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line with the remedy, and exit code 1."""
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "pip install 'threadsup[cli]'" in capsys.readouterr().err


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The shells there are, are named."""
    with pytest.raises(SystemExit) as caught:
        main(["completion", "tcsh"])
    assert caught.value.code == 2
    assert "bash" in capsys.readouterr().err
