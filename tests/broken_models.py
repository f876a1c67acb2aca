"Models that are broken on purpose, for the report: each a toy that goes wrong at another stage."
import os
import signal
import time

from emotts_nb.training.state import ToyTask


class Toy(ToyTask):
    "Trains well, and leaves no voice (the report's task must write voice.safetensors)."
    def __init__(self, preset="tiny", seed=0):
        super().__init__(seed=seed)
        self.config |= dict(preset=preset)


class Unmade(Toy):
    def __init__(self, *a, **kw): raise ValueError("no such layer:\nsecond line")


class Crashing(Toy):
    def learning_rate(self, step, total_steps):
        if step >= 2: os.kill(os.getpid(), signal.SIGSEGV)
        return super().learning_rate(step, total_steps)


class Named(Toy):
    "Leaves a file of the right name, with nothing in it."
    def finish(self, run_dir, train_utterances, step): (run_dir / "voice.safetensors").write_bytes(b"")


class Forgetful(Named):
    "Its state after a kill is another one: it counts calls that no checkpoint knows of."
    calls = 0

    def loss(self, batch, step):
        self.calls += 1
        return {k: (total * (1 + 0.1 * self.calls), scale) for k, (total, scale) in super().loss(batch, step).items()}


class Hanging(Toy):
    def learning_rate(self, step, total_steps):
        if step >= 2: time.sleep(600)
        return super().learning_rate(step, total_steps)


class Greedy(Toy):
    def loss(self, batch, step):
        import torch
        torch.empty(1 << 60)
        return super().loss(batch, step)
