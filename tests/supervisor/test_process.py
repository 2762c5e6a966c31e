"""The end of the interpreter and forks: trees are stopped in order, or dead and say so."""

from __future__ import annotations

import os
from textwrap import dedent

import pytest

import threadsup
from tests.supervisor.trees import run_program
from threadsup import DuplicateChildError, Supervisor
from threadsup._runtime import process

HEAD = """
import logging, os, sys, threading
import threadsup
from threadsup import Supervisor, Worker, current, handler, stage, worker_spec

class Noisy(Worker):
    def __init__(self, name):
        self.name = name
    def on_receive(self, message):
        return message() if callable(message) else message
    def on_stop(self):
        print("-" + self.name, flush=True)

def boom():
    raise ValueError("boom")
"""


def run(text: str, code: int = 0) -> list[str]:
    """Run a program that is to end by itself, without its log; return its lines."""
    done = run_program(HEAD + "logging.disable()\n" + dedent(text))
    assert (done.returncode, done.stderr) == (code, ""), done.stdout + done.stderr
    return done.stdout.splitlines()


# -- the end of the interpreter ---------------------------------------------------------


def test_a_process_that_ends_stops_its_trees_in_order() -> None:
    """Main returns without a stop: reverse order, newest tree first, exit code 0 (F84)."""
    assert run(
        """
        one, two = Supervisor("one").start(), Supervisor("two").start()
        for name in "ab":
            one.add_worker(Noisy, name, id=name)
        group = two.add_group("g", [worker_spec(Noisy, "m", id="m")])
        two.add_chain("c", [stage(Noisy, n, id=n) for n in ("s", "t")])
        print("main ends")
        """
    ) == ["main ends", "-t", "-s", "-m", "-b", "-a"]


@pytest.mark.parametrize(("end", "code"), [("sys.exit(3)", 3), ("raise SystemExit", 0)])
def test_a_process_that_exits_stops_its_trees(end: str, code: int) -> None:
    """The exit code is the program's own (F84, F85)."""
    text = f"""
    tree = Supervisor("one").start()
    tree.add_worker(Noisy, "w")
    {end}
    """
    assert run(text, code) == ["-w"]


def test_an_exception_in_main_stops_the_trees() -> None:
    """After its traceback (F85)."""
    text = """
    Supervisor("one").start().add_worker(Noisy, "w")
    1 / 0
    """
    done = run_program(HEAD + dedent(text))
    assert done.returncode == 1
    assert done.stdout == "-w\n"
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_threads_that_are_no_daemons_are_waited_for_first() -> None:
    """Workers serve them to their end."""
    assert run(
        """
        tree = Supervisor("one").start()
        ref = tree.add_worker(Noisy, "w")
        go = threading.Event()
        def late():
            threading.main_thread().join()
            print(ref.ask("served after main"))
        threading.Thread(target=late).start()
        """
    ) == ["served after main", "-w"]


def test_a_hung_worker_does_not_keep_the_process() -> None:
    """Within `exit_timeout` it is abandoned, the others stop by themselves (3.14, F84)."""
    assert run(
        """
        tree = Supervisor("one", exit_timeout=0.3).start()
        tree.add_worker(Noisy, "good")
        hung = tree.add_worker(handler(lambda go: (go.set(), threading.Event().wait())))
        entered = threading.Event()
        hung.tell(entered)
        entered.wait()
        """
    ) == ["-good"]


def test_a_hung_subscriber_does_not_keep_the_process() -> None:
    """The tree's own threads are daemons as well."""
    assert run(
        """
        tree = Supervisor("one", exit_timeout=0.3).start()
        tree.subscribe(lambda event: threading.Event().wait())
        tree.add_worker(Noisy, "w")
        """
    ) == ["-w"]


def test_nothing_is_started_once_the_process_ends() -> None:
    """A crash in a tree that is not stopped yet is not mended (F86)."""
    assert run(
        """
        first = Supervisor("first").start()
        ref = first.add_worker(Noisy, "w", max_restarts=0)
        class Last(Worker):
            def on_stop(self):
                ref.tell(boom)
                print("crashed:", type(ref.wait(10)).__name__)
                try:
                    first.add_worker(Noisy, "late", id="late")
                except threadsup.StartError as error:
                    print(error)
        Supervisor("second").start().add_worker(Last)
        """
    ) == [
        "crashed: Crashed",
        "'late' did not start: RuntimeError: the process is ending: nothing is started any more",
    ]


@pytest.mark.parametrize("on_exit", ["stop", "drain"])
def test_a_tree_may_be_drained_when_the_process_ends(on_exit: str) -> None:
    """`on_exit="drain"`: chains run empty first (DESIGN 3.14)."""
    lines = run(
        f"""
        tree = Supervisor("one", on_exit="{on_exit}").start()
        entered, go = threading.Event(), threading.Event()
        def slow(item):
            entered.set()
            go.wait()
            return item
        chain = tree.add_chain("c", [stage(slow)], on_result=lambda item: print(item, flush=True))
        for item in range(3):
            chain.tell(item)
        entered.wait()
        import atexit
        atexit.register(go.set)  # runs before the tree is stopped
        """
    )
    assert lines == (["0", "1", "2"] if on_exit == "drain" else lines[:3])


