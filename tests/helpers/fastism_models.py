"""Small models that between them hold every rule of the engine, and some that have none."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from spellings import SPELLINGS


def _randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give batch norms statistics and parameters that change the result, so that skipping them is caught."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            for tensor, low, high in (
                (part.weight, -1.5, 1.5),
                (part.bias, -0.5, 0.5),
                (part.running_mean, -0.5, 0.5),
                (part.running_var, 0.5, 1.5),
            ):
                assert tensor is not None
                tensor.data.copy_(torch.empty_like(tensor).uniform_(low, high, generator=generator))
    return module


class Custom(nn.Module):
    """A forward function over named layers."""

    def __init__(self, forward: Callable[..., object], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self._forward = forward

    def forward(self, *inputs: torch.Tensor) -> object:
        return self._forward(self, *inputs)


def chain(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


def residual() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        x = m.stem(x).relu()
        for layer in (m.one, m.two, m.three):
            x = x + F.relu(layer(x))
        return {"profile": m.profile(x).flatten(1), "count": m.count(x.mean(-1))}

    layers = {n: nn.Conv1d(6, 6, 3, padding="same", dilation=2**i) for i, n in enumerate(("one", "two", "three"))}
    return Custom(
        forward,
        stem=nn.Conv1d(4, 6, 5, padding="same"),
        profile=nn.ConvTranspose1d(6, 1, 7, padding=3),
        count=nn.Linear(6, 1),
        **layers,
    )


def squeeze_excitation() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        x = F.gelu(m.stem(x))
        gate = torch.sigmoid(m.gate(x.mean(-1)))
        x = F.max_pool1d(x * gate.unsqueeze(-1), 2)
        return m.head(x.flatten(1))

    return Custom(forward, stem=nn.Conv1d(4, 5, 3, padding=1), gate=nn.Linear(5, 5), head=nn.Linear(5 * 15, 2))


def valid_with_crop() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        x = m.stem(x).relu()
        y = m.dilated(x).relu()
        x = x[:, :, 4:-4] + y
        return m.profile(x), m.count(x.mean(2))

    return Custom(
        forward,
        stem=nn.Conv1d(4, 5, 7),
        dilated=nn.Conv1d(5, 5, 3, dilation=4),
        profile=nn.Conv1d(5, 2, 3),
        count=nn.Linear(5, 1),
    )


def branches() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        wide, narrow = m.wide(x), m.narrow(x)
        both = torch.cat([wide.tanh(), narrow], 1)
        both = both * both - 0.5 * both / (1 + wide[:, :1].exp())
        return m.head(F.avg_pool1d(both, 3).flatten(1))

    return Custom(
        forward,
        wide=nn.Conv1d(4, 3, 9, padding="same"),
        narrow=nn.Conv1d(4, 2, 1),
        head=nn.Linear(5 * 10, 1),
    )


def position_wise() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        x = m.stem(x).transpose(1, 2)
        x = x + m.up(F.silu(m.down(m.norm(x))))
        return F.softmax(x, -1)

    return Custom(
        forward,
        stem=nn.Conv1d(4, 6, 3, padding="same"),
        norm=nn.LayerNorm(6),
        down=nn.Linear(6, 3),
        up=nn.Linear(3, 6),
    )


def recurrent_tail() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        x = F.max_pool1d(m.stem(x).relu(), 3)
        x, _ = m.lstm(x.transpose(1, 2))
        return m.head(x[:, -1])

    return Custom(
        forward,
        stem=nn.Conv1d(4, 5, 5, padding="same"),
        lstm=nn.LSTM(5, 4, batch_first=True, bidirectional=True),
        head=nn.Linear(8, 2),
    )


def attention_tail() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        x = F.max_pool1d(m.stem(x).relu(), 3).transpose(1, 2)
        x = x + m.attention(x, x, x)[0]
        return m.head(x.mean(1))

    return Custom(
        forward,
        stem=nn.Conv1d(4, 8, 5, padding="same"),
        attention=nn.MultiheadAttention(8, 2, batch_first=True),
        head=nn.Linear(8, 1),
    )


def controls_join() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor, control: torch.Tensor, cell: torch.Tensor) -> object:
        x = m.stem(x).relu()
        x = torch.cat([x, control], 1)
        x = m.mix(x).relu()
        return m.head(torch.cat([x.mean(2), cell], 1))

    return Custom(
        forward,
        stem=nn.Conv1d(4, 5, 5, padding="same"),
        mix=nn.Conv1d(7, 4, 3, padding="same"),
        head=nn.Linear(4 + 3, 2),
    )


def attention_pooling() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        x = F.gelu(m.stem(x)).unflatten(2, (15, 2))
        x = (x * m.logits(x).softmax(-1)).sum(-1)
        return m.head(x.transpose(1, 2))

    return Custom(
        forward,
        stem=nn.Conv1d(4, 6, 5, padding="same"),
        logits=nn.Conv2d(6, 6, 1, bias=False),
        head=nn.Linear(6, 2),
    )


def reverse_complement_average() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        forwards, backwards = m.body(x), m.body(x.flip(1, 2)).flip(2)
        return torch.stack([forwards, backwards], 1).mean(1)

    body = chain(nn.Conv1d(4, 5, 5), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(5, 2, 3, padding=1))
    return Custom(forward, body=body)


def image_like() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        return m.tower(x.unsqueeze(2)).squeeze(2), m.sideways(x.unsqueeze(1)).squeeze(2)

    tower = chain(nn.Conv2d(4, 6, (1, 5)), nn.ReLU(), nn.MaxPool2d((1, 2)), nn.Conv2d(6, 3, (3, 3), padding=(1, 1)))
    return Custom(forward, tower=tower, sideways=chain(nn.Conv2d(1, 5, (4, 3)), nn.ELU(), nn.AvgPool2d((1, 4), 3)))


def parts_and_choices() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        x = m.stem(x)
        value, gate, rest = x.split([2, 2, 2], 1)
        x = torch.cat([value * gate.sigmoid(), F.glu(rest, 1), x[:, [5, 0, 0]]], 1)
        first, second = x[:, :, :10], x[:, :, 10:]
        x = torch.cat([second.abs(), first, x[:, :, ::3]], 2)
        return m.head(x), x[:, :, 4], torch.stack(x.unbind(1)[:3], 2), x.max(1).values + x.amax(1)

    return Custom(forward, stem=nn.Conv1d(4, 6, 5, padding="same"), head=nn.Conv1d(6, 2, 3))


def masks_and_indices() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        tokens = m.embed(x.argmax(1)).transpose(1, 2)
        y = m.stem(tokens)
        y = torch.where(y > 0, y, 0.1 * y) * (y < 1)
        y = m.activation(y)
        return y.logsumexp(1), y.var(1), y.norm(dim=1, keepdim=True) + y.std(1, keepdim=True)

    return Custom(forward, embed=nn.Embedding(4, 3), stem=nn.Conv1d(3, 4, 3), activation=nn.PReLU(4, 0.3))


def joint_head() -> nn.Module:
    """Features side by side in several ways; flattened positions among them."""

    def forward(m: nn.Module, x: torch.Tensor, cell: torch.Tensor | None = None) -> object:
        wide, narrow = m.wide(x).relu(), F.max_pool1d(m.narrow(x), 2)
        inner = torch.cat([narrow.transpose(1, 2).flatten(1), wide.amax(2)], 1)
        joint = torch.cat([wide.flatten(1), *([] if cell is None else [cell]), m.drop(inner)], -1)
        hidden = m.hidden(F.elu(m.norm(joint * m.scale)))
        return m.head(m.hidden_norm(hidden).relu()), m.other(joint), m.after_norm(m.flat_norm(narrow.flatten(1)))

    torch.manual_seed(0)
    joint_size = 3 * 26 + 2 * 14 + 3
    module = Custom(
        forward,
        wide=nn.Conv1d(4, 3, 5),
        narrow=nn.Conv1d(4, 2, 3),
        drop=nn.Dropout(0.3),
        norm=nn.BatchNorm1d(joint_size + 2),
        hidden=nn.Linear(joint_size + 2, 5),
        hidden_norm=nn.BatchNorm1d(5),
        head=nn.Linear(5, 2),
        other=nn.Linear(joint_size + 2, 1, bias=False),
        flat_norm=nn.BatchNorm1d(28),
        after_norm=nn.Linear(28, 2),
    )
    module.register_buffer("scale", torch.linspace(0.5, 1.5, joint_size + 2))
    return _randomised(module)


def einstein_sums() -> nn.Module:
    def forward(m: nn.Module, x: torch.Tensor) -> object:
        x = m.stem(x).relu()
        last = x.transpose(1, 2)
        mixed = torch.einsum("ncl,dc->ndl", x, m.mix) + torch.einsum("dc,ncl->nld", m.mix, x).transpose(1, 2)
        profile = (
            torch.einsum("...c,dc->...d", last, m.mix).transpose(1, 2) * torch.einsum("ncl,c->nl", x, m.sum)[:, None]
        )
        return mixed, profile, torch.einsum("ncl,lcd->nd", x, m.flat) - torch.einsum("nlc,lcd->nd", last, m.flat).tanh()

    module = Custom(forward, stem=nn.Conv1d(4, 3, 5))
    for name, shape in (("mix", (6, 3)), ("sum", (3,)), ("flat", (26, 3, 2))):
        module.register_parameter(name, nn.Parameter(torch.randn(shape)))
    return module


def spelt(group: str) -> Callable[[], nn.Module]:
    """Return the maker of a model that writes operations in every way of a group, an output for each."""

    def forward(m: nn.Module, x: torch.Tensor) -> object:
        y = m.stem(x).tanh()
        return {name: spelling(y) for name, spelling in SPELLINGS[group].items()}

    return lambda: Custom(forward, stem=nn.Conv1d(4, 6, 5, padding=2))


def dense_head(channels: int, length: int) -> list[nn.Module]:
    return [nn.Flatten(), nn.Linear(channels * length, 7), nn.ReLU(), nn.BatchNorm1d(7), nn.Linear(7, 2)]


LENGTH = 30

MODELS: dict[str, Callable[[], nn.Module]] = {
    "conv, relu, norm, pool, dense": lambda: chain(
        nn.Conv1d(4, 6, 5, padding="same"), nn.ReLU(), nn.BatchNorm1d(6), nn.MaxPool1d(3), *dense_head(6, 10)
    ),
    "conv, norm, relu, two pools, odd length": lambda: chain(
        nn.Conv1d(4, 6, 4, padding="same"),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.MaxPool1d(4),
        nn.Conv1d(6, 5, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool1d(2),
        *dense_head(5, 3),
    ),
    "overlapping padded max pool": lambda: chain(
        nn.Conv1d(4, 3, 3, padding=1), nn.MaxPool1d(5, 2, padding=2), nn.Conv1d(3, 2, 3), nn.Tanh(), nn.Flatten()
    ),
    "dilated max pool": lambda: chain(nn.Conv1d(4, 3, 3), nn.MaxPool1d(3, 2, dilation=2), nn.Flatten()),
    "overlapping padded average pool": lambda: chain(
        nn.Conv1d(4, 3, 3), nn.ELU(), nn.AvgPool1d(4, 3, padding=2), nn.Sigmoid(), nn.Flatten()
    ),
    "average pool without padding in the count": lambda: chain(
        nn.Conv1d(4, 3, 3), nn.ReLU(), nn.AvgPool1d(4, 2, padding=2, count_include_pad=False), nn.Flatten()
    ),
    "ceil mode": lambda: chain(
        nn.Conv1d(4, 3, 3, padding=1), nn.MaxPool1d(4, ceil_mode=True), nn.AvgPool1d(3, ceil_mode=True), nn.Flatten()
    ),
    "strided convolutions": lambda: chain(
        nn.Conv1d(4, 6, 7, stride=2, padding=3), nn.ReLU(), nn.Conv1d(6, 4, 4, stride=3, padding=1), nn.Flatten()
    ),
    "groups": lambda: chain(
        nn.Conv1d(4, 6, 5, padding="same"),
        nn.ReLU(),
        nn.Conv1d(6, 6, 5, groups=6, padding="same"),
        nn.Conv1d(6, 4, 3, groups=2, dilation=2),
        nn.ReLU(),
        nn.ConvTranspose1d(4, 4, 3, groups=2),
        nn.Flatten(),
    ),
    "groups in the first layer": lambda: chain(nn.Conv1d(4, 8, 5, groups=2), nn.ReLU(), nn.Flatten()),
    "transposed with stride": lambda: chain(
        nn.Conv1d(4, 5, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose1d(5, 3, 5, stride=2, padding=2, output_padding=1, dilation=1),
        nn.ReLU(),
        nn.Conv1d(3, 1, 3),
        nn.Flatten(),
    ),
    "kernel wider than the sequence": lambda: chain(nn.Conv1d(4, 3, 71, padding=35), nn.ReLU(), nn.Flatten()),
    "padded and cropped unevenly": lambda: chain(
        nn.ConstantPad1d((3, 1), 0.7), nn.Conv1d(4, 3, 5), nn.ReLU(), nn.ConstantPad1d((-4, -9), 0.0), nn.Flatten()
    ),
    "pools and a stride that leave one position": lambda: Custom(
        lambda m, x: torch.cat(
            [F.max_pool1d(m.conv(x), 28), F.avg_pool1d(m.conv(x), 28), F.max_pool1d(m.conv(x), 25, 20), m.last(x)], 1
        ),
        conv=nn.Conv1d(4, 3, 3),
        last=nn.Conv1d(4, 2, 17, stride=20),
    ),
    "dense only": lambda: chain(nn.Flatten(), nn.Linear(4 * LENGTH, 3), nn.ReLU(), nn.Linear(3, 1)),
    "instance norm": lambda: chain(nn.Conv1d(4, 3, 3), nn.InstanceNorm1d(3), nn.ReLU(), nn.Flatten()),
    "dropout": lambda: chain(nn.Conv1d(4, 3, 3), nn.Dropout(0.5), nn.ReLU(), nn.Flatten(), nn.Linear(84, 1)),
    "sum over positions": lambda: Custom(lambda m, x: m.conv(x).exp().sum((2,)), conv=nn.Conv1d(4, 3, 3)),
    "largest position": lambda: Custom(lambda m, x: m.conv(x).amax(2), conv=nn.Conv1d(4, 3, 3)),
    "flip": lambda: Custom(
        lambda m, x: m.conv(x).mean(2) + m.conv(x.flip(1, 2)).mean(2), conv=chain(nn.Conv1d(4, 3, 3), nn.ReLU())
    ),
    "the input twice": lambda: Custom(lambda m, x: m.conv(x + x * x).flatten(1), conv=nn.Conv1d(4, 3, 3)),
    "dilated first layer": lambda: chain(nn.Conv1d(4, 3, 3, dilation=4), nn.ReLU(), nn.Flatten()),
    "adaptive pools": lambda: Custom(
        lambda m, x: (m.average(m.conv(x)), m.largest(m.conv(x)), m.one(m.conv(x)), m.top(m.conv(x))),
        conv=nn.Conv1d(4, 3, 3, padding=1),
        average=nn.AdaptiveAvgPool1d(6),
        largest=nn.AdaptiveMaxPool1d(5),
        one=nn.AdaptiveAvgPool1d(1),
        top=nn.AdaptiveMaxPool1d(1),
    ),
    "upsampling": lambda: chain(
        nn.Conv1d(4, 3, 3, padding=1),
        nn.MaxPool1d(3),
        nn.Upsample(scale_factor=3),
        nn.Conv1d(3, 2, 3),
        nn.ReLU(),
        nn.Flatten(),
    ),
    "norms of a position": lambda: Custom(
        lambda m, x: (
            m.root(m.conv(x).transpose(1, 2)) + m.conv(x).mean(1).unsqueeze(2) - m.conv(x).sum((1, 2))[:, None, None]
        ),
        conv=nn.Conv1d(4, 6, 3),
        root=nn.RMSNorm(6),
    ),
    "power average": lambda: chain(nn.Conv1d(4, 3, 3), nn.ReLU(), nn.LPPool1d(2, 4, 3), nn.Flatten()),
    "attention pooling": attention_pooling,
    "reverse complement": reverse_complement_average,
    "convolutions of images": image_like,
    "parts and choices": parts_and_choices,
    "masks and indices": masks_and_indices,
    "Einstein sums": einstein_sums,
    "residual, two heads": residual,
    "squeeze and excitation": squeeze_excitation,
    "valid with crop": valid_with_crop,
    "branches": branches,
    "position-wise": position_wise,
    "recurrent tail": recurrent_tail,
    "attention tail": attention_tail,
    **{f"spellings of {group}": spelt(group) for group in SPELLINGS},
}


WHOLE_SOMEWHERE = {"instance norm", "squeeze and excitation", "recurrent tail", "attention tail"}
"""Those with an operation that reads every position, so that it has to run in full."""
LOOSE = {f"spellings of {group}" for group in SPELLINGS}
"""Those with windows that are wider than what changes: steps, fills, and operators taken apart into phases."""


def build(name: str) -> nn.Module:
    """Return a model of the collection, seeded, in inference mode."""
    with torch.random.fork_rng():
        torch.manual_seed(sum(map(ord, name)))
        return _randomised(MODELS[name]()).eval()
