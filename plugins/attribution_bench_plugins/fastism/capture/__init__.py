"""Capture: models of either framework become graphs."""