def test_a_drain_at_the_end_has_a_limit() -> None:
    """A stage that hangs is given up, and who is idle still stops by itself."""
    assert run(
        """
        tree = Supervisor("one", on_exit="drain", exit_timeout=0.4).start()
        tree.add_worker(Noisy, "good")
        entered = threading.Event()
        chain = tree.add_chain("c", [stage(lambda _: (entered.set(), threading.Event().wait()))])
        chain.tell(1)
        entered.wait()
        """
    ) == ["-good"]


def test_a_tree_that_cannot_be_stopped_keeps_no_other_from_it() -> None:
    """The error is logged, the rest is stopped (F56)."""
    text = """
    one, two = Supervisor("one").start(), Supervisor("two").start()
    one.add_worker(Noisy, "w")
    two.leave_process = boom
    """
    done = run_program(HEAD + dedent(text))
    assert done.returncode == 0
    assert done.stdout == "-w\n"
    assert "supervisor 'two' did not stop as the process ended" in done.stderr
    assert "ValueError: boom" in done.stderr


def test_a_tree_that_was_never_started_or_has_ended_is_no_matter_at_the_end() -> None:
    """Nor is one whose start failed."""
    assert run(
        """
        Supervisor("new").add_worker(Noisy, "never")
        Supervisor("over").start().stop()
        failing = Supervisor("failing")
        failing.add_worker(boom, id="x", restart="temporary")
        class Bad(Worker):
            def on_start(self):
                boom()
        failing.add_worker(Bad)
        try:
            failing.start()
        except threadsup.StartError as error:
            print(error)
        print(dict(threadsup.running()))
        """
    ) == ["'Bad' did not start: ValueError: boom", "{}"]


def test_the_table_of_trees_is_the_process_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are taken while a tree runs, and a snapshot does not change."""

    class Tree:
        name = "t"

        def leave_process(self) -> None:
            """Nothing."""

        def feeds(self) -> tuple[()]:
            return ()

        def mark_forked(self) -> None:
            """Nothing."""

    monkeypatch.setattr(process, "_process", process._Process())
    tree = Tree()
    process.enrol(tree)
    before = process.trees()
    with pytest.raises(DuplicateChildError):
        process.enrol(Tree())
    process.strike(tree)
    process.strike(tree)
    assert list(before) == ["t"]
    assert not process.trees()
    assert not process.exiting()


# -- forks ------------------------------------------------------------------------------

forks = pytest.mark.parametrize("where", ["main", "worker", "other thread"])
"""From where the process is forked: it makes no difference to the child."""

FORK = """
import warnings; warnings.simplefilter("ignore")
def fork(child):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            child()
        except BaseException as error:
            print("failed:", repr(error))
        finally:
            sys.stdout.flush()
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

def said(call, *args, **kwargs):
    try:
        return call(*args, **kwargs)
    except Exception as error:
        assert "forked" in str(error), repr(error)
        return type(error).__name__
