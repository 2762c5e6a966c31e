"""Programs that use the library as its users do, run from a checkout.

Owns nothing of the library: an example imports only public names of `threadsup`
and the standard library, and the library never imports an example.
"""
