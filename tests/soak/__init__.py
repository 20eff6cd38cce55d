"""Mixed traffic with faults on both sides: nothing grows, and every request is accounted for."""