"""


def forked(where: str, child: str) -> list[str]:
    """Fork a process with a tree that runs; return the child's lines, then the parent's."""
    text = (
        HEAD
        + FORK
        + dedent(
            """
        tree = Supervisor("app").start()
        ref = tree.add_worker(Noisy, "w", id="w")
        group = tree.add_group("g", [worker_spec(Noisy, "m", id="m")])
        chain = tree.add_chain("c", [stage(Noisy, "s", id="s"), stage(lambda item: item)])
        """
        )
    )
    text += "def child():\n" + "\n".join("    " + line for line in dedent(child).splitlines())
    if where == "main":
        text += "\nfork(child)\n"
    elif where == "worker":
        text += "\nref.ask(lambda: fork(child), timeout=20)\n"
    else:
        text += "\nthread = threading.Thread(target=fork, args=(child,))\n"
        text += "thread.start(); thread.join()\n"
    text += dedent(
        """
        print("parent:", ref.ask("alive"), group.ask("m", "well"), chain.submit("too").result(10))
        print(tree.stop().clean)
        """
    )
    done = run_program(text)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.splitlines()


PARENT = ["parent: alive well too", "-s", "-m", "-w", "True"]

needs_fork = pytest.mark.usefixtures("fork_exists")


@pytest.fixture
def fork_exists() -> None:
    assert hasattr(os, "fork"), "this system does not fork, and has nothing to show here"


@needs_fork
@forks
def test_the_child_of_a_fork_says_that_the_tree_is_dead(where: str) -> None:
    """Whatever is asked of it, at once; the parent is not affected (F91, F92)."""
    lines = forked(
        where,
        """
        calls = [
            (chain.drain,), (chain.restart_child, "s"), (ref.wait,),
            (ref.tell, 1), (ref.tell_nowait, 1), (ref.ask, 1), (ref.stop,), (group.tell, "m", 1),
            (group.ask, "m", 1), (chain.tell, 1), (chain.submit, 1),
            (chain.tell, 1, "s"), (tree.stop,), (tree.wait,), (tree.request_stop,),
            (tree.add_worker, print), (tree.add_group, "h"), (group.add_worker, print),
            (tree.stop_child, "w"), (tree.restart_child, "g"), (tree.remove_child, "c"),
            (group.restart_child, "m"), (tree.run_forever,),
        ]
        for call in calls:
            assert isinstance(said(*call), str), call
        print(sorted({said(*call) for call in calls}))
        print(group.broadcast(1), dict(threadsup.running()))
        print(said(ref.ask(1, block=False).result, 0))
        """,
    )
    assert lines == ["['MailboxClosed', 'NotRunningError']", "0 {}", "MailboxClosed", *PARENT]


@needs_fork
@forks
def test_the_child_of_a_fork_can_be_read(where: str) -> None:
    """No lock that somebody held is waited for."""
    lines = forked(
        where,
        """
        print(tree.children(), list(group), len(chain), tree.failed(), ref.is_alive())
        print(tree.statistics().handled >= 0, ref.statistics().failed, len(tree.dead_letters()))
        print(len(str(tree.tree()).splitlines()), len(tree.history()))
        """,
    )
    assert lines[0].startswith("('w', 'g', 'c') ['m'] 2 () ")
    assert lines[1].startswith("True 0 ")
    assert lines[3:] == PARENT


@needs_fork
@forks
def test_the_child_of_a_fork_may_start_a_tree_of_its_own(where: str) -> None:
    """Of the same name, too; it is stopped by hand as any other (F91, DESIGN 3.14)."""
    lines = forked(
        where,
        """
        with Supervisor("app") as mine:
            fresh = mine.add_worker(Noisy, "new")
            print(fresh.ask("hello"), threadsup.get("app") is mine, current() is None)
            late = mine.add_group("g")
            print(late.add_worker(handler(str)).ask(5))
        print(mine.stop().clean)
        """,
    )
    assert lines == ["hello True True", "5", "-new", "True", *PARENT]


@needs_fork
def test_a_fork_with_every_lock_held_leaves_a_child_that_does_not_wait() -> None:
    """What another thread held in the moment of the fork is nobody's in the child (F91)."""
    text = (
        HEAD
        + FORK
        + dedent(
            """
        from threadsup._runtime import process
        tree = Supervisor("app").start()
        ref = tree.add_worker(Noisy, "w", id="w")
        group = tree.add_group("g", [worker_spec(Noisy, "m", id="m")])
        chain = tree.add_chain("c", [stage(Noisy, "s", id="s")])
        cell = tree._root.scopes["w"].cells["w"]
        locks = [
            tree._lock, group._lock, process._process.lock, cell._lock, cell.mailbox._lock,
            cell._ending._lock, tree._services.loop._late, tree._services.loop.inbox._lock,
            chain._lock, tree._services.history._lock, tree._services.dead_letters._letters._lock,
        ]
        held, go = threading.Event(), threading.Event()
        def hold():
            for lock in locks:
                lock.acquire()
            held.set()
            go.wait()
            for lock in locks:
                lock.release()
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        def child():
            said(ref.tell, 1), said(ref.wait), said(tree.stop), ref.statistics()
            said(tree.add_worker, print), said(group.add_worker, print), tree.statistics()
            ref.monitor(print)(), chain.close(), said(chain.tell, 1), chain.statistics()
            tree.history(), tree.dead_letters(), str(tree.tree())
            with Supervisor("app") as mine:
                mine.add_worker(Noisy, "new")
            print("child is well")
        fork(child)
        go.set()
        thread.join()
        print(ref.ask("and the parent"))
        """
        )
    )
    done = run_program(text)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["-new", "child is well", "and the parent", "-s", "-m", "-w"]


@needs_fork
def test_a_forked_process_of_multiprocessing_ends() -> None:
    """With a tree in the parent, and one of its own."""
    assert run(
        FORK
        + """
import multiprocessing

def work(queue):
    with Supervisor("app") as mine:
        queue.put(mine.add_worker(handler(str.upper)).ask("done in the child"))

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    with Supervisor("app") as tree:
        tree.add_worker(Noisy, "w")
        queue = context.SimpleQueue()
        child = context.Process(target=work, args=(queue,))
        child.start()
        print(queue.get())
        child.join()
        print(child.exitcode)
"""
    ) == ["DONE IN THE CHILD", "0", "-w"]


def test_a_tree_that_runs_here_is_listed_here() -> None:
    """The table of this very process, for the tests above."""
    with Supervisor("here") as tree:
        assert threadsup.running()["here"] is tree
