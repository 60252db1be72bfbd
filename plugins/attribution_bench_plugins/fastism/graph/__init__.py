"""A model as a plain graph, and how one is captured from a framework."""
