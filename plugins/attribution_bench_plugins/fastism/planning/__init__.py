"""Planning: steps, costs and sizes of the work, decided before anything runs."""
