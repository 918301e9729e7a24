"""Bits for every layer by reinforcement learning: an actor walks the layers, a critic learns what its choices bring.

Source: HAQ, Wang et al., CVPR 2019, arXiv:1811.08886, and its published settings: DDPG with two hidden layers of 300,
Adam at 1e-4 and 1e-3, tau 0.01, batches of 64, truncated normal noise of 0.5 * 0.99^episode after 20 episodes at
random, one reward for all steps of an episode, less its moving average, discount 1; an action wall lowers layers from
the last to the first until the budget is kept.

Differences: one action per layer picks among bits that its operator really runs with, where HAQ picks 2 to 8 bits that
no runtime of ours executes, for weights and activations in turn; the reward is the measured noise of the choice in
decibels, not the accuracy after an epoch of training; what a layer was given before enters as its place among its bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

import numpy as np

from pipelines.bit_budget import Option, Options, Unreachable

HIDDEN = 300
ACTOR_RATE, CRITIC_RATE = 1e-4, 1e-3
TAU = 0.01
BATCH = 64
MEMORY_EPISODES = 128
NOISE, NOISE_DECAY = 0.5, 0.99
WARM_UP = 20
BASELINE_DECAY = 0.5
WEIGHTS_START = 3e-3  # range of the last layers' first weights, as in Lillicrap et al., arXiv:1509.02971


@dataclass(frozen=True)
class Search:
    """The best choice found, and the reward in decibels of each episode; `control` is the best of as many at random.

    `most_spent` is the largest cost of any episode's choice.
    """

    taken: dict[str, Option]
    rewards: tuple[float, ...]
    control: float
    most_spent: float


def search(
    options: Options,
    facts: Sequence[Mapping[str, Any]],
    limit: float,
    *,
    episodes: int,
    seed: int,
    told: Callable[[int], None] = lambda episode: None,
) -> Search:
    """The choice with the least noise that an agent finds in `episodes`, each within `limit`.

    `facts` are the layers of `exports.mixed_bits.BitLayer` in the order of `options`; `told` hears of every episode.

    Raises: Unreachable when even the cheapest options cost more.
    """
    ladders = [sorted(able, key=lambda one: (one.cost, -one.noise)) for able in options.values()]
    least = sum(ladder[0].cost for ladder in ladders)
    if least > limit:
        raise Unreachable(least)
    agent = _Agent(_features(facts), [len(ladder) for ladder in ladders], seed)
    best, rewards, most = -np.inf, [], 0.0
    chosen: list[int] = []
    for episode in range(episodes):
        told(episode)
        actions = agent.walk(episode)
        asked = [_rung(action, len(ladder)) for action, ladder in zip(actions, ladders, strict=True)]
        picked = walled(ladders, asked, limit)
        most = max(most, sum(ladder[at].cost for ladder, at in zip(ladders, picked, strict=True)))
        reward = _reward(ladders, picked)
        agent.learn(picked, reward, episode)
        rewards.append(reward)
        if reward > best:
            best, chosen = reward, picked
    control = random_control(options, limit, episodes=episodes, seed=seed)
    taken = {layer: ladder[at] for layer, ladder, at in zip(options, ladders, chosen, strict=True)}
    return Search(taken, tuple(rewards), control, most)


def random_control(options: Options, limit: float, *, episodes: int, seed: int) -> float:
    """The best reward of as many choices at random, sent through the same wall."""
    draw = np.random.default_rng([seed, 1])
    ladders = [sorted(able, key=lambda one: (one.cost, -one.noise)) for able in options.values()]
    tries = (walled(ladders, [int(draw.integers(len(ladder))) for ladder in ladders], limit) for _ in range(episodes))
    return max(_reward(ladders, picked) for picked in tries)


def walled(ladders: Sequence[Sequence[Option]], picked: Sequence[int], limit: float) -> list[int]:
    """The same choice, lowered by one rung layer by layer from the last to the first, round after round, to `limit`."""
    found = list(picked)
    cost = sum(ladder[at].cost for ladder, at in zip(ladders, found, strict=True))
    while cost > limit and any(found):
        for place in reversed(range(len(found))):
            if found[place] > 0:
                cost -= ladders[place][found[place]].cost - ladders[place][found[place] - 1].cost
                found[place] -= 1
                if cost <= limit:
                    break
    return found


def _rung(action: float, rungs: int) -> int:
    """The action's place among a layer's bits, all equally wide."""
    return int(np.clip(round(action * rungs - 0.5), 0, rungs - 1))


def decibels(noise: float) -> float:
    """Signal over noise of the logits."""
    return -10 * log10(max(noise, 1e-12))


def _reward(ladders: Sequence[Sequence[Option]], picked: Sequence[int]) -> float:
    """The decibels of a choice: the noise of its layers adds up."""
    return decibels(sum(ladder[at].noise for ladder, at in zip(ladders, picked, strict=True)))


def _features(facts: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """HAQ's facts of a layer, each from 0 to 1 over the network: `(layers, 8)`."""
    rows = np.array(
        [
            [one["operator"] == "DEPTHWISE_CONV_2D", one["inputs"], one["outputs"], one["stride"], one["kernel"],
             one["weights"], one["places"], number]
            for number, one in enumerate(facts)
        ],
        np.float64,
    )  # fmt: skip
    low, high = rows.min(axis=0), rows.max(axis=0)
    return ((rows - low) / np.where(high > low, high - low, 1.0)).astype(np.float32)


