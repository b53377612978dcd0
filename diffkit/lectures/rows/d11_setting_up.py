"""D11: setting up and evaluating."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Mark, Table
from ..row import Claim, Row


def example() -> dict:
    nn = dk.nn
    rng = np.random.default_rng(0)

    # initialisation: what is left of the spread of 200 inputs, after each of 20 layers
    x = rng.normal(size=(200, 128))
    normal = lambda std: lambda shape, **how: nn.init_normal(shape, std=std, **how)
    kaiming, spreads = nn.init_kaiming_normal, {}
    first = {"0.01": normal(0.01), "Xavier": nn.init_xavier_normal, "Kaiming": kaiming, "0.3": normal(0.3)}
    for name, weight in first.items():
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
        h = nn.max_pool2d(nn.relu(nn.conv2d(images, **params["conv"])), 2)
        return nn.linear(dk.reshape(h, (h.shape[0], -1)), **params["out"])

    def start(seed, classes=4):
        conv = nn.init_conv2d(1, 16, 5, seed=seed, weight=kaiming)
        return {"conv": conv, "out": nn.init_linear(16 * 9, classes, seed=seed + 100)}

    def loss(params, batch, rng=None):
        return nn.softmax_cross_entropy(logits(params, nn.random_flip(batch[0], rng)), batch[1])

    def train(params, data, chosen, epochs=8, seed=0, loss=loss):
        how = {"optimizer": dk.optim.AdamW(chosen[0], weight_decay=chosen[1]), "epochs": epochs, "seed": seed}
        return dk.optim.fit(loss, params, data, batch_size=32, progress=False, **how).params

    probabilities = lambda params, images: nn.softmax(logits(params, images))
    score = lambda p, labels: float(-np.mean(np.log(p[np.arange(len(labels)), labels] + 1e-12)))
    data, validation, test = (pictures(range(4), n, np.random.default_rng(n)) for n in (300, 301, 1000))

    # hyper-parameters: learning rate and weight decay drawn on logarithmic scales, judged on examples of their own
    pairs = 10 ** rng.uniform((-5, -3), (0.5, 1), size=(16, 2))
    search = []
    for pair in pairs:
        found = [train(start(k), data, pair) for k in (8, 9)]
        search.append([np.mean([score(probabilities(p, x), y) for p in found]) for x, y in (validation, test)])
    chosen = pairs[np.argmin(search, axis=0)[0]]  # used for what follows; test examples had no part in it

    # an ensemble: the mean of what models from several seeds say
    members = [train(start(seed), data, chosen, seed=seed) for seed in range(5)]
    said = np.array([probabilities(p, test[0]) for p in members])
    ensembles = [score(said[:k].mean(0), test[1]) for k in range(1, 6)]

    # test-time augmentation: the mean over the image and its mirror image
    mirrored = np.array([probabilities(p, test[0][..., ::-1]) for p in members])
    single, both = ([score(p, test[1]) for p in told] for told in (said, (said + mirrored) / 2))

    # transfer: four new classes, 24 examples; a convolution learnt on twelve other classes is kept, fine-tuned, or learnt anew
    # (the pair above was found for 300 examples, not for 24: here the rate is 0.003, with no decay)
    few_rate = np.array([3e-3, 0.0])
    before = train(start(50, classes=12), pictures(range(12), 3000, np.random.default_rng(7)), few_rate, 10)
    transfer = {"anew": [], "frozen": [], "fine-tuned": []}
    frozen = lambda params, batch, rng=None: loss({"conv": before["conv"], "out": params["out"]}, batch, rng)
    for task in range(5):
        new, draw, fresh = range(12 + 4 * task, 16 + 4 * task), np.random.default_rng(20 + task), start(60 + task)
        few, held = pictures(new, 24, draw), pictures(new, 1000, draw)
        runs = {"anew": train(fresh, few, few_rate, 40)}
        runs["frozen"] = train({"out": fresh["out"]}, few, few_rate, 40, loss=frozen) | {"conv": before["conv"]}
        runs["fine-tuned"] = train(runs["frozen"], few, few_rate / 10, 40)
        for name, params in runs.items():
            transfer[name].append(np.mean(np.argmax(logits(params, held[0]), -1) == held[1]))
    told = {"spreads": spreads, "search": (pairs, np.array(search)), "transfer": transfer}
    return told | {"ensembles": ensembles, "members": single, "both": both}


def claims(r: dict) -> list[Claim]:
    kept = {name: v[-1] for name, v in r["spreads"].items()}
    pairs, search = r["search"]
    best, rates = int(np.argmin(search[:, 0])), pairs[:, 0]
    slowest, fastest, middle = search[np.argmin(rates), 0], search[np.argmax(rates), 0], float(np.median(search[:, 0]))
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
            f"Of {len(pairs)} pairs of learning rate and weight decay the best by validation is {pairs[best, 0]:.1g} with "
            f"{pairs[best, 1]:.1g}: a loss of {search[best, 0]:.2f}, where the median pair has {middle:.2f}, the smallest rate "
            f"{slowest:.2f}, the largest {fastest:.2f}, and guessing ln 4 = {np.log(4):.2f}. On test examples, which had no part "
            f"in the choice, it is {search[best, 1]:.2f}. Rates drawn evenly up to 3, not by their logarithms, would be below 0.1 "
            "about 1 time in 30.",
            bool(1.3 * search[best, 0] < min(slowest, fastest, middle) and search[best, 1] < 0.75 * middle),
            {"validation": float(search[best, 0]), "test": float(search[best, 1]), "median": middle},
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
            f"{right['frozen']:.1%} right frozen (it is no parameter of the loss that is minimised), learning anew "
            f"{right['anew']:.1%}, guessing 25%. Fine-tuning all weights afterwards gives {right['fine-tuned']:.1%}: with so few "
            "examples no gain to speak of.",
            min(right["frozen"], right["fine-tuned"]) > right["anew"]
            and abs(right["fine-tuned"] - right["frozen"]) < 0.03,
            right,
        ),
    ]


def charts(r: dict) -> list[Chart]:
    layers = np.arange(1, 21)
    pairs, search = r["search"]
    losses, best = search[:, 0], int(np.argmin(search[:, 0]))
    guess = float(np.log(4))
    bands = (("loss below 0.7", 0, 0.7), ("up to guessing, 1.39", 0.7, guess), ("above", guess, np.inf))
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
            "Search: what each rate came to",
            "learning rate",
            "validation loss",
            [Line(pairs[:, 0], losses, "a pair", "dots"), Line([pairs[best, 0]], [losses[best]], "chosen", "dots")],
            "xy",
            "Pairs drawn at random on logarithmic scales; two starts each, 8 epochs.",
        ),
        Chart(
            "Search: the pairs",
            "learning rate",
            "weight decay",
            [
                Line.through(pairs[(low <= losses) & (losses < high)], name, "dots")
                for name, low, high in bands
                if ((low <= losses) & (losses < high)).any()
            ],
            "xy",
            "The same pairs; the cross is the one that is used below.",
            marks=[Mark(pairs[best, 0], pairs[best, 1], "chosen", "cross")],
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
    says="What is around training: first weights that keep the signal's size, a search for rate and decay, and, with models at "
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
