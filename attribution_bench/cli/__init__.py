"""The command line: a thin Typer app over plain functions, one file a command."""

from attribution_bench.cli.app import main

__all__ = ["main"]
