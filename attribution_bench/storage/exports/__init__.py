"""Exports: views of a store in the formats of other tools; none computes a score again."""
