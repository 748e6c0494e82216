"""A report that one can file: what lies in a run folder, as one page and as JSON. Nothing is computed, only read."""
