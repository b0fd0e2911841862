"""Rules: what they wait for, when they fire, and how people are told.

::

    ingest ── rows ──▶ candidates ─┐ one transaction with the rows
    silence, now and then ─────────┴▶ firings ── filter ──▶ messages (outbox) ── claim ──▶ webhook, Slack, mail

What may have made a rule fire is written down by the transaction that stores the rows, so a crash loses none of it, and
of two servers on one database only one writes it. All else is done beside ingest: whether the filter holds, what is
said, and telling it.
"""
