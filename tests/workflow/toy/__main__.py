from __future__ import annotations

from shared.cli import main
from toy import PAPERS

if __name__ == "__main__":
    main(PAPERS, module="toy", trainer="toy.trainer")
