"""From the call to the journal: queue, batcher, channel, worker, and the runtime that they share."""
