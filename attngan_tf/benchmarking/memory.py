"""What this process takes of the machine."""

import resource
import sys

STATUS = "/proc/self/status"  # Linux


def peak_rss() -> int:
    """The most memory this process has had so far, in bytes.

    getrusage's ru_maxrss starts at what the process that launched this one
    had, as exec keeps it; VmHWM is of this program alone.
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
