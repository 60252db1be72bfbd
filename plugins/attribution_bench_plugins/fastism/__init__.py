"""fastISM: exact in-silico saturation mutagenesis that recomputes only what a mutation can reach.

After Nair, Shrikumar, Schreiber and Kundaje, "fastISM: performant in silico saturation mutagenesis for convolutional
neural networks", Bioinformatics 38 (2022) 2397. The observation is theirs; the engine convolves deltas, batches over
positions, and follows any graph that it can capture.
"""

from attribution_bench_plugins.fastism.method import FastISM

__all__ = ["FastISM"]
