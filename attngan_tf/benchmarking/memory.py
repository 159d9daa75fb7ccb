"""The memory of this process."""

import resource
import sys

STATUS = "/proc/self/status"  # Linux


def peak_rss() -> int:
    """Peak memory of this process so far, in bytes.

    Linux's VmHWM is the peak of this program alone. The ru_maxrss of getrusage
    includes the peak of the process that started it, since exec passes it on.
    """
    try:
        with open(STATUS, encoding="utf-8") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except FileNotFoundError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)
