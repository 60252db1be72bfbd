"""Execution: blocks of mutations walk over the plan."""
