"""What memory a worker takes, and what less of it costs: ``make scale-records``.

Writes reports/scale/memory.json: for models and memory limits, the most memory of a new process that opens the model
and scores a few sequences with fastISM, and the processor's seconds of a sequence. The limit is that of a worker, by
which fastISM chooses its memory budget; nothing ends the process beyond it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from attribution_bench.environment import MEMORY_LIMIT

RECORD = Path(__file__).parents[2] / "reports" / "scale" / "memory.json"
MODELS: dict[str, tuple[int, int, list[str | int]]] = {
    "basset": (1000, 64, ["output", 0]),
    "chrombpnet": (2114, 1, ["count", 0]),
}
"""Model -> letters of a sequence, sequences of a shard, and target."""
LIMITS = (2_000_000_000, 4_000_000_000, 8_000_000_000)
"""Bytes."""
SCORING = """
import json, sys, time
import numpy as np
import torch
torch.set_num_threads(1)
import attribution_bench as ab
from attribution_bench.jobs.shard_work import peak_memory_bytes
from attribution_bench.models.loading import model_source
name, length, count, target = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), tuple(json.loads(sys.argv[4]))
model = model_source(name).open(length=length, device="cpu")
method = ab.get_method("fastism")(model)
opened = peak_memory_bytes()
letters = np.random.default_rng(0).integers(0, 4, (count, length))
x = np.ascontiguousarray(np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1))
start = time.process_time()
method.attribute(x, target=target).scores
seconds = (time.process_time() - start) / count
print(json.dumps({"opened bytes": opened, "peak bytes": peak_memory_bytes(), "core-seconds a sequence": seconds}))
"""


def measured(name: str, limit: int) -> dict[str, Any]:
    """Return what a process of a memory limit takes, in bytes and seconds."""
    length, count, target = MODELS[name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", MEMORY_LIMIT: str(limit)}
    command = [sys.executable, "-c", SCORING, name, str(length), str(count), json.dumps(target)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"model": name, "letters": length, "sequences": count, "limit": limit, **found}


def main() -> None:
    record = [measured(name, limit) for name in MODELS for limit in LIMITS]
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
