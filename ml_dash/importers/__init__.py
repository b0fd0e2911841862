"""Bringing in what other trackers have written: one module a format, and one way into the journal for all of them.

A format says what there is (`source`): runs, each of parts, each of items that are taken whole or not at all.
Everything else is the same for all of them and in one place (`target`): an item's rows and the position behind it go
into one frame of the journal, so that an import that was interrupted anywhere goes on where it was, and one that is
repeated finds nothing new. What a format has and we have no word for is told (`report`), and never guessed.
"""
