"""Which part of a network is trained, and how fast: the only thing in which strategies differ.

========== ==================================== ==============================================
strategy   what is trained                      when
========== ==================================== ==============================================
probe      the head, on features computed once  few labels, or a target close to the source
partial    the head and the last blocks         some labels; what is general stays as it is
full       everything                           many labels, or a target far from the source
discrimin- everything, the lower the slower     as full, when full forgets
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
from typing import TYPE_CHECKING

import torch
from torch import nn

from vidrec_utils.transfer_learning.bodies import Batch, Body, is_batch_norm, units

if TYPE_CHECKING:
    from vidrec_utils.transfer_learning.training import Recipe

Rates = dict[str, float]


def probe(names: list[str], recipe: Recipe) -> Rates:
    """Nothing below the head."""
    return {}


def partial(names: list[str], recipe: Recipe) -> Rates:
    """The last `recipe.blocks` blocks."""
    return dict.fromkeys(names[-recipe.blocks :], recipe.body_rate)


def full(names: list[str], recipe: Recipe) -> Rates:
    """Everything, at one rate."""
    return dict.fromkeys(names, recipe.body_rate)


def discriminative(names: list[str], recipe: Recipe) -> Rates:
    """Everything; each block slower than the one above by the factor `recipe.decay`."""
    return {
        name: recipe.body_rate * recipe.decay**depth for depth, name in enumerate(reversed(names))
    }


STRATEGIES: dict[str, Callable[[list[str], Recipe], Rates]] = {
    "probe": probe,
    "partial": partial,
    "full": full,
    "discriminative": discriminative,
    "lora": probe,  # the blocks themselves stay as they are
}


def choose(body: Body, batch: Batch, strategy: str, recipe: Recipe) -> list[dict]:
    """Freeze what the strategy does not train; return the rest as groups of one rate each.

    Parameters
    ----------
    body : Body
        Changed in place: `requires_grad` of its parameters; for LoRA, adapters are put in.
    batch : tuple of tensor
        One prepared item, to see which blocks are used in which order.
    strategy : str
        One of `STRATEGIES`.
    recipe : Recipe
        Rates.

    Returns
    -------
    list of dict
        `name, parameters` (list of named parameters)`, rate`.
    """
    found = units(body, batch)
    body.requires_grad_(False)
    rates = STRATEGIES[strategy](list(found), recipe)
    for name in rates:
        for module in found[name]:
            for parameter in module._parameters.values():
                if parameter is not None:
                    parameter.requires_grad = True
    if strategy == "lora":
        add_adapters(body, found, recipe)
        adapters = [(n, p) for n, p in body.named_parameters() if p.requires_grad]
        return [{"name": "adapters", "parameters": adapters, "rate": recipe.body_rate}]
    named = {parameter: name for name, parameter in body.named_parameters()}
    return [
        {
            "name": name,
            "parameters": [
                (named[p], p) for m in found[name] for p in m._parameters.values() if p is not None
            ],
            "rate": rate,
        }
        for name, rate in rates.items()
    ]


def add_adapters(body: Body, found: dict[str, list[nn.Module]], recipe: Recipe) -> None:
    """Put a low-rank addition beside each linear layer, in place: `W x + (alpha / r) B A x`.

    `B` starts at zero, so that the network's answers are the same at first.

    Raises
    ------
    ValueError
        If the network has no linear layer below its head.
    """
    names = {module: name for name, module in body.net.named_modules()}
    linear = [names[m] for part in found.values() for m in part if isinstance(m, nn.Linear)]
    if not linear:
        raise ValueError(
            f"{body.encoder[0].name} has no linear layer below its head, which is where LoRA goes: "
            "it is made of convolutions. Choose 'partial' or 'discriminative'."
        )
    import peft

    config = peft.LoraConfig(
        r=recipe.rank, lora_alpha=2 * recipe.rank, target_modules=linear, lora_dropout=0.0
    )  # what is dropped is the head's input alone
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        peft.inject_adapter_in_model(config, body.net)


def merge_adapters(net: nn.Module) -> None:
    """Add what adapters have learned to the layers themselves, in place, and take them out."""
    for name, child in list(net.named_children()):
        if hasattr(child, "lora_A"):
            child.merge()
            setattr(net, name, child.get_base_layer())
        else:
            merge_adapters(child)


def resting(body: Body, batch_norm: str) -> list[nn.Module]:
    """Modules that stay in evaluation mode while the rest is trained.

    A frozen layer must not drop out nor learn statistics: batch normalisation that is frozen but
    left in training mode would still shift with every batch, and with it all that is built on it.
    """
    trained = {m for m in body.modules() if any(p.requires_grad for p in m.parameters())}
    still = [m for m in body.modules() if m not in trained and any(True for _ in m.parameters())]
    if not trained:
        return [body]
    if batch_norm == "frozen":
        still += [m for m in body.modules() if is_batch_norm(m)]
    return still
