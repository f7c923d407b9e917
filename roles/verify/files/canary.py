"""Write numbered lines, evenly: canary RUN NUMBER TIME FILLING. Arguments: RUN, how many, how many a second."""

import sys
import time

run, lines, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
begun = time.monotonic()
for number in range(1, lines + 1):
    print(f"canary {run} {number} {time.time():.6f} {'.' * 64}", flush=True)  # noqa: T201  # it is what this is for
    time.sleep(max(0.0, begun + number / rate - time.monotonic()))
