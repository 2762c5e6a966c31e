"""OTP-style supervision for Python threads.

The layers, an import only ever pointing to a smaller number:

0  `_errors`, `_exits`, `_results`: what callers meet, why workers end, markers
1  `_specs`, `events`: what to run, what happened
2  `_config`, `_snapshot`, `_dead_letters`: files to specs, counts and trees as values
   `_policy` (1-3): decisions, pure
   `_runtime` (0-3): machinery: threads, mailboxes, Pykka
4  `_cell`, `_build`, `_scope`, `_group`, `_chain`: where the two wings meet
5  `_supervisor`: the authority
6  `pool`, `genserver`, `cli`: what is built on all that
"""

from threadsup import events
from threadsup._chain import Chain, Stage
from threadsup._config import load
from threadsup._dead_letters import DeadLetter
from threadsup._errors import (
    BreakerOpen,
    CallingSelfError,
    DeliveryError,
    DuplicateChildError,
    InternalError,
    MailboxClosed,
    MailboxFull,
    NoReply,
    NotRunningError,
    PoolBroken,
    Rejected,
    ReplyError,
    ReplyTimeout,
    SpecError,
    StartError,
    ThreadsupError,
    UnknownChildError,
    WorkerExited,
)
from threadsup._exits import Abandoned, Crashed, Exit, ExitReason, Normal, Shutdown, WorkerExit
from threadsup._group import Group
from threadsup._policy.autoscale import Autoscale
from threadsup._policy.backoff import Backoff
from threadsup._policy.batch import Batch
from threadsup._policy.breaker import Breaker
from threadsup._policy.rate import Rate
from threadsup._policy.retry import Retry
from threadsup._results import Drop, Emit, Reject, Stop
from threadsup._runtime.context import Context, current, sleep
from threadsup._runtime.future import Future
from threadsup._runtime.owed import ReplyToken
from threadsup._runtime.ref import WorkerRef
from threadsup._runtime.threading_actor import ThreadingActor
from threadsup._runtime.timers import Timer, every, send_after
from threadsup._runtime.worker import receive
from threadsup._snapshot import (
    Abandonment,
    ChainStatistics,
    Items,
    Node,
    ReplicaStatistics,
    ScopeStatistics,
    StageStatistics,
    StopReport,
    SupervisorStatistics,
    Times,
    WorkerStatistics,
)
from threadsup._specs import (
    ChainSpec,
    Defaults,
    GenServer,
    GroupSpec,
    Request,
    StageSpec,
    SupervisorSpec,
    Worker,
    WorkerSpec,
    handler,
    stage,
    worker_spec,
)
from threadsup._supervisor import Supervisor, get, running
from threadsup.pool import Pool, PoolStatistics

__all__ = [
    "Abandoned",
    "Abandonment",
    "Autoscale",
    "Backoff",
    "Batch",
    "Breaker",
    "BreakerOpen",
    "CallingSelfError",
    "Chain",
    "ChainSpec",
    "ChainStatistics",
    "Context",
    "Crashed",
    "DeadLetter",
    "Defaults",
    "DeliveryError",
    "Drop",
    "DuplicateChildError",
    "Emit",
    "Exit",
    "ExitReason",
    "Future",
    "GenServer",
    "Group",
    "GroupSpec",
    "InternalError",
    "Items",
    "MailboxClosed",
    "MailboxFull",
    "NoReply",
    "Node",
    "Normal",
    "NotRunningError",
    "Pool",
    "PoolBroken",
    "PoolStatistics",
    "Rate",
    "Reject",
    "Rejected",
    "ReplicaStatistics",
    "ReplyError",
    "ReplyTimeout",
    "ReplyToken",
    "Request",
    "Retry",
    "ScopeStatistics",
    "Shutdown",
    "SpecError",
    "Stage",
    "StageSpec",
    "StageStatistics",
    "StartError",
    "Stop",
    "StopReport",
    "Supervisor",
    "SupervisorSpec",
    "SupervisorStatistics",
    "ThreadingActor",
    "ThreadsupError",
    "Timer",
    "Times",
    "UnknownChildError",
    "Worker",
    "WorkerExit",
    "WorkerExited",
    "WorkerRef",
    "WorkerSpec",
    "WorkerStatistics",
    "current",
    "events",
    "every",
    "get",
    "handler",
    "load",
    "receive",
    "running",
    "send_after",
    "sleep",
    "stage",
    "worker_spec",
]
