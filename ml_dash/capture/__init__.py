"""What surrounds a run, read without the script's help: its command, code, packages, machine and load.

Nothing here knows of experiments: each module reads one thing and returns plain values. All of it may be slow, hang or
be missing (git on a network disk, a driver that does not answer, a container without ``/proc``), so none of it runs on
a thread of the script's, and what cannot be read is left out with its reason.
"""
