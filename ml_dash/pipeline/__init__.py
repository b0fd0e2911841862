"""From a call of the SDK to the journal, and from there to a server: queue, batches, background threads, fork and exit.

Threads
-------
The script's threads put events into a queue, count and wait; at most they do the work of others (`threads.apart`).
``ml-dash`` runs the event loop: it alone moves slices (`Channel.pump`) as long as it runs, and all deliveries. It never
waits for the disk's fsync or for a name: that is done by ``ml-dash-disk`` (`Channel.sync`, `Channel.flush`),
``ml-dash-blobs`` (`Channel.sync_blobs`), ``ml-dash-upload`` (what is read to be sent) and ``ml-dash-names``.

Any of these may be missing: where the interpreter is ending, or the machine gives no more threads (`ml_dash.spawning`).
Without ``ml-dash``, the calls that log write, as often as it would (`StandIn`). Without its event loop, it
does its rounds all the same, and sends nothing (`Worker._write_without_loop`). Without another one, its work is done by
whoever would have given it that (`threads.WorkThread`). Whatever else keeps ``ml-dash`` from its work: a caller that
waits a second for room in vain makes some. So no row waits for a thread that never comes, and no call either.

Locks
-----
Whoever holds a lock may only wait for one that is further down in this list. tests/support/lock_order.py holds the code
to that while tests run. Locks of the SDK come before all of these, and none is taken under another by us in a handler
of the script's, which may do anything. Hence the second rule: a lock that a call of the script may take is reentrant,
for a signal handler or a finalizer of the script may make another such call in the middle of it, in the same thread. A
thread that is in the middle of a write does not begin another one: see `turns`. And each is a `MortalLock`, since a
finalizer may find it in the hands of a thread that is gone.

1. `Runtime._lock`: the registry, while a run is opened and a worker started.
2. `Channel._pumping`: a slice on its way, the disk's time included.
3. `SideFiles._saving`: the readable files, the disk's time included.
4. `BlobDurability._syncing`: the fsyncs of blobs.
5. `JournalWriter._sync_lock`: the journal's fsync.
6. `JournalWriter._lock`: the journal's segments; held while a frame is written.
7. `JournalView._lock`: what readers know of the journal, and so what side files are made from.
8. `Channel._lock`: counters and what is between queue and journal; held for a moment, as all that follow.
9. `BlobDurability._lock`: which blobs wait for an fsync.
10. `EventQueue._lock`: taking events out. Putting takes no lock.
11. `Uploader._lock`: who waits for the server.
12. `BlobLedger._lock`: what has become of blobs.
13. `RisingClock._lock`: the times of rows of which the later one wins.

No lock is held while another thread is waited for, and none while an uploader is stopped, but for `Runtime._lock`.
A fork takes none of them: the child replaces them all (`Runtime._after_fork`).
"""
