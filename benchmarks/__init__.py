"""Speed and accuracy tables, and the experiments behind every claim."""

if __name__ == "benchmarks":
    raise ImportError("this folder is a room of assay: write `from assay.benchmarks import ...`")
