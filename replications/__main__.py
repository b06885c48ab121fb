"""``python -m replications …``: the command line over the registry of papers."""

from __future__ import annotations

from replications import PAPERS
from shared.cli import main

if __name__ == "__main__":
    main(PAPERS, reference="goyal")
