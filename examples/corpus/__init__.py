"""The corpus job: read, tokenise, measure and store every source file of a folder.

A real tree on real input. A chain of four stages does the work: its stages have
replicas, those that compute as many as they need, and records are stored in batches. A
group of sharded SQLite stores keeps the results, one standalone worker feeds the chain
and another one reports progress; `--chaos` makes stages and stores crash at random,
`--verify` recounts everything in a plain loop, `--compare` does it with one worker per
stage first. Run `python -m examples.corpus`.

Layers, an import only points to a smaller number:

```
files, measure, chaos,      0   what is read, what is counted, what strikes,
  interrupts                    what a signal calls
desk, ledger, options       1   what is in hand; what became of each file; the arguments
store                       2   the sharded databases
stages, tasks,              3   the four stages of the chain; the tasks feed and progress;
  account, verify               the sum that must be 0; the plain recount
tree                        4   the supervision tree
job                         5   one run under signals
report                      6   tables
__main__, declared          7   the command line; the targets of corpus.toml
```
"""
