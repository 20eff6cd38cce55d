"""What the installed command stands: many clients, slow ones, and too few descriptors."""
