"""Planning: what the engine does with each node, what it costs and in which sizes, decided before anything runs."""
