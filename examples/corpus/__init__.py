"""The corpus job: read, tokenise, measure and store every source file of a folder.

A real tree on real input. A chain of four stages does the work, a group of
sharded SQLite stores keeps the results, one standalone worker feeds the chain and
another one reports progress; `--chaos` makes stages and stores crash at random,
`--verify` recounts everything in a plain loop. Run `python -m examples.corpus`.

Layers, an import only points to a smaller number:

```
files, measure, chaos       0   what is read, what is counted, what strikes
store, desk, ledger         1   the sharded databases; what is in hand; what became of each file
stages                      2   the four stages of the chain
tasks                       3   the two standalone workers: feed and progress
tree, verify                4   the supervision tree; the plain recount
options, report, job        5   arguments; tables; one run under signals
__main__, declared          6   the command line; the targets of corpus.toml
```
"""
