"""Records steps of the Adams of Keras, TensorFlow and optax for TestRecordedHosts:

    pip install keras tensorflow-cpu jax optax
    python hosts.py > hosts.json

Gradients and first parameters are small integers times powers of two, which the test makes again.
"""
import json
import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import jax
import keras
import numpy as np
import optax
import tensorflow as tf

N, STEPS, RECORDED = 32, 300, (1, 10, 100, 300)


class Values:
    """Of element i, values from 2**-i/2 to 2**-i, of both signs."""

    def __init__(self):
        self.x = 1

    def next(self, exponent):
        self.x = (self.x * 1664525 + 1013904223) % 2**32
        sign = -1 if self.x >> 23 & 1 else 1
        return sign * (128 + (self.x >> 25)) / 256 * 2.0**-exponent


def gradients():
    """Yields the first parameters, then the gradients, in the second half 16 times smaller."""
    values = Values()
    yield np.array([values.next(9 * (i % 2)) for i in range(N)], np.float32)
    for t in range(STEPS):
        less = 4 if t >= STEPS // 2 else 0
        yield np.array([values.next(i + less) for i in range(N)], np.float32)


def run(step_of):
    """Returns the recorded parameters. step_of makes, of the first ones, a function from gradients
    to parameters."""
    g = gradients()
    step = step_of(next(g))
    recorded = []
    for t in range(1, STEPS + 1):
        p = np.asarray(step(next(g)))
        assert p.dtype == np.float32
        if t in RECORDED:
            recorded.append([float(format(x, ".9g")) for x in p])
    return recorded


def of_keras(optimizer):
    def step_of(p):
        v = keras.Variable(p)
        optimizer.build([v])

        def step(g):
            optimizer.apply([keras.ops.convert_to_tensor(g)], [v])
            return v.numpy()

        return step

    return step_of


def of_tensorflow(p):
    v, optimizer = tf.Variable(p), tf.compat.v1.train.AdamOptimizer()

    def step(g):
        optimizer.apply_gradients([(tf.constant(g), v)])
        return v.numpy()

    return step


def of_optax(optimizer):
    def step_of(p):
        at = {"p": jax.numpy.asarray(p), "s": optimizer.init(jax.numpy.asarray(p))}

        @jax.jit
        def update(g, s, p):
            updates, s = optimizer.update(g, s, p)
            return s, optax.apply_updates(p, updates)

        def step(g):
            at["s"], at["p"] = update(g, at["s"], at["p"])
            return at["p"]

        return step

    return step_of


other = {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3, "amsgrad": True}
cases = {
    "keras Adam": of_keras(keras.optimizers.Adam()),
    "keras Adam of other values": of_keras(keras.optimizers.Adam(**other)),
    "keras AdamW": of_keras(keras.optimizers.AdamW(weight_decay=0.1)),
    "tensorflow AdamOptimizer": of_tensorflow,
    "optax adam": of_optax(optax.adam(1e-3)),
    "optax adamw": of_optax(optax.adamw(1e-3, weight_decay=0.1)),
}
versions = {"keras": keras.__version__, "tensorflow": tf.__version__, "jax": jax.__version__,
            "optax": optax.__version__}
print('{"versions": %s, "elements": %d, "steps": %s, "cases": {' %
      (json.dumps(versions), N, list(RECORDED)))
lines = [' %s: [\n  %s]' % (json.dumps(name), ",\n  ".join(json.dumps(p) for p in run(f)))
         for name, f in cases.items()]
print(",\n".join(lines) + "}}")
sys.stdout.flush()
