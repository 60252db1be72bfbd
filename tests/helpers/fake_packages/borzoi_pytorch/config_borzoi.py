"""The options of the network."""

from dataclasses import dataclass


@dataclass
class BorzoiConfig:
    enable_mouse_head: bool = False
    bins_to_return: int = 6144
