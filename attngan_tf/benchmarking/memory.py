"""The memory of this process."""

import pathlib
import re


def peak_rss() -> int:
    """Peak memory of this process so far, in bytes.

    Linux's VmHWM is the peak of this program alone. The ru_maxrss of getrusage
    includes the peak of the process that started it, since exec passes it on.
    """
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])
