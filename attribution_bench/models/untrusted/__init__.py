"""Readers of files that strangers wrote: what is in a file is checked against what may be, and copied.

Nothing here runs, imports or unpickles anything that a file names. Whatever is not known to be harmless raises
`Refused` with a short reason; the caller names the file.
"""
