"""Values: windowed activations of mutated sequences, and the arithmetic of their windows."""
