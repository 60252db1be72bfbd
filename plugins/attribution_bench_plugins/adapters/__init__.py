"""Adapters: the models of other packages, a file each. No such package is a dependency, or imported before use."""
