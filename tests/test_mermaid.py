"""A tree as a Mermaid chart: valid whatever the ids are, and nobody taken for another."""

from __future__ import annotations

import html
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from threadsup import Node, Supervisor
from threadsup import stage as stage_of

if TYPE_CHECKING:
    from tests.conftest import MakeSupervisor
    from threadsup._exits import ChildId

HOSTILE = [
    *("end", "subgraph", "graph TD; A-->B", "click n1 callback", "default", "n1", "class n1 up"),
    *('a"b', "x[1]", "p|q", "{r}", "(s)", ")", "]", "-->", "---", ";", ":::up", "@{shape: x}"),
    *("a\nb", "a\\nb", "\r", "\t", "\x00", "\u2028", "\u202ecba", "\ud800", "  lead", "a  b"),
    *("<b>x</b>", "<script>alert(1)</script>", "&amp;", "#quot;", "#35;", "#", "style x:#35;"),
    *("`code`", "**bold**", "_i_", "~~s~~", "1. list", "1) list", "- list", "* list", "# head"),
    *("www.evil.com", "https://a.b", "a@b.c", "[l](u)", "fa:fa-car", "$$x^2$$", "classDef a:#b;"),
    *('%%{init: {"theme": "dark"}}%%', "%% comment", "it's", "\u00e9\u6f22\u5b57", "\U0001f600"),
    *("e\u0301", "", "x" * 200),
]

ROW = re.compile(
    r"""
    flowchart\ TD
  | (?:\ {4})+ (?:
        (?P<box>n\d+)\["(?P<text>[^"\[\]|`<>&\\{}%$*:]*)"\]
      | subgraph\ (?P<frame>n\d+)\["(?P<title>[^"\[\]|`<>&\\{}%$*:]*)"\]
      | (?P<end>end)
      | direction\ LR
      | (?P<source>n\d+)\ -->\ (?P<target>n\d+)
      | classDef\ [a-z]+\ fill:\#\w{6},stroke:\#\w{6},color:\#\w{6}
      | class\ (?P<members>n\d+(?:,n\d+)*)\ (?P<state>[a-z]+)
    )
    """,
    re.VERBOSE,
)


class Chart:
    """What a chart says, read by a grammar that knows no more than is written."""

    def __init__(self, node: Node) -> None:
        self.text = node.to_mermaid()
        self.boxes: dict[str, str] = {}
        self.frames: dict[str, str] = {}
        self.inside: dict[str, list[str]] = {}
        self.arrows: list[tuple[str, str]] = []
        self.states: dict[str, str] = {}
        open_frames: list[str] = []
        for line in self.text.split("\n"):
            row = ROW.fullmatch(line)
            assert row, line
            name = row["box"] or row["frame"]
            if name:
                assert name not in self.boxes
                assert name not in self.frames
                self.inside.setdefault(open_frames[-1] if open_frames else "", []).append(name)
            if row["box"]:
                self.boxes[name] = shown(row["text"])
            elif row["frame"]:
                self.frames[name] = shown(row["title"])
                open_frames.append(name)
            elif row["end"]:
                open_frames.pop()
            elif row["source"]:
                self.arrows.append((row["source"], row["target"]))
            elif row["members"]:
                self.states |= dict.fromkeys(row["members"].split(","), row["state"])
        assert not open_frames


def shown(text: str) -> str:
    """Return a label as Mermaid shows it: codes are HTML's, with another sign."""
    assert re.sub(r"#\d+;", "", text).count("#") == 0
    return html.unescape(re.sub(r"#(\d+);", r"&#\1;", text))


def stage(id: ChildId, replicas: int = 0, state: str = "up", **more: Any) -> Node:
    below = tuple(Node("replica", number, "up") for number in range(replicas))
    return Node("stage", id, state, children=below, **more)


def chain(id: ChildId, *stages: Node, links: tuple[ChildId, ...] = (), state: str = "up") -> Node:
    return Node("chain", id, state, children=stages, links=links)


def test_a_tree_is_drawn_with_its_chains_in_order() -> None:
    """Frames inside frames, stages one behind the other with their replicas, and states."""
    tree = Node(
        "supervisor",
        "app",
        "up",
        "one_for_one",
        (
            Node("task", "poller", "restarting"),
            Node("group", "cache", "up", "", (Node("handler", "w1", "failed"),)),
            chain("etl", stage("parse", 1), stage("enrich", 4, "restarting"), links=("out",)),
            chain("out", stage("save")),
        ),
    )
    drawn = [line for line in tree.to_mermaid().split("\n") if "class" not in line]
    assert drawn == [
        "flowchart TD",
        '    subgraph n1["supervisor app"]',
        '        n2["task poller"]',
        '        subgraph n3["group cache"]',
        '            n4["handler w1"]',
        "        end",
        '        subgraph n5["chain etl"]',
        "            direction LR",
        '            n6["parse"]',
        '            n7["enrich x4"]',
        "            n6 --> n7",
        "        end",
        '        subgraph n8["chain out"]',
        "            direction LR",
        '            n9["save"]',
        "        end",
        "    end",
        "    n7 --> n9",
    ]
    assert Chart(tree).states == {
        **dict.fromkeys(("n1", "n3", "n5", "n6", "n8", "n9"), "up"),
        **dict.fromkeys(("n2", "n7"), "restarting"),
        "n4": "failed",
    }


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
def test_an_id_is_shown_and_nothing_else(hostile: str) -> None:
    """Wherever it stands, the chart is that of a harmless one, with this text in its place."""
    printed = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in hostile
    )
    for ident, text in ((hostile, printed), ((hostile, 1), str((hostile, 1)))):
        tree = Node(
            "supervisor",
            ident,
            "up",
            children=(
                chain(ident, stage(ident, 2), stage(ident), links=(ident,)),
                Node("group", ident, "up", children=(Node("handler", ident, "up"),)),
            ),
        )
        chart = Chart(tree)
        chart.text.encode()
        assert Counter(chart.frames.values()) == Counter(
            [f"supervisor {text}", f"chain {text}", f"group {text}"]
        )
        assert Counter(chart.boxes.values()) == Counter([f"{text} x2", text, f"handler {text}"])


