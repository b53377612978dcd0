"""An LSTM learns to write like Python's manual, one character after the other.

The text is what help("topics") leads to: 460,000 characters that come with Python, as pydoc_data.topics. Or a file of yours,
the longer the better:

pip install diffkit
python examples/character_lstm.py [FILE.txt]

What counts is bits a character on the last tenth of the text, which it has not seen: how long a message telling it would be.
Two codes that only count stand beside: one of characters, one of characters after the one before.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import diffkit as dk

STEPS, BATCH, LENGTH, UNITS, FEATURES = 2500, 16, 32, 128, 32
SHORTEST = -(-(BATCH * LENGTH + 1) * 10 // 9)  # the first nine tenths are one batch of windows
TEMPERATURE = 0.7  # 1: as likely as it thinks; below: the likely ones more often


def manual() -> str:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise SystemExit("this Python comes without pydoc_data.topics; give a text file instead") from None
    return "\n".join(topics[name] for name in sorted(topics))


def logits(params, characters, state=None):
    """(T, N, K): of what follows each of (T, N) characters, numbers of the alphabet; and the last state."""
    hs, state = dk.nn.lstm(params["lstm"], params["features"][characters], state)
    return dk.nn.linear(hs, **params["out"]), state


def bits(params, windows):
    """A character, on average. windows: (N, T + 1)."""
    characters = windows.T
    return dk.nn.softmax_cross_entropy(logits(params, characters[:-1])[0], characters[1:]) / np.log(2)


def counted(seen, held_out, k: int) -> tuple[float, float]:
    """Bits a character of held-out text, from how often each was seen, and from how often it was after the one before."""
    once = np.bincount(seen, minlength=k) + 1.0
    once /= once.sum()
    pairs = np.bincount(k * seen[:-1] + seen[1:], minlength=k * k).reshape(k, k) + once
    pairs /= pairs.sum(1, keepdims=True)
    return -np.log2(once[held_out]).mean(), -np.log2(pairs[held_out[:-1], held_out[1:]]).mean()


def told(run) -> None:
    if run.step % 250 == 0:
        print(f"step {run.step:4}: {run.loss:.2f} bits", flush=True)


def written(params, beginning, length: int, seed: int = 0) -> list[int]:
    """The characters that it writes after a beginning, one drawn after the other."""
    made, state, latest, rng = [], None, beginning, np.random.default_rng(seed)
    for _ in range(length):
        z, state = logits(params, latest[:, None], state)
        latest = rng.choice(z.shape[-1], 1, p=dk.softmax(z[-1, 0].astype(float) / TEMPERATURE))
        made.append(int(latest[0]))
    return made


def main(text: str | None = None, steps: int = STEPS, seed: int = 0) -> float:
    """Bits a character of held-out text."""
    text = manual() if text is None else text
    if len(text) < SHORTEST:
        raise SystemExit(f"the text has {len(text)} characters; at least {SHORTEST} are needed, and 100,000 are better")
    alphabet = np.array(sorted(set(text)))
    characters = np.searchsorted(alphabet, list(text))
    seen, held_out = np.split(characters, [len(text) * 9 // 10])
    one, two = counted(seen, held_out, len(alphabet))
    print(f"bits a character of {len(held_out)}: {one:.2f} by counting characters, {two:.2f} by counting pairs")
    windows = lambda c: np.stack([c[i : i + LENGTH + 1] for i in range(0, len(c) - LENGTH, LENGTH)])
    start = {
        "features": dk.nn.init_normal((len(alphabet), FEATURES), seed=seed, dtype=np.float32),
        "lstm": dk.nn.init_lstm(FEATURES, UNITS, seed=seed, forget_bias=1.0, dtype=np.float32),
        "out": dk.nn.init_linear(UNITS, len(alphabet), seed=seed, dtype=np.float32),
    }
    fitted = dk.optim.fit(
        bits,
        start,
        windows(seen),
        optimizer=dk.optim.Adam(dk.optim.schedules.cosine(1e-2, steps)),
        batch_size=BATCH,
        steps=steps,
        drop_last=True,
        clip_norm=1.0,
        seed=seed,
        callbacks=[told],
    )
    beginning = held_out[:30]
    print("".join(alphabet[beginning]), "".join(alphabet[written(fitted.params, beginning, 500, seed)]), sep="▸")
    return float(bits(fitted.params, windows(held_out)))


if __name__ == "__main__":
    print(f"{main(*(Path(name).read_text(encoding='utf-8') for name in sys.argv[1:2])):.2f} bits a character")
