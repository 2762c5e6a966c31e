"""What to run and under which rules: frozen descriptions that check themselves.

Owns the specs of worker, stage, group, chain and supervisor, and every rule about
their options; a rule stands once and serves a call as well as a file. It must not
know how anything is started.
"""

from threadsup._specs.callbacks import Cast, GenServer, Request, UnhandledError, Worker
from threadsup._specs.chain import ChainSpec, chain_spec
from threadsup._specs.group import GroupSpec, group_spec, member_problems
from threadsup._specs.naming import IdSource
from threadsup._specs.options import (
    AutoShutdown,
    ChainOptions,
    GroupOptions,
    Key,
    Kind,
    MailboxFate,
    OnAskError,
    OnError,
    OnExit,
    OnFull,
    OnResult,
    Restart,
    Routing,
    StageOptions,
    StageRouting,
    Strategy,
    WorkerOptions,
)
from threadsup._specs.stage import StageSpec, fitted, stage
from threadsup._specs.supervisor import (
    Budget,
    ChildSpec,
    Defaults,
    NestedOptions,
    SupervisorOptions,
    SupervisorSpec,
    nested_problems,
    nested_spec,
    significance_problem,
    supervisor_spec,
)
from threadsup._specs.targets import Handler, handler, is_server, kind_of, name_of
from threadsup._specs.worker import WorkerSpec, worker_spec

__all__ = [
    "AutoShutdown",
    "Budget",
    "Cast",
    "ChainOptions",
    "ChainSpec",
    "ChildSpec",
    "Defaults",
    "GenServer",
    "GroupOptions",
    "GroupSpec",
    "Handler",
    "IdSource",
    "Key",
    "Kind",
    "MailboxFate",
    "NestedOptions",
    "OnAskError",
    "OnError",
    "OnExit",
    "OnFull",
    "OnResult",
    "Request",
    "Restart",
    "Routing",
    "StageOptions",
    "StageRouting",
    "StageSpec",
    "Strategy",
    "SupervisorOptions",
    "SupervisorSpec",
    "UnhandledError",
    "Worker",
    "WorkerOptions",
    "WorkerSpec",
    "chain_spec",
    "fitted",
    "group_spec",
    "handler",
    "is_server",
    "kind_of",
    "member_problems",
    "name_of",
    "nested_problems",
    "nested_spec",
    "significance_problem",
    "stage",
    "supervisor_spec",
    "worker_spec",
]
