"""A chain: stages in order, each result going on to the next stage."""

from threadsup._chain.facade import Chain, chain_scope
from threadsup._chain.graph import fed_by, upstream_first
from threadsup._chain.stage import Stage

__all__ = ["Chain", "Stage", "chain_scope", "fed_by", "upstream_first"]
