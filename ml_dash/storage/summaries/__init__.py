"""What lists of a root show, kept in a SQLite file, so that they read no rows and open no journal.

`RootIndex` is the way in: `look` takes in what has changed, and questions (`asking`) are answered from the tables.
The file holds nothing that is not in the journals: it is made anew whenever it is missing, damaged, or another
version's.

How is it known what has changed, at little cost?
=================================================

Appending to a journal changes the time of one file, somewhere below the root. To ask 100,000 of them for their times
takes a second or two on a disk, and minutes over a network. A notification by the system (inotify) needs a process
that is there all the time, and tells nothing of what other hosts write. So a look asks for less, by what each kind of
change leaves behind:

1. **New, removed, moved, copied in.** Each changes an entry of the directory that it lies in, and so that directory's
   own times; of these its ``ctime`` cannot be set, so that rsync, which sets the other one to what it was elsewhere,
   is noticed all the same. A root has few directories that hold experiments. A look asks each for its times, compares
   (never orders: clocks are set back), and lists those that differ. What it lists is compared by name and inode.
2. **Written to by a process that lives.** Its run has not ended, as its rows say, and the tables know: a look asks
   for the sizes of the journals of all runs that are open. That holds for runs on other hosts, too. Of those that
   gave no sign of life for long (killed, mostly) it asks the 500 that did so last.
3. **Written to again**: resumed, imported into, repaired, recovered, tagged. Whoever does so touches a mark in the
   root (`ml_dash.storage.marks`): one of 256 files, by the experiment's path. A look reads the times of 256 files.
4. **On this machine**, rows that wait in shared memory name their experiments: a look has them written, and looks
   there.
5. **Whatever else**: a file copied over another one, written by an older version, or by a program that knows nothing
   of this. At each look some experiments have their turn and are compared by the sizes and times of their files: 256
   at least, and on for 50 ms. So a root of 256 experiments, and most of some thousands, is looked at in full each
   time. Of a larger one, each look goes on where the last one stopped; ``look(everything=True)`` does not wait for
   that.

The bounds, then. Rows 1 to 4: what was written before the look began is in its answer. Row 5: the same, where the
root is small; of 100,000 experiments it is some thirty looks later. `ml-dash ui` looks once a second while somebody
asks, and at everything in the background from time to time; so there it is minutes. Over NFS a client believes what
it knows of a file for a while (``acregmin`` to ``acdirmax``, 3 to 60 s by default): that comes on top, for every
program.

A time that is that of the moment says little: another change may come and leave it as it is. What has changed within
the last two seconds is looked at again the next time (git does the same with its index).

How is it read?
===============

A journal that has grown is read from where the last look ended (`digest`): the tables keep what its fold knows. Where
it was cut, repaired or damaged, its index reads it whole.

How is it kept right?
=====================

Each look enters what it found in a few short transactions, each of which is true by itself: which experiments there
are; what some journals amount to, with the sizes and times that their files had before they were read; and, at last,
which marks it has seen. So whoever is killed has entered less, and the next look finds the rest. Two processes that
look at the same time both enter what they found; of two answers to one question the older one may come last, with its
older sizes and times: then these differ at the next look.
"""
