"""The comparison is a script that imports other programs; pytest does not collect it."""

collect_ignore = ["compare.py"]
