"""Adapters: training frameworks log to an experiment by one line of the script.

One module a framework, named after it. A module loads its framework when its adapter is first used, and nothing of
this is loaded by ``import ml_dash``.
"""