class _Agent:
    """Actor and critic with their slow copies, and a memory of steps."""

    def __init__(self, features: np.ndarray, rungs: Sequence[int], seed: int) -> None:
        from zoo.keras import keras

        self.features, self.rungs = features, rungs
        self.draw = np.random.default_rng([seed, 0])
        keras.utils.set_random_seed(seed)
        states = features.shape[1] + 1
        self.actor, self.slow_actor = _network(states, "sigmoid"), _network(states, "sigmoid")
        self.critic, self.slow_critic = _network(states + 1, None), _network(states + 1, None)
        self.slow_actor.set_weights(self.actor.get_weights())
        self.slow_critic.set_weights(self.critic.get_weights())
        self.memory: list[tuple[np.ndarray, float, float, np.ndarray, bool]] = []
        self.baseline: float | None = None
        self._update = self._compiled()

    def walk(self, episode: int) -> list[float]:
        """An action for every layer, each knowing the one before."""
        before, actions = 0.5, []
        for facts in self.features:
            state = np.append(facts, before).astype(np.float32)
            if episode < WARM_UP:
                action = float(self.draw.uniform())
            else:
                spread = NOISE * NOISE_DECAY ** (episode - WARM_UP)
                action = self._noisy(float(self.actor(state[None])[0, 0]), spread)
            actions.append(action)
            before = action
        return actions

    def _noisy(self, mean: float, spread: float) -> float:
        """A normal draw around the actor's action, drawn again while it is not between 0 and 1."""
        for _ in range(100):
            value = float(self.draw.normal(mean, spread))
            if 0 <= value <= 1:
                return value
        return min(max(mean, 0.0), 1.0)

    def learn(self, picked: Sequence[int], reward: float, episode: int) -> None:
        """Remembers what the wall left of the walk, then as many updates as there are layers."""
        from zoo.keras import tf

        actions = [(at + 0.5) / rungs for at, rungs in zip(picked, self.rungs, strict=True)]
        befores = [0.5, *actions[:-1]]
        states = [np.append(facts, one).astype(np.float32) for facts, one in zip(self.features, befores, strict=True)]
        last = len(states) - 1
        for place, state in enumerate(states):
            following = states[min(place + 1, last)]
            self.memory.append((state, actions[place], reward, following, place == last))
        del self.memory[: -MEMORY_EPISODES * len(states)]
        mean = reward if self.baseline is None else self.baseline
        self.baseline = BASELINE_DECAY * mean + (1 - BASELINE_DECAY) * reward
        if episode < WARM_UP:
            return
        for _ in states:
            some = [self.memory[at] for at in self.draw.integers(len(self.memory), size=BATCH)]
            state, action, given, following, ends = (np.array(column, np.float32) for column in zip(*some, strict=True))
            batch = (state, action[:, None], given[:, None] - np.float32(self.baseline), following, ends[:, None])
            self._update(*(tf.constant(one) for one in batch))

    def _compiled(self) -> Any:
        from zoo.keras import keras, tf

        learners = keras.optimizers.Adam(ACTOR_RATE), keras.optimizers.Adam(CRITIC_RATE)
        learners[0].build(self.actor.trainable_variables)
        learners[1].build(self.critic.trainable_variables)

        @tf.function(autograph=False)
        def update(state: Any, action: Any, reward: Any, following: Any, ends: Any) -> None:
            later = self.slow_critic(tf.concat([following, self.slow_actor(following)], 1))
            wanted = tf.stop_gradient(reward + (1.0 - ends) * later)
            with tf.GradientTape() as tape:
                error = tf.reduce_mean((self.critic(tf.concat([state, action], 1)) - wanted) ** 2)
            variables = self.critic.trainable_variables
            learners[1].apply_gradients(zip(tape.gradient(error, variables), variables, strict=True))
            with tf.GradientTape() as tape:
                worth = -tf.reduce_mean(self.critic(tf.concat([state, self.actor(state)], 1)))
            variables = self.actor.trainable_variables
            learners[0].apply_gradients(zip(tape.gradient(worth, variables), variables, strict=True))
            for fast, slow in ((self.actor, self.slow_actor), (self.critic, self.slow_critic)):
                for one, copy in zip(fast.variables, slow.variables, strict=True):
                    copy.assign(TAU * one + (1 - TAU) * copy)

        return update


def _network(inputs: int, end: str | None) -> Any:
    from zoo.keras import keras

    last = keras.initializers.RandomUniform(-WEIGHTS_START, WEIGHTS_START)
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dense(HIDDEN, activation="relu"),
            keras.layers.Dense(HIDDEN, activation="relu"),
            keras.layers.Dense(1, activation=end, kernel_initializer=last),
        ]
    )
