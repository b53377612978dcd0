"""D11: setting up and evaluating."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    nn = dk.nn
    rng = np.random.default_rng(0)

    # initialisation: what is left of the spread of 200 inputs, after each of 20 layers
    x = rng.normal(size=(200, 128))
    initialisers = {
        "0.01": lambda s, **k: nn.init_normal(s, std=0.01, **k),
        "Xavier": nn.init_xavier_normal,
        "Kaiming": nn.init_kaiming_normal,
        "0.3": lambda s, **k: nn.init_normal(s, std=0.3, **k),
    }
    spreads = {}
    for name, weight in initialisers.items():
        h, spreads[name] = x, []
        for layer in nn.init_mlp([128] * 21, seed=1, weight=weight):
            h = nn.relu(nn.linear(h, **layer))
            spreads[name].append(float(np.sqrt(np.mean(h**2))))

    # small pictures of strokes, four kinds of them, anywhere, half of them mirrored, in noise
    strokes = rng.normal(size=(32, 5, 5))

    def pictures(kinds, count, rng):
        labels = rng.integers(0, len(kinds), count)
        images = 0.7 * rng.normal(size=(count, 1, 10, 10))
        for image, label in zip(images, labels, strict=True):
            (i, j), stroke = rng.integers(1, 5, 2), strokes[kinds[label]]
            image[0, i : i + 5, j : j + 5] += stroke[:, ::-1] if rng.random() < 0.5 else stroke
        return images, labels

    def logits(params, images):
        h = nn.relu(nn.conv2d(images, **params["conv"]))
        h = nn.max_pool2d(h, 2)
        return nn.linear(dk.reshape(h, (h.shape[0], -1)), **params["out"])

    def start(seed, classes=4):
        conv = nn.init_conv2d(1, 16, 5, seed=seed, weight=nn.init_kaiming_normal)
        return {"conv": conv, "out": nn.init_linear(16 * 9, classes, seed=seed + 100)}

    def loss(params, batch, rng=None):
        images = nn.random_flip(batch[0], rng)
        return nn.softmax_cross_entropy(logits(params, images), batch[1])

    def train(params, data, rate=3e-3, epochs=20, seed=0, loss=loss):
        how = {"optimizer": dk.optim.Adam(rate), "epochs": epochs, "seed": seed, "batch_size": 32, "progress": False}
        return dk.optim.fit(loss, params, data, **how).params

    probabilities = lambda params, images: nn.softmax(logits(params, images))
    score = lambda p, labels: float(-np.mean(np.log(p[np.arange(len(labels)), labels])))
    old = (0, 1, 2, 3)
    data, validation, test = (pictures(old, n, np.random.default_rng(n)) for n in (300, 301, 1000))

    # hyper-parameters: rates drawn on a logarithmic scale, judged on examples that are neither trained on nor reported
    rates = 10 ** np.sort(rng.uniform(-5, 0.5, size=9))
    found = [train(start(0), data, float(rate), epochs=8) for rate in rates]
    search = np.array([score(probabilities(p, validation[0]) + 1e-12, validation[1]) for p in found])

    # an ensemble: the mean of what models from several seeds say
    members = [train(start(seed), data, seed=seed) for seed in range(5)]
    said = np.array([probabilities(p, test[0]) for p in members])
    ensembles = [score(said[:k].mean(0), test[1]) for k in range(1, 6)]

    # test-time augmentation: the mean over the image and its mirror image
    mirrored = np.array([probabilities(p, test[0][..., ::-1]) for p in members])
    single, both = ([score(p, test[1]) for p in told] for told in (said, (said + mirrored) / 2))

    # transfer: four new classes, 24 examples; a convolution learnt on twelve other classes is kept, fine-tuned, or learnt anew
    before = train(start(50, classes=12), pictures(range(12), 3000, np.random.default_rng(7)), epochs=10)
    transfer = {"anew": [], "frozen": [], "fine-tuned": []}
    frozen = lambda params, batch, rng=None: loss({"conv": before["conv"], "out": params["out"]}, batch, rng)
    for task in range(5):
        new, draw, fresh = range(12 + 4 * task, 16 + 4 * task), np.random.default_rng(20 + task), start(60 + task)
        few, held = pictures(new, 24, draw), pictures(new, 1000, draw)
        runs = {
            "anew": train(fresh, few, epochs=40),
            "frozen": train({"out": fresh["out"]}, few, epochs=40, loss=frozen),
        }
        runs["frozen"] = {**runs["frozen"], "conv": before["conv"]}
        runs["fine-tuned"] = train(runs["frozen"], few, rate=3e-4, epochs=40)
        for name, params in runs.items():
            transfer[name].append(np.mean(np.argmax(logits(params, held[0]), -1) == held[1]))
    return {
        "spreads": spreads,
        "rates": rates,
        "search": search,
        "ensembles": ensembles,
        "members": single,
        "both": both,
        "transfer": transfer,
    }


def claims(r: dict) -> list[Claim]:
    kept = {name: v[-1] for name, v in r["spreads"].items()}
    best, rates, search = int(np.argmin(r["search"])), r["rates"], r["search"]
    members, both, ensembles = r["members"], r["both"], r["ensembles"]
    jensen = max(float(ensembles[k] - np.mean(members[: k + 1])) for k in range(len(members)))
    mirrored = float(np.mean(np.subtract(members, both)))
    right = {name: float(np.mean(v)) for name, v in r["transfer"].items()}
    return [
        Claim(
            f"After 20 ReLU layers Kaiming's weights have kept {kept['Kaiming']:.2f} of the signal's size, Xavier's "
            f"{kept['Xavier']:.0e} (a factor of √½ a layer is {0.5**10:.0e}); a standard deviation of 0.01 leaves "
            f"{kept['0.01']:.0e}, one of 0.3 makes it {kept['0.3']:.0e}.",
            0.2 < kept["Kaiming"] < 5 and 1e-4 < kept["Xavier"] < 1e-2 and kept["0.01"] < 1e-15 and kept["0.3"] > 1e4,
            kept,
        ),
        Claim(
            f"Of {len(rates)} learning rates drawn between 1e-5 and 3 the best is {rates[best]:.1g} (validation loss "
            f"{search[best]:.2f}); the smallest gets to {search[0]:.2f}, the largest to {search[-1]:.2f}, guessing is "
            f"ln 4 = {np.log(4):.2f}. Drawn evenly, not by their logarithms, about 1 in 30 would be below 0.1.",
            bool(0 < best < len(rates) - 1 and 1.3 * search[best] < min(search[0], search[-1])),
            {f"{rate:.1e}": float(v) for rate, v in zip(rates, search, strict=True)},
        ),
        Claim(
            f"{len(members)} models together have a test loss of {ensembles[-1]:.3f}, the best of them {min(members):.3f}, "
            f"their mean {np.mean(members):.3f}: an ensemble of any size is at least as "
            f"good as the mean member (Jensen's inequality).",
            ensembles[-1] < np.mean(members) - 0.01 and jensen < 1e-12,
            {"ensemble": float(ensembles[-1]), "best member": float(min(members))},
        ),
        Claim(
            f"Asked for the image and for its mirror image, each of the {len(members)} models does better by itself, "
            f"by {mirrored:.3f} in the mean.",
            all(b < m for b, m in zip(both, members, strict=True)),
            {"mean gain": mirrored},
        ),
        Claim(
            "Four new classes, 24 examples, in the mean of five such tasks: a convolution learnt on twelve other classes gives "
            f"{right['frozen']:.0%} right frozen (it is no parameter of the loss that is minimised) and {right['fine-tuned']:.0%} "
            f"fine-tuned; learning anew {right['anew']:.0%}, guessing 25%.",
            right["frozen"] > right["anew"] and right["fine-tuned"] > right["anew"] + 0.01,
            right,
        ),
    ]


def charts(r: dict) -> list[Chart]:
    layers = np.arange(1, 21)
    return [
        Chart(
            "Initialisation: the signal through 20 ReLU layers",
            "layer",
            "root mean square",
            [Line(layers, v, name, "both") for name, v in r["spreads"].items()],
            "y",
            "Width 128; a number is the standard deviation of the weights. Kaiming's is √(2/128) = 0.125.",
        ),
        Chart(
            "Search: learning rates drawn at random on a logarithmic scale",
            "learning rate",
            "validation loss",
            [Line(r["rates"], r["search"], kind="both")],
            "xy",
        ),
        Chart(
            "Ensembles",
            "models in the ensemble",
            "test loss",
            [
                Line(np.arange(1, 6), r["ensembles"], "mean of their probabilities", "both"),
                Line(np.arange(1, 6), r["members"], "each by itself", "dots"),
            ],
        ),
    ]


def tables(r: dict) -> list[Table]:
    right = [[name, *(f"{v:.1%}" for v in values)] for name, values in r["transfer"].items()]
    return [
        Table(
            "Transfer: right of 1,000 examples of new classes",
            ["convolution", *(f"task {k + 1}" for k in range(len(right[0]) - 1))],
            right,
            "Trained on 24 examples of four classes, others in each task. Fine-tuned: all weights, from the frozen run's end.",
        )
    ]


ROW = Row(
    id="D11",
    title="Setting up and evaluating",
    says="What is around training: first weights that keep the signal's size, a search for the learning rate, and, with models at "
    "hand, averages over models and over mirror images, and layers used again for another task.",
    formulas=(
        r"\operatorname{Var}[w] = \frac{2}{n_\text{in}} \text{ (Kaiming)} \qquad "
        r"\frac{2}{n_\text{in} + n_\text{out}} \text{ (Xavier)}",
        r"-\log \frac{1}{K} \sum_k p_k(y) \;\le\; -\frac{1}{K} \sum_k \log p_k(y)",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="C6",
)