def test_those_of_one_name_are_not_taken_for_each_other() -> None:
    """Ids are one space in each supervisor only, and texts may be equal anywhere."""
    inner = Node(
        "supervisor",
        "app",
        "up",
        children=(chain("a", stage("a"), links=("b",)), chain("b", stage("b"))),
    )
    tree = Node(
        "supervisor",
        "app",
        "up",
        children=(
            inner,
            chain("b", stage("a")),
            chain(1, stage("1"), links=("1",)),
            chain("1", stage("1")),
        ),
    )
    chart = Chart(tree)
    assert (len(chart.frames), list(chart.boxes)) == (7, ["n4", "n6", "n8", "n10", "n12"])
    assert chart.arrows == [("n4", "n6"), ("n10", "n12")]


def test_chains_that_feed_chains_are_joined() -> None:
    """From the last stage to the first, several into one, one into several, and no further."""
    tree = Node(
        "supervisor",
        "app",
        "up",
        children=(
            chain("a", stage("a1"), stage("a2"), links=("c", "d", "gone", "c")),
            chain("b", stage("b1"), links=("c",)),
            chain("c", stage("c1"), stage("c2", links=("b",))),
            chain("d"),
            chain("e", links=("w", "e")),
            Node("handler", "w", "up"),
        ),
    )
    chart = Chart(tree)
    labels = {**chart.boxes, **chart.frames}
    assert Counter((labels[source], labels[target]) for source, target in chart.arrows) == Counter(
        [
            ("a1", "a2"),
            ("c1", "c2"),
            ("a2", "c1"),
            ("a2", "chain d"),
            ("b1", "c1"),
            ("c2", "b1"),
            ("chain e", "handler w"),
            ("chain e", "chain e"),
        ]
    )


def test_what_has_nothing_below_is_a_box() -> None:
    """A frame around nothing cannot be drawn by every version."""
    for kind in ("supervisor", "group", "chain"):
        chart = Chart(Node(kind, "x", "new"))
        assert (chart.boxes, chart.frames) == ({"n1": f"{kind} x"}, {})


def test_a_part_of_a_tree_can_be_drawn_alone() -> None:
    """A chain without the others that it feeds; a state nobody knows is drawn plain."""
    chart = Chart(chain("a", stage("one"), stage("two", state="odd"), links=("b",)))
    assert chart.arrows == [("n2", "n3")]
    assert chart.states == {"n1": "up", "n2": "up"}


def drawn(tree: Supervisor) -> list[tuple[str, str]]:
    """Return the arrows of a tree, by what stands in the boxes."""
    chart = Chart(tree.tree())
    labels = {**chart.boxes, **chart.frames}
    return [(labels[source], labels[target]) for source, target in chart.arrows]


def test_the_links_of_a_running_tree_are_drawn(supervisor: MakeSupervisor) -> None:
    """To the chains beside it, as they are now; the text says them, too."""
    tree, other = supervisor().start(), supervisor().start()
    made = {
        key: tree.add_chain(key, [stage_of(str, id=f"{key}-1"), stage_of(str, id=f"{key}-2")])
        for key in "abc"
    }
    elsewhere = other.add_chain("b", [stage_of(str, id="s")])
    within = [(f"{key}-1", f"{key}-2") for key in "abc"]
    assert drawn(tree) == within
    made["a"].to(made["b"], made["c"], by=str)
    made["b"].to(made["c"])
    made["c"].to(elsewhere)
    links = [("a-2", "b-1"), ("a-2", "c-1"), ("b-2", "c-1")]
    assert drawn(tree) == [*within, *links]
    assert "chain a  up  (one_for_one, goes on to b, c)" in str(tree.tree())
    made["b"].to()
    assert drawn(tree) == [*within, *links[:2]]
    tree.remove_child("b")
    tree.add_chain("b", [stage_of(str, id="b-1")])  # another one: nothing comes to it
    assert drawn(tree)[2:] == [("a-2", "c-1")]
    tree.stop()
    assert ("a-2", "c-1") in drawn(tree)


def test_links_are_drawn_before_the_start() -> None:
    """A tree that is not started has all its chains, and what joins them."""
    tree = Supervisor()
    one = tree.add_chain(1, [stage_of(str, id="1-1")])
    two = tree.add_chain("1", [stage_of(str, id="1-1")])
    one.to(two)
    assert drawn(tree) == [("1-1", "1-1")]
    assert [node.links for node in tree.tree().children] == [("1",), ()]
