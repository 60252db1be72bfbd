"""Execution: the steps of a plan run for blocks of mutations."""
