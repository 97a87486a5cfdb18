#!/usr/bin/env python3
"""The published bilevel step of L2W-DEN (Han et al., ECCV 2022) on an MSDNet, in ordinary PyTorch: the outside yardstick for speed.

One part of a batch, with training half `x [N]` and meta half `x' [M]`, goes the way of the published code:

 1. copy the network; forward x through the copy; cross-entropies l [N, K]; weights w = 1 + epsilon * centred WPN output
 2. G = gradient of sum_k mean_i w_ik l_ik, with a graph of its own (create_graph); a virtual SGD step along it, into the copy
 3. forward x' through the copy; each exit takes the meta samples it is surest of, by quota; meta loss over these
 4. backward from the meta loss through everything, down to the WPN; Adam's step on the WPN
 5. forward x again, through the network itself; weights by the new WPN; backward; SGD's step

A batch is two parts: each half is the other's meta data. N, M: samples; K: exits; C: classes.

    pytorch_step.py --repeat 10                  times one part: median, least and most seconds
    pytorch_step.py --repeat 10 --plain --json   and a plain training step, alternating; as JSON
    pytorch_step.py --serve                      times one step for each line read, to alternate with another program
    pytorch_step.py --verify FILE...             holds the step against golden numbers, meta_step_*.pt
"""
from __future__ import annotations

import argparse
import copy
import json
import math
import re
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, NoReturn

try:
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn
except ImportError as error:
    print(f"pytorch_step.py: {error}: PyTorch is missing, `apt-get install python3-torch` installs Debian's", file=sys.stderr)
    sys.exit(2)

TOLERANCE = 1e-8  # relative, in float64
Half = tuple[Tensor, Tensor]  # images [N, 3, 32, 32], labels [N]


@dataclass(frozen=True)
class Shape:
    """The shape of an MSDNet for 32x32 images."""

    blocks: int = 5
    classes: int = 100
    base: int = 1  # layers of the first block
    step: int = 1
    step_mode: str = "linGrow"  # block k + 1 has step * k + 1 layers; even: step
    channels: int = 16
    growth: int = 6
    growth_factors: tuple[int, ...] = (1, 2, 4)  # one a scale, the finest first
    bottleneck_factors: tuple[int, ...] = (1, 2, 4)
    prune: str = "max"  # the finest scale goes after each third of the layers; min: only when too few layers are left
    reduction: float = 0.5  # channels that a transition keeps


@dataclass(frozen=True)
class Training:
    """How the backbone and the weight-prediction network (WPN) learn."""

    rate: float = 0.8
    momentum: float = 0.9
    weight_decay: float = 1e-4
    nesterov: bool = False
    meta_rate: float = 1e-4
    meta_weight_decay: float = 1e-4
    epsilon: float = 0.8
    centring: str = "col"  # over the exits of a sample; row: over the samples at an exit; mat: over both
    features: str = "loss"  # conf, both
    q: float = 0.75  # exit k gets a share of meta samples proportional to q^k
    hidden: int = 500
    layers: int = 1


# --- Networks, with the names of the published state dictionaries ---


