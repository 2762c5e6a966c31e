"""What should happen: decisions as pure functions over frozen values.

Owns every rule about restarts, budgets, pauses, picks, rates and replicas. It must not
know threads, clocks, random sources, logging or Pykka: time and chance are arguments.
"""
