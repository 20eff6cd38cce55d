"""The data plane over real sockets: every promise of it, asserted in bytes."""
