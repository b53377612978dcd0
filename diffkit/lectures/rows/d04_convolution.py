"""D4: convolution, max pooling and LeNet-5."""

from __future__ import annotations

import numpy as np

import diffkit as dk

from ..chart import Chart, Line, Table
from ..row import Claim, Row


def example() -> dict:
    nn = dk.nn
    rng = np.random.default_rng(0)

    # sizes: floor((size + 2·padding − kernel)/stride) + 1
    image, filters = rng.normal(size=(3, 32, 32)), nn.init_conv2d(3, 6, 5, seed=0)
    sizes = {(32, 5, 1, 0): nn.conv2d(image, **filters).shape}
    for kernel, stride, padding in ((5, 1, 2), (5, 2, 2), (3, 1, 1), (3, 3, 0), (7, 3, 1)):
        kernels = nn.init_conv2d(3, 6, kernel, seed=0)
        sizes[32, kernel, stride, padding] = nn.conv2d(image, **kernels, stride=stride, padding=padding).shape

    # every pixel by hand: a window of the image times a filter, and a bias
    by_hand = np.empty((6, 28, 28))
    for k in range(6):
        for i in range(28):
            for j in range(28):
                by_hand[k, i, j] = np.sum(image[:, i : i + 5, j : j + 5] * filters["weight"][k]) + filters["bias"][k]
    apart = np.max(np.abs(nn.conv2d(image, **filters) - by_hand))

    # backwards: filters see the image once more; the image sees the filters turned around
    g = rng.normal(size=(6, 28, 28))
    slopes = dk.grad(lambda p, x: np.sum(g * nn.conv2d(x, **p)), argnums=(0, 1))(filters, image)
    of_weight = nn.conv2d(image[:, None], g[:, None]).swapaxes(0, 1)
    of_image = nn.conv2d(g, filters["weight"].swapaxes(0, 1)[:, :, ::-1, ::-1], padding=4)
    gradients = {
        "weight": np.max(np.abs(slopes[0]["weight"] - of_weight)),
        "bias": np.max(np.abs(slopes[0]["bias"] - g.sum((1, 2)))),
        "image": np.max(np.abs(slopes[1] - of_image)),
    }

    # max pooling of 4 × 4 to 2 × 2; its gradient goes to where the largest was
    board = np.array([[3.0, 1, 2, 4], [5, 6, 0, 8], [7, 2, 1, 9], [1, 0, 3, 2]])
    pooled, went = nn.max_pool2d(board[None], 2)[0], dk.grad(lambda x: np.sum(nn.max_pool2d(x, 2)))(board[None])[0]
    tie = dk.grad(lambda x: np.sum(nn.max_pool2d(x, 2)))(np.ones((1, 2, 2)))[0]

    # moved input, moved output; and LeNet-5, on discs, rings, squares and crosses anywhere in the image
    shifted = nn.conv2d(np.roll(image, 3, -1), **filters)[:, :, 3:] - nn.conv2d(image, **filters)[:, :, :-3]
    y, x = np.mgrid[:28, :28]

    def picture(kind):
        size, a, b = rng.uniform(5, 8), *rng.uniform(10, 18, size=2)
        far, wide, thin = np.hypot(x - a, y - b), np.maximum(abs(x - a), abs(y - b)), np.minimum(abs(x - a), abs(y - b))
        shapes = far < size, abs(far - size) < 1.5, wide < size, (wide < size) & (thin < 1.5)
        return shapes[kind] + 0.2 * rng.normal(size=(28, 28))

    labels = rng.integers(0, 4, size=640)
    pictures = np.stack([picture(k) for k in labels])[:, None].astype(np.float32)
    params = nn.init_lenet5(seed=1, classes=4, weight=nn.init_xavier_uniform, dtype=np.float32)
    net = lambda p, images: nn.lenet5(p, images, activation=nn.relu, pool=nn.max_pool2d)
    loss = lambda p, batch: nn.softmax_cross_entropy(net(p, batch[0]), batch[1])
    right = lambda p, batch: np.mean(np.argmax(net(p, batch[0]), -1) == batch[1])
    train, test = (pictures[:480], labels[:480]), (pictures[480:], labels[480:])
    how = {"optimizer": dk.optim.Adam(2e-3), "batch_size": 32, "epochs": 8, "validation": test, "progress": False}
    fit = dk.optim.fit(loss, params, train, **how)
    ten = nn.init_lenet5(seed=0)
    return {
        "sizes": sizes,
        "apart": apart,
        "gradients": gradients,
        "pooled": pooled,
        "went": went,
        "tie": tie,
        "board": board,
        "shifted": np.max(np.abs(shifted)),
        "history": fit.history,
        "right": {"before": right(params, test), "after": right(fit.params, test)},
        "counts": {name: sum(a.size for a in layer.values()) for name, layer in ten.items()},
    }