class Chain(nn.Module):
    """Units of convolution, batch norm and ReLU, each given as (inputs, outputs, kernel, stride)."""

    def __init__(self, *units: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.net = nn.Sequential()
        for inputs, outputs, kernel, stride in units:
            self.net.append(nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False))
            self.net.append(nn.BatchNorm2d(outputs))
            self.net.append(nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def bottleneck(inputs: int, outputs: int, width: int, stride: int) -> Chain:
    inner = min(inputs, width * outputs)
    return Chain((inputs, inner, 1, 1), (inner, outputs, 3, stride))


class FirstLayer(nn.Module):
    """From the image to every scale, each coarser one by a stride of 2 from the one before."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        widths = [3] + [shape.channels * factor for factor in shape.growth_factors]
        self.layers = nn.ModuleList(Chain((widths[s], widths[s + 1], 3, 1 if s == 0 else 2)) for s in range(len(widths) - 1))

    def forward(self, scales: list[Tensor]) -> list[Tensor]:
        features = [scales[0]]
        for layer in self.layers:
            features.append(layer(features[-1]))
        return features[1:]


class Join(nn.Module):
    """One scale of a layer: its features so far, new ones from the next finer scale where there is one, and new ones from itself."""

    def __init__(self, shape: Shape, channels: int, scale: int, with_finer: bool) -> None:
        super().__init__()
        added = shape.growth * shape.growth_factors[scale]
        if with_finer:
            added //= 2
            self.conv_down = bottleneck(channels * shape.growth_factors[scale - 1], added, shape.bottleneck_factors[scale - 1], stride=2)
        self.conv_normal = bottleneck(channels * shape.growth_factors[scale], added, shape.bottleneck_factors[scale], stride=1)
        self.with_finer = with_finer

    def forward(self, own: Tensor, finer: Tensor | None) -> Tensor:
        down = [self.conv_down(finer)] if self.with_finer else []
        return torch.cat([own, *down, self.conv_normal(own)], dim=1)


class Layer(nn.Module):
    """A layer over the coarsest scales: as many at its output as at its input, or without the finest."""

    def __init__(self, shape: Shape, channels: int, scales_in: int, scales_out: int) -> None:
        super().__init__()
        self.dropped = scales_in - scales_out
        first = len(shape.growth_factors) - scales_out
        self.layers = nn.ModuleList(Join(shape, channels, first + j, j + self.dropped > 0) for j in range(scales_out))

    def forward(self, scales: list[Tensor]) -> list[Tensor]:
        own = scales[self.dropped:]
        finer = scales[:-1] if self.dropped else [None, *scales[:-1]]
        return [join(x, below) for join, x, below in zip(self.layers, own, finer)]


class Transition(nn.Module):
    """A 1x1 unit at each scale that reduces its channels."""

    def __init__(self, shape: Shape, channels: int, reduced: int, scales: int) -> None:
        super().__init__()
        self.m = nn.ModuleList(Chain((channels * f, reduced * f, 1, 1)) for f in shape.growth_factors[-scales:])

    def forward(self, scales: list[Tensor]) -> list[Tensor]:
        return [chain(x) for chain, x in zip(self.m, scales)]


class Exit(nn.Module):
    """From the coarsest scale, [N, channels, 8, 8], to logits [N, C]."""

    def __init__(self, channels: int, classes: int, width: int = 128) -> None:
        super().__init__()
        self.m = nn.Sequential(Chain((channels, width, 3, 2)), Chain((width, width, 3, 2)), nn.AvgPool2d(2))
        self.linear = nn.Linear(width, classes)

    def forward(self, scales: list[Tensor]) -> Tensor:
        return self.linear(self.m(scales[-1]).flatten(1))


class MSDNet(nn.Module):
    """MSDNet (Huang et al., ICLR 2018) for 32x32 images: K logits [N, C] from images [N, 3, 32, 32]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        self.classifier = nn.ModuleList()
        depths = [shape.base] + [shape.step if shape.step_mode == "even" else shape.step * k + 1 for k in range(1, shape.blocks)]
        channels, number, total = shape.channels, 0, sum(depths)
        for k, depth in enumerate(depths):
            block = nn.Sequential(*([FirstLayer(shape)] if k == 0 else []))
            for number in range(number + 1, number + depth + 1):
                scales_in, scales_out = scales_around(shape, number, total)
                block.append(Layer(shape, channels, scales_in, scales_out))
                channels += shape.growth
                thirds = scales_in > scales_out if shape.prune == "max" else number in (total // 3, 2 * total // 3)
                if thirds and shape.reduction > 0:
                    reduced = math.floor(shape.reduction * channels)
                    block.append(Transition(shape, channels, reduced, scales_out))
                    channels = reduced
            self.blocks.append(block)
            self.classifier.append(Exit(channels * shape.growth_factors[-1], shape.classes))

    def forward(self, images: Tensor) -> list[Tensor]:
        scales, logits = [images], []
        for block, classifier in zip(self.blocks, self.classifier):
            scales = block(scales)
            logits.append(classifier(scales))
        return logits


def scales_around(shape: Shape, number: int, total: int) -> tuple[int, int]:
    """Scales in front of and behind layer `number`, 1 to `total`."""
    scales = len(shape.growth_factors)
    if shape.prune == "min":
        return min(scales, total - number + 2), min(scales, total - number + 1)
    interval = math.ceil(total / scales)
    return scales - max(0, number - 2) // interval, scales - (number - 1) // interval


class Hidden(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.fc(x))


class WPN(nn.Module):
    """The weight-prediction network: an MLP from [N, features] to [N, K] in (-1, 1)."""

    def __init__(self, features: int, exits: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.first_hidden_layer = Hidden(features, hidden)
        self.rest_hidden_layers = nn.Sequential(*(Hidden(hidden, hidden) for _ in range(layers - 1)))
        self.output_layer = nn.Linear(hidden, exits)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.output_layer(self.rest_hidden_layers(self.first_hidden_layer(x))))


# --- The step ---


class VirtualNetwork:
    """A copy of a network with plain tensors for parameters, which may have a history."""

    def __init__(self, net: nn.Module) -> None:
        self._original = net
        self._copy = copy.deepcopy(net)
        self._slots = [(module, name) for module in self._copy.modules() for name, _ in module.named_parameters(recurse=False)]
        for module, name in self._slots:
            delattr(module, name)

    def start(self) -> list[Tensor]:
        """Copies the network's state; returns the copied parameters, which are leaves."""
        for own, source in zip(self._copy.buffers(), self._original.buffers(), strict=True):
            own.copy_(source)
        parameters = [p.detach().clone().requires_grad_() for p in self._original.parameters()]
        self.put(parameters)
        return parameters

    def put(self, parameters: list[Tensor]) -> None:
        """Puts other tensors in the parameters' places."""
        for (module, name), tensor in zip(self._slots, parameters, strict=True):
            setattr(module, name, tensor)

    def __call__(self, images: Tensor) -> list[Tensor]:
        return self._copy(images)


class PublishedStep:
    """Backbone, WPN, their optimisers, and the two updates of one part."""

    def __init__(self, shape: Shape, t: Training, backward: str = "all", dtype: torch.dtype = torch.float32) -> None:
        self.training = t
        self.backward = backward
        self.net = MSDNet(shape).to(dtype)
        self.virtual = VirtualNetwork(self.net)
        self.wpn = WPN((2 if t.features == "both" else 1) * shape.blocks, shape.blocks, t.hidden, t.layers).to(dtype)
        self.shares = exit_shares(t.q, shape.blocks)
        self.optimiser = torch.optim.SGD(self.net.parameters(), t.rate, t.momentum, weight_decay=t.weight_decay, nesterov=t.nesterov)
        self.meta_optimiser = torch.optim.Adam(self.wpn.parameters(), t.meta_rate, weight_decay=t.meta_weight_decay)

    def set_rates(self, rate: float, meta_rate: float) -> None:
        self.optimiser.param_groups[0]["lr"] = rate
        self.meta_optimiser.param_groups[0]["lr"] = meta_rate

    def part(self, train: Half, meta: Half) -> dict[str, Any]:
        """One part. Returns what it saw, by the golden files' names."""
        return {**self._update_wpn(train, meta), **self._update_backbone(train)}

    def plain(self, train: Half) -> Tensor:
        """A plain training step: every weight is 1, and nothing learns weights. Returns the loss."""
        images, labels = train
        loss = sum(F.cross_entropy(z, labels) for z in self.net(images))
        self._descend(loss)
        return loss.detach()

    def _update_wpn(self, train: Half, meta: Half) -> dict[str, Any]:
        parameters = self.virtual.start()
        logits = self.virtual(train[0])
        losses = cross_entropies(logits, train[1])  # [N, K]
        features = self._features(logits, losses)
        output = self.wpn(features)
        weight = self._weights(output)
        loss = (weight * losses).mean(0).sum()
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        lookahead = self._virtual_sgd(gradients)
        self.virtual.put(lookahead)

        meta_logits = self.virtual(meta[0])
        selected = allocate(confidences(meta_logits), self.shares)
        meta_loss = sum(F.cross_entropy(z[chosen], meta[1][chosen]) for z, chosen in zip(meta_logits, selected) if len(chosen))
        self._meta_backward(meta_loss)
        self.meta_optimiser.step()
        lookahead = [p.detach() for p in lookahead]
        self.virtual.put(lookahead)  # lets go of the graph
        return {
            "wpn_input": features, "wpn_output_pseudo": output.detach(), "pseudo_losses": losses.detach(),
            "pseudo_weight": weight.detach(), "pseudo_loss": loss.detach(), "pseudo_grad": [g.detach() for g in gradients],
            "virtual": lookahead, "meta_logits": [z.detach() for z in meta_logits],
            "selected": selected, "meta_loss": meta_loss.detach(),
        }

    def _update_backbone(self, train: Half) -> dict[str, Any]:
        logits = self.net(train[0])
        losses = cross_entropies(logits, train[1])  # [N, K]
        with torch.no_grad():
            output = self.wpn(self._features(logits, losses))
            weight = self._weights(output)
        per_exit = (weight * losses).mean(0)  # [K]
        loss = per_exit.sum()
        self._descend(loss)
        return {
            "wpn_output_real": output, "weight": weight, "losses": losses.detach(),
            "real_loss_per_exit": per_exit.detach(), "real_loss": loss.detach(),
        }

    def _descend(self, loss: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()

    def _meta_backward(self, meta_loss: Tensor) -> None:
        if self.backward == "all":
            self.meta_optimiser.zero_grad(set_to_none=True)
            meta_loss.backward()
            return
        parameters = list(self.wpn.parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(meta_loss, parameters)):
            parameter.grad = gradient

    def _features(self, logits: list[Tensor], losses: Tensor) -> Tensor:
        """[N, K], or [N, 2K] for both; without history."""
        if self.training.features == "loss":
            return losses.detach()
        confidence = confidences(logits)
        return confidence if self.training.features == "conf" else torch.cat([losses.detach(), confidence], dim=1)

    def _weights(self, output: Tensor) -> Tensor:
        """w [N, K] = 1 + epsilon * centred output."""
        dims = {"row": 0, "col": 1, "mat": (0, 1)}[self.training.centring]
        return 1 + self.training.epsilon * (output - output.mean(dims, keepdim=True))

    def _virtual_sgd(self, gradients: Iterable[Tensor]) -> list[Tensor]:
        """What the optimiser's step would make of the parameters, with the gradients' history; neither they nor their momentum change."""
        group = self.optimiser.param_groups[0]
        ahead = []
        for parameter, gradient in zip(group["params"], gradients):
            start = parameter.detach()
            step = gradient.add(start, alpha=group["weight_decay"])
            if group["momentum"]:
                buffer = self.optimiser.state[parameter].get("momentum_buffer")
                velocity = step if buffer is None else step.add(buffer, alpha=group["momentum"])
                step = step.add(velocity, alpha=group["momentum"]) if group["nesterov"] else velocity
            ahead.append(start.sub(step, alpha=group["lr"]))
        return ahead


def cross_entropies(logits: list[Tensor], labels: Tensor) -> Tensor:
    """[N, K]."""
    return torch.stack([F.cross_entropy(z, labels, reduction="none") for z in logits], dim=1)


@torch.no_grad()
def confidences(logits: list[Tensor]) -> Tensor:
    """The largest softmax probability of each sample at each exit, [N, K]."""
    return torch.stack([z.softmax(dim=1).amax(dim=1) for z in logits], dim=1)


def exit_shares(q: float, exits: int) -> Tensor:
    """[K], proportional to q^k, k = 1 ... K, in float32 as published."""
    powers = torch.exp(torch.log(torch.tensor([q], dtype=torch.float32)) * torch.arange(1, exits + 1))
    return powers / powers.sum()


def allocate(confidence: Tensor, shares: Tensor) -> list[Tensor]:
    """For each exit its meta samples, the surest first: floor(M * share) of those left, and for the last exit all that remain."""
    samples, exits = confidence.shape
    quotas = torch.floor(shares * samples).int().tolist()  # a product in float32, as published
    quotas[-1] = samples
    free = torch.ones(samples, dtype=torch.bool)
    selected = []
    for k in range(exits):
        order = confidence[:, k].sort(descending=True, stable=True).indices
        selected.append(order[free[order]][:quotas[k]])
        free[selected[k]] = False
    return selected


# --- Verification ---


class UsageError(Exception):
    """What the caller gave cannot be used; the message is one line for them."""


def verify(path: Path) -> bool:
    """Replays a golden file in float64, and prints how far each of its results is from what was computed."""
    golden = load_golden(path)
    try:
        step = PublishedStep(*settings_of(golden, path), dtype=torch.float64)
        step.net.load_state_dict(under(golden, "state/"))
        step.wpn.load_state_dict(under(golden, "wpn_state/"))
    except (KeyError, RuntimeError) as error:
        raise UsageError(f"{path}: config/, state/ and wpn_state/ lack something or do not fit: {first_line(error)}") from error
    computed: dict[str, Any] = {"target_probs": step.shares}
    for t in range(int(golden["config/nbatch"])):
        step.set_rates(float(golden[f"it{t}/lr"]), float(golden[f"it{t}/meta_lr"]))
        halves = list(zip(golden[f"it{t}/x"].contiguous().chunk(2), golden[f"it{t}/y"].contiguous().chunk(2)))
        for h in range(2):
            seen = after_part(step, step.part(halves[h], halves[1 - h]))
            computed.update({f"it{t}/half{h}/{key}": value for key, value in seen.items()})
    computed.update(at_end(step))

    errors = {}
    for key in golden:
        # Results are GROUP, GROUP/NAME, GROUP_sample/NAME or GROUP_stat/NAME.
        match = re.fullmatch(r"((?:it\d+/half\d/|final_|target_)\w+?)(?:_sample|_stat)?(?:/(.+))?", key)
        if match:
            value = computed.get(match[1])
            errors[key] = relative_error(key, value.get(match[2]) if isinstance(value, dict) else value, golden[key])
    return report(path.name, errors)


def load_golden(path: Path) -> dict[str, Tensor]:
    try:
        golden = torch.load(path)
    except Exception as error:  # torch reports an unreadable file in many ways
        raise UsageError(f"{path}: no golden file: {first_line(error)}") from error
    if not isinstance(golden, dict) or "config/nbatch" not in golden:
        raise UsageError(f"{path}: no golden file of a meta step (meta_step_*.pt)")
    return golden


def first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n")[:2]).strip()


def settings_of(golden: dict[str, Tensor], path: Path) -> tuple[Shape, Training]:
    c = {name: value.tolist() for name, value in under(golden, "config/").items()}
    if (c["data"], c["nScales"], c["bottleneck"], c["meta_interval"]) not in ((0, 3, 1, 1), (1, 3, 1, 1)):
        raise UsageError(f"{path}: only CIFAR's MSDNet with 3 scales, bottlenecks and meta_interval 1 can be replayed")
    shape = Shape(
        c["nBlocks"], c["num_classes"], c["base"], c["step"], ("even", "linGrow")[c["stepmode"]], c["nChannels"], c["growthRate"],
        tuple(c["grFactor"]), tuple(c["bnFactor"]), ("max", "min")[c["prune"]], c["reduction"])
    training = Training(
        c["lr"], c["momentum"], c["weight_decay"], bool(c["nesterov"]), c["meta_lr"], c["meta_weight_decay"], c["epsilon"],
        ("row", "col", "mat")[c["constraint_dimension"]], ("loss", "conf", "both")[c["meta_net_input_type"]], c["q"] / 20,
        c["wpn_hidden"], c["wpn_layers"])
    return shape, training


def under(golden: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix):]: value for key, value in golden.items() if key.startswith(prefix)}


def after_part(step: PublishedStep, seen: dict[str, Any]) -> dict[str, Any]:
    """What a part saw and the state behind it, as golden files have them: one tensor a key, or one for each name."""
    names = [name for name, _ in step.net.named_parameters()]
    weights, gradients = [p.detach().clone() for p in step.net.parameters()], [p.grad for p in step.net.parameters()]
    samples = len(seen["meta_logits"][0])
    norms = {
        "pseudo_grad_norm": seen["pseudo_grad"], "virtual_norm": seen["virtual"], "backbone_grad_norm": gradients,
        "backbone_param_norm": weights, "momentum_norm": momentum(step).values(),
        "running_mean_norm": [b for name, b in step.net.named_buffers() if name.endswith("running_mean")],
        "running_var_norm": [b for name, b in step.net.named_buffers() if name.endswith("running_var")]}
    return {
        **seen, **{key: torch.stack([t.norm() for t in tensors]).norm() for key, tensors in norms.items()},
        "selected": torch.stack([F.pad(chosen, (0, samples - len(chosen)), value=-1) for chosen in seen["selected"]]),
        "meta_logits": {str(k): z for k, z in enumerate(seen["meta_logits"])},
        "virtual": dict(zip(names, seen["virtual"])),
        "wpn_grad": {name: p.grad for name, p in step.wpn.named_parameters()},
        "wpn_after": {name: p.detach().clone() for name, p in step.wpn.named_parameters()},
        "backbone_grad": dict(zip(names, gradients)), "backbone_after": dict(zip(names, weights))}


def at_end(step: PublishedStep) -> dict[str, Any]:
    adam = {name: step.meta_optimiser.state[p] for name, p in step.wpn.named_parameters()}
    return {
        "final_backbone": step.net.state_dict(), "final_momentum": momentum(step), "final_wpn": step.wpn.state_dict(),
        "final_adam_m": {name: state["exp_avg"] for name, state in adam.items()},
        "final_adam_v": {name: state["exp_avg_sq"] for name, state in adam.items()},
        "final_adam_step": torch.as_tensor(next(iter(adam.values()))["step"])}


def momentum(step: PublishedStep) -> dict[str, Tensor]:
    return {name: step.optimiser.state[p]["momentum_buffer"] for name, p in step.net.named_parameters()}


def relative_error(key: str, actual: Any, expected: Tensor) -> float:
    """Largest difference relative to the largest expected value; infinite where nothing comparable was computed."""
    if not isinstance(actual, Tensor):
        return math.inf
    actual, expected = actual.double(), expected.double()
    if "_sample/" in key:
        actual = actual.flatten()[::actual.numel() // len(expected)][:len(expected)]
    elif "_stat/" in key:
        t = actual.flatten()
        actual = torch.stack([t.sum(), t.square().sum(), t.abs().sum(), (t * torch.arange(len(t), dtype=t.dtype).cos()).sum()])
        # Sums of mixed signs cancel: they are held against the sum of absolute values.
        scale = torch.stack([expected[2], expected[1], expected[2], expected[2]]).clamp_min(1e-300)
        actual, expected = actual / scale, expected / scale
    if actual.shape != expected.shape:
        return math.inf
    error = float((actual - expected).abs().max() / expected.abs().max().clamp_min(1e-300))
    return math.inf if math.isnan(error) else error


def report(name: str, errors: dict[str, float]) -> bool:
    failed = [key for key, error in errors.items() if error > TOLERANCE]
    worst = max(errors, key=errors.__getitem__)
    verdict = "ok" if not failed else f"FAILED: {len(failed)} differ by more than {TOLERANCE:g}"
    print(f"{name}: {len(errors)} quantities, largest relative error {errors[worst]:.2g} ({worst}), {verdict}")
    for key in failed[:10]:  # the first in the order of computation say most
        print(f"  {key}: " + ("not computed, or of another shape" if math.isinf(errors[key]) else f"{errors[key]:.2g}"))
    return not failed


# --- Timing ---


class Timing:
    """The step on random images; parts take turns, as the two halves of a batch do."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.manual_seed(options.seed)
        self.step = PublishedStep(Shape(blocks=options.blocks, classes=options.classes), Training(), options.backward)
        n = options.half_batch
        self.halves = [(torch.randn(n, 3, 32, 32), torch.randint(options.classes, (n,))) for _ in range(2)]
        self.kinds = {"meta": self._meta, "plain": self._plain}

    def seconds(self, kind: str) -> float:
        start = time.perf_counter()
        self.kinds[kind]()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def _meta(self) -> None:
        self.step.part(*self.halves)
        self.halves.reverse()

    def _plain(self) -> None:
        self.step.plain(self.halves[0])


def measure(options: argparse.Namespace) -> None:
    timing = Timing(options)
    kinds = ["meta", "plain"] if options.plain else ["meta"]
    seconds: dict[str, list[float]] = {"meta": [], "plain": []}
    for turn in range(options.warmup + options.repeat):
        for kind in kinds:
            elapsed = timing.seconds(kind)
            if turn >= options.warmup:
                seconds[kind].append(elapsed)
    peak = peak_memory_mib()
    if options.json:
        print(json.dumps({
            "half_batch": options.half_batch, "classes": options.classes, "blocks": options.blocks, "threads": options.threads,
            "backward": options.backward, "torch": torch.__version__, "device": device_name(options), "meta_seconds": seconds["meta"], "plain_seconds": seconds["plain"],
            "peak_memory_mib": peak}))
        return
    for kind in kinds:
        s = seconds[kind]
        what = "one part" if kind == "meta" else "plain step"
        print(f"{what:10}  median {statistics.median(s):.3f} s  least {min(s):.3f} s  most {max(s):.3f} s  ({len(s)} timed)")
    if peak is not None:
        print(f"peak memory of the {'GPU' if options.device == 'cuda' else 'process'}  {peak:.0f} MiB")


def use(options: argparse.Namespace) -> None:
    """On a GPU all tensors are made there, and its library tries its algorithms, as the published code lets it."""
    torch.set_num_threads(options.threads)
    if options.device == "cpu":
        return
    if not torch.cuda.is_available() or not hasattr(torch, "set_default_device"):
        raise UsageError(f"PyTorch {torch.__version__} uses no CUDA device here, or is older than 2.0")
    torch.set_default_device("cuda")
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = options.tf32


def device_name(options: argparse.Namespace) -> str:
    return torch.cuda.get_device_name() if options.device == "cuda" else "cpu"


def what_is_measured(options: argparse.Namespace) -> dict[str, int]:
    """What a time depends on; whoever compares times compares these first."""
    return {"half_batch": options.half_batch, "classes": options.classes, "exits": options.blocks, "threads": options.threads}


def serve(options: argparse.Namespace) -> None:
    timing = Timing(options)
    for kind in list(timing.kinds) * options.warmup:
        timing.seconds(kind)
    print("ready", json.dumps(what_is_measured(options)), flush=True)
    for line in sys.stdin:
        kind = line.strip()
        if kind not in timing.kinds:
            raise UsageError(f"standard input: '{kind}' is neither 'meta' nor 'plain'")
        print(json.dumps({"what": kind, "seconds": timing.seconds(kind)}), flush=True)


def peak_memory_mib() -> float | None:
    """Largest resident memory of this process so far, None where the kernel has no /proc; on a GPU what is used of it, for PyTorch gives none back."""
    if torch.cuda.is_initialized():
        free, total = torch.cuda.mem_get_info()
        return (total - free) / 2**20
    try:
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return int(found[1]) / 1024 if found else None


# --- Command line ---


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help lists the options)\n")


def at_least(least: int) -> Any:
    def integer(text: str) -> int:
        if not re.fullmatch(r"\d+", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"'{text}' is no whole number of at least {least}")
        return int(text)
    return integer


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(
        formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__, allow_abbrev=False,
        epilog="The environment is the caller's: OPENBLAS_NUM_THREADS=1 (else idle BLAS workers burn time beside torch's own threads),\n"
               "MALLOC_MMAP_MAX_=0 and MALLOC_TRIM_THRESHOLD_=2147483647 (freed memory stays with the process: fewer page faults).\n"
               "Compare programs only under the same settings and the same number of threads.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--verify", nargs="+", type=Path, metavar="FILE", help="check the step against golden files; exit code 1 on failure")
    mode.add_argument("--serve", action="store_true", help="print 'ready', then time one step for each line 'meta' or 'plain' read")
    mode.add_argument("--json", action="store_true", help="print the times as one JSON object")
    for name, default, least, text in (
            ("--blocks", 5, 2, "blocks of the MSDNet, which are its exits"),  # with one, some parameters reach no exit
            ("--classes", 100, 2, "classes"),
            ("--half-batch", 64, 2, "samples of a half batch"),
            ("--threads", 2, 1, "threads that compute"),
            ("--repeat", 5, 1, "timed repetitions"),
            ("--warmup", 1, 0, "repetitions before these, of each kind of step"),
            ("--seed", 1, 0, "seed of images, labels and networks")):
        parser.add_argument(name, type=at_least(least), default=default, metavar="N", help=f"{text} (default {default})")
    parser.add_argument("--plain", action="store_true", help="time a plain training step of the same half batch too, alternating")
    parser.add_argument(
        "--backward", choices=("all", "wpn"), default="all",
        help="gradients that the backward pass from the meta loss computes: of everything, as published (default), or only the WPN's")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (default cpu); cuda: the first device, and --verify stays on the CPU")
    parser.add_argument("--tf32", action="store_true", help="on cuda: round what is multiplied to TF32")
    return parser.parse_args(arguments)


def main() -> int:
    options = parse(sys.argv[1:])
    try:
        if options.verify:
            torch.set_num_threads(options.threads)
            return 0 if all([verify(path) for path in options.verify]) else 1
        use(options)
        (serve if options.serve else measure)(options)
    except UsageError as error:
        print(f"pytorch_step.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
