"""
The processes that serve clients when there are several, and what they hear from the keeper.

    keeper ──▶ configuration, token, connections      the client secret stays there
    worker ──▶ log lines, counts, refused tokens      bytes of clients and upstream stay here

Rule 1: nothing here imports what reads the secret or talks to the issuer. A worker is forked from a
        process that was started afresh, with an environment that holds nothing of ours.

Rule 2: what a worker says is read as data, never as code: it parses what strangers send.
"""
