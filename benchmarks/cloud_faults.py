"""500 requests to the in-suite Developer Cloud, a fifth of them with a fault: how the client comes through.

    python benchmarks/cloud_faults.py [--requests 500] [--rate 0.2] [--seed 1] [--threads 4]

Exit code 0: every benchmark completed or failed with an error of its own, none hung, nothing leaked, no token in a log.
The work is in tests/cloud_soak.py, which needs the server beside it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).resolve().parent.parent / "tests" / "cloud_soak.py"

if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, str(SOAK), *sys.argv[1:]]))
