"""What wandb writes: the logs of its runs, offline or not, and what its pages and its API export.

Its package reads no log any more: since it is written by a program in Go, the reader in Python is gone. So the log is
read here, by its format, and nothing of wandb needs to be installed.
"""