def claims(r: dict) -> list[Claim]:
    formula = lambda n, kernel, stride, padding: (n + 2 * padding - kernel) // stride + 1
    wrong = [k for k, shape in r["sizes"].items() if shape != (6, formula(*k), formula(*k))]
    gradients = {k: float(v) for k, v in r["gradients"].items()}
    total, right = sum(r["counts"].values()), {k: float(v) for k, v in r["right"].items()}
    return [
        Claim(
            f"An image 3 × 32 × 32 and six filters 5 × 5 make {' × '.join(map(str, r['sizes'][32, 5, 1, 0]))}; the formula for "
            f"the size is right for all {len(r['sizes'])} choices of kernel, stride and padding.",
            not wrong and r["sizes"][32, 5, 1, 0] == (6, 28, 28),
        ),
        Claim(
            f"Each of the 4,704 results is a window times a filter, and a bias: loops give the same, to {r['apart']:.0e}.",
            bool(r["apart"] < 1e-12),
            {"largest difference": float(r["apart"])},
        ),
        Claim(
            "Backwards a convolution is two convolutions: of the image with the adjoint (for the filters, to "
            f"{gradients['weight']:.0e}), of the adjoint with the filters turned around (for the image, to "
            f"{gradients['image']:.0e}).",
            max(gradients.values()) < 1e-11,
            gradients,
        ),
        Claim(
            f"Max pooling keeps {', '.join(f'{v:g}' for v in r['pooled'].ravel())} of the board; its gradient is 1 "
            f"there and 0 at the other {int((r['went'] == 0).sum())}. Of four equal pixels each gets {r['tie'][0, 0]:g} "
            "(PyTorch: all to the first).",
            bool(
                (r["pooled"] == [[6, 8], [7, 9]]).all()
                and ((r["went"] == 1) == np.isin(r["board"], [6, 7, 9]) | (r["board"] == 8)).all()
                and r["went"].sum() == 4
                and (r["tie"] == 0.25).all()
            ),
        ),
        Claim(
            f"An image moved by 3 pixels gives a result moved by 3 pixels, to {r['shifted']:.0e}.",
            bool(r["shifted"] < 1e-12),
            {"largest difference": float(r["shifted"])},
        ),
        Claim(
            f"LeNet-5 for ten digits has {total:,} parameters. With four classes, ReLU and max pooling, "
            f"trained on 480 images, it tells a disc, a ring, a square and a cross apart in "
            f"{right['after']:.0%} of 160 others ({right['before']:.0%} before).",
            total == 61_706 and right["after"] > 0.8 and right["before"] < 0.6,
            {"parameters": total, **right},
        ),
    ]


def charts(r: dict) -> list[Chart]:
    h = r["history"]
    epochs = np.arange(1, len(h["epoch_loss"]) + 1)
    return [
        Chart(
            "LeNet-5 on four shapes",
            "epoch",
            "loss",
            [Line(epochs, h["epoch_loss"], "training", "both"), Line(epochs, h["validation_loss"], "held out", "both")],
            "y",
            "28 × 28 pixels with noise, each shape of some size at some place; Adam, batches of 32.",
        )
    ]


def tables(r: dict) -> list[Table]:
    sizes = [[f"{k} × {k}", s, p, " × ".join(map(str, shape))] for (_, k, s, p), shape in r["sizes"].items()]
    return [
        Table("Six filters on 3 × 32 × 32", ["kernel", "stride", "padding", "result"], sizes, words=frozenset({0, 3})),
        Table("LeNet-5", ["layer", "parameters"], [[k, f"{v:,}"] for k, v in r["counts"].items()]),
    ]


ROW = Row(
    id="D4",
    title="Convolution and pooling",
    says="The same small filter at every place of an image: few parameters, and what it finds moves with the image. Pooling then "
    "keeps the largest of each window.",
    formulas=(
        r"y_{kij} = b_k + \sum_{c,u,v} w_{kcuv}\, x_{c,\,si+u-p,\,sj+v-p} \qquad "
        r"\text{size} = \left\lfloor \frac{n + 2p - m}{s} \right\rfloor + 1",
    ),
    example=example,
    claims=claims,
    charts=charts,
    tables=tables,
    sources="R7, C6; LeCun et al. 1998",
)
