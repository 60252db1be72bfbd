"""Values: what flows along the graph while mutations run, and the windows that they stand on."""
