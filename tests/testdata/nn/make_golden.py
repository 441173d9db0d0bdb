#!/usr/bin/python3
"""Writes flat_N.bin: what PyTorch computes for seer's configuration "flat".

    apt install python3-torch
    ./make_golden.py            # in this folder

Weights, inputs and truth come from seer's CounterRng, here written a second time, so that only
results are stored. They are computed in double. Each file is float32, little-endian:

    3 x (N + 1) probabilities, the loss,
    for each tensor of Network::tensors(): the largest gradient, the sum of gradient * r with r from
    CounterRng(2, StreamOf(name)) in [-1, 1), and up to 96 gradients, spread evenly,
    the losses before each of three steps of Adam (rate 0.001).
"""
import numpy as np
import torch

BATCH, TICKS, SERVICES = 3, 20, (1, 2, 5, 6, 7, 36, 158, 386)
GAMMA = np.uint64(0x9E3779B97F4A7C15)


def mix(x):
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def stream_of(name):
    value = 0xCBF29CE484222325
    for c in name.encode():
        value = ((value ^ c) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def numbers(seed, name, n):
    one = lambda x: np.array([x & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
    key = mix(one(seed) + GAMMA) ^ mix(one(stream_of(name)) + GAMMA + GAMMA)
    return mix(key + (np.arange(n, dtype=np.uint64) + np.uint64(1)) * GAMMA)


def uniform(seed, name, n):
    return (numbers(seed, name, n) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def weights(n):
    positions = ((n + 1) // 2 + 2) // 3
    shapes = [
        ("trunk.0.weight", 5, 8, 5), ("trunk.0.bias", 1, 8, 5),
        ("trunk.1.weight", 40, 16, 40), ("trunk.1.bias", 1, 16, 40),
        ("trunk.2.weight", 16 * positions, 256, 64), ("trunk.2.recurrent", 64, 256, 64), ("trunk.2.bias", 1, 256, 64),
        ("trunk.3.weight", 64, 256, 64), ("trunk.3.recurrent", 64, 256, 64), ("trunk.3.bias", 1, 256, 64),
        ("head.weight", 64, n + 1, 64), ("head.bias", 1, n + 1, 64),
    ]
    result = {}
    for name, rows, columns, fan in shapes:
        bound = np.float32(1 / np.sqrt(float(fan)))
        values = (np.float32(2) * uniform(5, name, rows * columns) - np.float32(1)) * bound
        values = values.reshape(rows, columns)
        if name in ("trunk.2.bias", "trunk.3.bias"):
            values[0, 64:128] += np.float32(1)
        result[name] = torch.tensor(values.astype(np.float64), requires_grad=True)
    return result


def lstm(x, w, u, b):
    """torch.lstm, whose two biases are seer's one and zero."""
    zeros = torch.zeros(1, x.shape[1], 64, dtype=torch.float64)
    flat = [w.t(), u.t(), b[0], torch.zeros(256, dtype=torch.float64)]
    return torch.lstm(x, (zeros, zeros), flat, True, 1, 0.0, False, False, False)[0]


def logits(p, x, n):
    f = torch.nn.functional
    kernel = lambda w, channels: w.reshape(5, channels, -1).permute(2, 1, 0)
    y = x.reshape(BATCH * TICKS, 1, n)
    y = f.relu(f.conv1d(y, kernel(p["trunk.0.weight"], 1), p["trunk.0.bias"][0], stride=2, padding=2))
    y = f.relu(f.conv1d(y, kernel(p["trunk.1.weight"], 8), p["trunk.1.bias"][0], stride=3, padding=2))
    y = y.permute(0, 2, 1).reshape(BATCH, TICKS, -1).permute(1, 0, 2)
    y = lstm(y, p["trunk.2.weight"], p["trunk.2.recurrent"], p["trunk.2.bias"])
    y = lstm(y, p["trunk.3.weight"], p["trunk.3.recurrent"], p["trunk.3.bias"])
    return y[-1] @ p["head.weight"] + p["head.bias"]


def golden(n):
    p = weights(n)
    x = torch.tensor((2 * uniform(1, "x", BATCH * TICKS * n)).astype(np.float64)).reshape(BATCH, TICKS, n)
    truth = torch.tensor((numbers(1, "truth", BATCH) % np.uint64(n + 1)).astype(np.int64))
    optimizer = torch.optim.Adam(list(p.values()), lr=1e-3)
    out, losses = [], []
    for step in range(3):
        optimizer.zero_grad()
        z = logits(p, x, n)
        loss = torch.nn.functional.cross_entropy(z, truth)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            out += [torch.softmax(z, 1).detach().numpy().ravel(), [loss.item()]]
            for name, tensor in p.items():
                gradient = tensor.grad.numpy().ravel()
                r = 2 * uniform(2, name, gradient.size).astype(np.float64) - 1
                count = min(gradient.size, 96)
                at = [i * (gradient.size - 1) // max(count - 1, 1) for i in range(count)]
                out += [[np.abs(gradient).max(), (gradient * r).sum()], gradient[at]]
        optimizer.step()
    out.append(losses)
    np.concatenate([np.asarray(values, dtype=np.float64) for values in out]).astype("<f4").tofile(f"flat_{n}.bin")


if __name__ == "__main__":
    np.seterr(over="ignore")
    torch.manual_seed(0)
    for services in SERVICES:
        golden(services)
