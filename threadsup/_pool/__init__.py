"""What a pool is made of; `threadsup.pool` is its front.

Owns nothing itself. It must not know supervisors: the front has one, and hands in what
of it is needed.

From the ground up: `work` (one task), `backlog` (what waits, and who is idle),
`partition` (one backlog per worker), `pauses` (what waits for another attempt), `core`
(what becomes of tasks), `worker` (who does them), `stream` (`map`), `leaving` (the end of
the process).
"""
