"""Which part of a network is trained, and how fast: the only thing in which strategies differ.

========== ==================================== ==============================================
strategy   what is trained                      when
========== ==================================== ==============================================
probe      the head, on features computed once  few labels, or a target close to the source
partial    the head and the last blocks         some labels; general features stay unchanged
full       everything                           many labels, or a target far from the source
discrimin- everything, the lower the slower     as full, when full training forgets
ative
lora       small additions to linear layers     large transformers: little memory, small files
========== ==================================== ==============================================

References
----------
Howard, Ruder: Universal Language Model Fine-tuning (ULMFiT). ACL 2018 (arXiv:1801.06146):
discriminative rates. Hu et al.: LoRA. ICLR 2022 (arXiv:2106.09685). Kumar et al.: Fine-Tuning can
Distort Pretrained Features. ICLR 2022 (arXiv:2202.10054): why the full strategy may hurt.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from vidrec_utils.encoders.batch_norm import batch_norms
from vidrec_utils.transfer_learning.backbone import Backbone, Batch, units
from vidrec_utils.transfer_learning.training import Recipe

Rates = dict[str, float]


def probe(blocks: list[str], recipe: Recipe) -> Rates:
    """Train nothing below the head."""
    return {}


def partial(blocks: list[str], recipe: Recipe) -> Rates:
    """Train the last `recipe.blocks` blocks."""
    return dict.fromkeys(blocks[-recipe.blocks :], recipe.backbone_rate)


def full(blocks: list[str], recipe: Recipe) -> Rates:
    """Train all blocks at one rate."""
    return dict.fromkeys(blocks, recipe.backbone_rate)


def discriminative(blocks: list[str], recipe: Recipe) -> Rates:
    """Train all blocks, each slower than the one above it by the factor `recipe.decay`.

    Examples
    --------
    >>> from vidrec_utils.transfer_learning import Recipe
    >>> discriminative(["stem", "middle", "top"], Recipe(backbone_rate=0.8, decay=0.5))
    {'top': 0.8, 'middle': 0.4, 'stem': 0.2}
    """
    # eta_l = eta_top * decay^d for a block that lies d blocks below the top
    return {
        name: recipe.backbone_rate * recipe.decay**depth
        for depth, name in enumerate(reversed(blocks))
    }


STRATEGIES: dict[str, Callable[[list[str], Recipe], Rates]] = {
    "probe": probe,
    "partial": partial,
    "full": full,
    "discriminative": discriminative,
    "lora": probe,  # the blocks themselves are frozen
}


def choose(backbone: Backbone, batch: Batch, strategy: str, recipe: Recipe) -> list[dict]:
    """Freeze what the strategy does not train; return the rest as groups of one rate each.

    Parameters
    ----------
    backbone : Backbone
        Changed in place: `requires_grad` of its parameters; for LoRA, adapters are added.
    batch : tuple of tensor
        One prepared item, to see which blocks are used, and in which order.
    strategy : str
        One of `STRATEGIES`.
    recipe : Recipe
        Gives the learning rates.

    Returns
    -------
    list of dict
        `name`, `parameters` (a list of named parameters), `rate`.

    Examples
    --------
    >>> import numpy as np
    >>> from vidrec_utils import video_encoders
    >>> from vidrec_utils.transfer_learning import Backbone, Recipe
    >>> backbone = Backbone(video_encoders.load("slowfast_mini", device="cpu"))
    >>> batch = backbone.prepare([np.zeros((4, 32, 32, 3), np.uint8)])
    >>> groups = choose(backbone, batch, "partial", Recipe(blocks=2))
    >>> len(groups), len(choose(backbone, batch, "probe", Recipe()))
    (2, 0)
    """
    # Freeze everything
    blocks = units(backbone, batch)
    backbone.requires_grad_(False)

    # LoRA: the only trained parameters are those of the adapters
    if strategy == "lora":
        add_adapters(backbone, blocks, recipe)
        adapters = [(n, p) for n, p in backbone.named_parameters() if p.requires_grad]
        return [{"name": "adapters", "parameters": adapters, "rate": recipe.backbone_rate}]

    # The other strategies: unfreeze the blocks that have a learning rate
    groups = []
    names = {parameter: name for name, parameter in backbone.named_parameters()}
    for block, rate in STRATEGIES[strategy](list(blocks), recipe).items():
        own = [p for m in blocks[block] for p in m._parameters.values() if p is not None]
        for parameter in own:
            parameter.requires_grad = True
        named = [(names[parameter], parameter) for parameter in own]
        groups.append({"name": block, "parameters": named, "rate": rate})
    return groups


def add_adapters(backbone: Backbone, blocks: dict[str, list[nn.Module]], recipe: Recipe) -> None:
    """Add a product of two thin matrices to each linear layer, in place: `W x + (alpha / r) B A x`.

    `W` is (out, in), `A` (r, in) and `B` (out, r). `B` starts at zero, so that the outputs of the
    network are unchanged at first.

    Raises
    ------
    ValueError
        If the network has no linear layer below its head.
    """
    names = {module: name for name, module in backbone.net.named_modules()}
    linear = [names[m] for block in blocks.values() for m in block if isinstance(m, nn.Linear)]
    if not linear:
        raise ValueError(
            f"{backbone.encoder.name} has no linear layer below its head, which is where LoRA "
            "goes: it is made of convolutions. Choose 'partial' or 'discriminative'."
        )
    import peft

    config = peft.LoraConfig(
        r=recipe.rank, lora_alpha=2 * recipe.rank, target_modules=linear, lora_dropout=0.0
    )  # dropout is applied to the head's input alone
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        peft.inject_adapter_in_model(config, backbone.net)


def merge_adapters(net: nn.Module) -> None:
    """Add what adapters have learned to the layers themselves, and remove them, in place.

    Parameters
    ----------
    net : nn.Module
        A network with the adapters that the strategy "lora" added. Its outputs stay the same, up to
        rounding; its linear layers are plain ones again.

    Examples
    --------
    >>> import peft
    >>> net = nn.Sequential(nn.Linear(3, 2))
    >>> _ = peft.inject_adapter_in_model(peft.LoraConfig(r=1, target_modules=["0"]), net)
    >>> merge_adapters(net)
    >>> type(net[0]).__name__
    'Linear'
    """
    for name, child in list(net.named_children()):
        if hasattr(child, "lora_A"):
            child.merge()  # W <- W + (alpha / r) B A
            setattr(net, name, child.get_base_layer())
        else:
            merge_adapters(child)


def eval_modules(backbone: Backbone, batch_norm: str) -> list[nn.Module]:
    """Modules that stay in evaluation mode while the rest is trained.

    A frozen layer must neither drop out nor learn statistics: batch normalisation that is frozen
    but left in training mode would still shift with every batch, and all layers above it, too.
    """
    trained = {m for m in backbone.modules() if any(p.requires_grad for p in m.parameters())}
    if not trained:
        return [backbone]
    frozen = [
        m for m in backbone.modules() if m not in trained and any(True for _ in m.parameters())
    ]
    if batch_norm == "frozen":
        frozen += batch_norms(backbone)
    return frozen
