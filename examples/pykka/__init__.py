"""The examples of Pykka's documentation, with only the import changed.

By Stein Magnus Jodal and Pykka's other contributors, under the Apache License 2.0, as
this project. Each file is run by the tests.
"""
