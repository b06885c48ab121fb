"""What identifies a run of You et al. 2017."""

from __future__ import annotations

from shared.spec import RunSpec


class YouSpec(RunSpec):
    """A run of You et al.: polynomial decay with a linear warm-up, in epochs counted from the start."""

    warmup_epochs: float = 0.0
    warmup_lr: float = 0.0
    """Rate of the first update, where there is a warm-up."""
    power: float = 2.0
    jump: bool = True
    """The decay counts from update 0 through the warm-up, as in the authors' code; see ``method.learning_rate``."""
    local_rates: bool = False
    """Record λ of every tensor at each evaluation (Figure 2); for LARS."""
    random_net: str = ""
    """``norms``: a key of ``cells.NETS`` whose full net is measured on random images, not ``model`` on the data."""

    @property
    def takes_diverged(self) -> bool:
        """A trial that diverges is a trial, at chance level."""
        return self.task in ("best-of", "best-of-4")

    def extra_samples(self, train_size: int) -> float:
        """A winner of four is evaluated, and of a curve every trial; the full net on random images takes a minute."""
        if self.task == "norms":
            return 5e4 if self.random_net else 0.0
        return {"best-of": 3500.0 * len(self.parents), "best-of-4": 3500.0}.get(self.task, 0.0)
