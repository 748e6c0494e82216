"""Searches for failures, one a file, behind one signature (``search.py``)."""
