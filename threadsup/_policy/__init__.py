"""What should happen: decisions as pure functions over frozen values.

Owns every rule about restarts, budgets, pauses and picks. It must not know
threads, clocks, random sources, logging or Pykka: time and chance are arguments.
"""
