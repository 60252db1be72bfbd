"""Words for what is otherwise in one process of a job than where the job was started."""

import platform

SAME_CODE = (
    "have the same files and the same code everywhere; workers that imported code before it was changed keep it until "
    "they are started again"
)


def here() -> str:
    """Return where this process runs: that of a worker may be another machine than its client's."""
    return f"on the machine {platform.node()}" if platform.node() else "here"
