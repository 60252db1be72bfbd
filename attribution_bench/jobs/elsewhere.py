"""Words for what is otherwise in one process of a job than where the job was started."""

import platform

KEPT_CODE = "workers that imported code before it was changed keep it until they are started again"
SAME_CODE = f"have the same files and the same code everywhere; {KEPT_CODE}"


def here() -> str:
    """Return where this process runs: that of a worker may be another machine than its client's."""
    return f"on the machine {platform.node()}" if platform.node() else "here"
