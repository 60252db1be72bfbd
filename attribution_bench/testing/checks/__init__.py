"""The checks themselves, plain functions of a Subject, by what they look at. Each docstring states the contract."""
