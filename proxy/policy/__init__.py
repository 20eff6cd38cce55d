"""What may pass, and as which bytes: pure functions of bytes, without clock, I/O or log."""
