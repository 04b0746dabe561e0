"""A Keras network as a plain PyTorch module: the same graph, the same weights, nothing of Keras.

Inputs are images (n, h, w, c), as Keras has them; maps are (n, c, h, w) inside, channels last in
memory. torch is imported inside functions, Keras not at all.
"""

import functools
from typing import Any

from experiments.bench._calls import calls
from experiments.bench._torch_layers import MAKERS


def convert(model: Any) -> Any:
    """Return a `torch.nn.Module` that computes what a functional model does.

    Raises ValueError that names an operation which is not known here.
    """
    import torch

    given = model.inputs[0]
    places = {id(given): 0}
    modules, steps = torch.nn.ModuleList(), []
    for call in calls(model):
        name = type(call.operation).__name__
        if name not in MAKERS:
            raise ValueError(
                f"{model.name}: {name} {call.operation.name} has no translation to PyTorch: add it "
                "to experiments/bench/_torch_layers.py"
            )
        made = MAKERS[name](call)
        is_module = isinstance(made, torch.nn.Module)
        modules.append(made if is_module else torch.nn.Identity())
        sources = [places[id(x)] for x in call.inputs]
        places[id(call.node.outputs[0])] = len(steps) + 1
        steps.append((None if is_module else made, sources))
    return _network()(modules, steps, places[id(model.outputs[0])])


@functools.cache
def _network() -> type:
    import torch

    class Network(torch.nn.Module):
        """Runs steps in their order; a value is forgotten after its last use."""

        def __init__(self, modules, steps: list, last: int):
            super().__init__()
            self.parts, self.steps, self.last = modules, steps, last
            uses = {place: i for i, (_, sources) in enumerate(steps) for place in sources}
            self.forget = [[p for p, last in uses.items() if last == i] for i in range(len(steps))]

        def forward(self, images):
            values = {0: images.permute(0, 3, 1, 2)}
            for i, (function, sources) in enumerate(self.steps):
                step = self.parts[i] if function is None else function
                values[i + 1] = step(*[values[place] for place in sources])
                for place in self.forget[i]:
                    del values[place]
            return values[self.last]

    return Network
