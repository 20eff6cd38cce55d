"""
The processes that serve clients when there are several, and what they hear from the keeper.

    keeper ──▶ configuration, token, connections      the client secret stays there
    worker ──▶ counts, last requests, refused tokens  bytes of clients and upstream stay here

Rule 1: nothing here imports what reads the secret or talks to the issuer. A worker is forked from a
        process that was started afresh, with an environment that holds nothing of ours.

Rule 2: what a worker says is read as data, never as code: it parses what strangers send.

Rule 3: lines of the log do not travel. Each process writes to what the keeper was started with: by
        way of the keeper they cost 5 µs a request, which is a sixth of it.
"""
