"""Programs that use the library as its users do, run from a checkout.

Owns nothing of the library: an example imports only public names of `threadsup`
and the standard library (Pykka's own ones also its typing helpers), and the library never
imports an example.
"""
