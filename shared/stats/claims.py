"""What a claim in ``claims.toml`` may say: strict models with errors that name the claim and the remedy.

A claim is a conjunction: every one of its elementary tests must hold. Arms are templates over the paper's roles
(``kn-{large}-no-warmup``); a role that holds several values makes one elementary test for each.
"""

from __future__ import annotations

from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from shared.paper import Paper
from shared.stats.rules import FEATURES, RuleName

Strength = Literal["full", "direction"]
Tag = Literal["V", "V2", "D", "M"]
DEFAULT_METRIC = "val/error_last5_median"


class ClaimError(ValueError):
    """A claim that cannot be accepted; the message names the claim, the field and the remedy."""


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Printed(Strict):
    """A number of the paper and how far it can be trusted."""

    mean: float
    sd: float | None = None
    n: int | None = Field(None, ge=1)
    digits: int | None = Field(None, ge=0)
    """Digits printed after the point."""
    tag: Tag
    """V read in the source, V2 in two places, D derived by arithmetic, M from memory."""
    label: str | None = Field(None, min_length=1)
    """What the number is of, where its arm or the test it stands at does not say so."""


class Term(Strict):
    """One arm's value per seed; with ``against`` the mean absolute distance of its curve from that arm's curve."""

    arm: str
    weight: float = 1.0
    metric: str | None = None
    """Instead of the test's metric."""
    against: str | None = None
    against_metric: str | None = None
    """Metric of the other curve, where it differs."""

    @property
    def templates(self) -> tuple[str, ...]:
        return (self.arm,) if self.against is None else (self.arm, self.against)


class Test(Strict):
    """One rule applied to arms; how many elementary tests that makes follows from the roles."""

    __test__ = False  # pytest would collect it by its name
    rule: RuleName
    metric: str | None = None
    """Instead of the claim's metric."""
    a: tuple[Term, ...] = ()
    b: tuple[Term, ...] = ()
    """The contrast is Σ weight·a − Σ weight·b. An arm's name alone is one term of weight 1."""
    arms: tuple[str, ...] = ()
    """``monotone``, ``scales_as``, ``fits_better``: the sequence, roles expanded in their order."""
    x: str | None = None
    """Config key of the abscissa (``batch_size``)."""
    models: tuple[str, str] | None = None
    """``fits_better``: the better model, then the other."""
    target: float | None = None
    """``scales_as``: the exponent."""
    over: tuple[float, float] = (0.0, 1.0)
    """Stretch of training, as fractions of its length, over which curves are compared."""
    margin: float | dict[str, float] = 0.0
    """One for all presets, or one for each."""
    paired: bool = False
    """``greater``, ``equivalent``: seed by seed, where arms share what a seed draws (a subset of the images, the start)
    and its spread would hide the difference."""
    only: tuple[str, ...] = ()
    """Presets in which this test takes part (none named: all that the claim speaks for)."""
    check: str | None = None
    """``exact``: a function of the paper's ``checks`` module."""
    reference: Printed | None = None
    """A number that the paper states on this test's matter, where it does not follow from the numbers of the arms. It
    need not be of our contrast (the paper may have another baseline), so it is shown under its own ``label``."""

    @field_validator("a", "b", mode="before")
    @classmethod
    def _terms(cls, value: Any) -> Any:
        return ({"arm": value},) if isinstance(value, str) else value

    @field_validator("arms", mode="before")
    @classmethod
    def _arms(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _complete(self):
        needs = {
            "within": ("a",),
            "equivalent": ("a", "b"),
            "greater": ("a",),
            "monotone": ("arms",),
            "scales_as": ("arms", "x", "target"),
            "fits_better": ("arms", "x", "models"),
            "curves_overlap": ("a", "b"),
            "exact": ("check",),
        }[self.rule]
        every = ("a", "b", "arms", "x", "models", "target", "check")
        given = {name for name in every if getattr(self, name) not in ((), None)}
        optional = {"b"} if self.rule == "greater" else set()
        if missing := [n for n in needs if n not in given]:
            raise ValueError(f"rule {self.rule} needs {', '.join(missing)}")
        if spare := sorted(given - set(needs) - optional):
            raise ValueError(f"rule {self.rule} does not use {', '.join(spare)}: remove it")
        if self.rule in ("within", "equivalent", "scales_as", "curves_overlap"):
            values = self.margin.values() if isinstance(self.margin, dict) else (self.margin,)
            if any(v <= 0 for v in values):
                raise ValueError(f"rule {self.rule} needs a margin above 0")
        if self.rule == "curves_overlap" and any(t.against or t.weight != 1 for t in (*self.a, *self.b)):
            raise ValueError("curves_overlap compares the curves of a and b themselves: no against, no weight")
        if self.paired and self.rule not in ("greater", "equivalent"):
            raise ValueError("paired is for the rules greater and equivalent")
        if self.rule in ("within", "curves_overlap") and (len(self.a) != 1 or len(self.b) > 1):
            raise ValueError(f"rule {self.rule} takes one arm on each side")
        if self.models and (bad := [m for m in self.models if m not in FEATURES]):
            raise ValueError(f"unknown model {bad[0]!r}; there are: {', '.join(FEATURES)}")
        if not 0 <= self.over[0] < self.over[1] <= 1:
            raise ValueError(f"over must be two rising fractions of training, not {self.over}")
        return self

    @property
    def templates(self) -> tuple[str, ...]:
        return (*self.arms, *(name for term in (*self.a, *self.b) for name in term.templates))

    def margin_at(self, preset: str) -> float:
        return self.margin[preset] if isinstance(self.margin, dict) else self.margin

    @property
    def below(self) -> bool:
        """``greater`` of −x, which is how a claim says that x is less than a bound; it is reported as that."""
        return self.rule == "greater" and not self.b and all(term.weight < 0 for term in self.a)

    def words_at(self, preset: str) -> tuple[str, float]:
        """Rule and margin as they are reported."""
        margin = self.margin_at(preset)
        return ("less", -margin or 0.0) if self.below else (self.rule, margin)

    def speaks_at(self, preset: str) -> bool:
        return not self.only or preset in self.only


class NotRun(Strict):
    """Why a claim has no runs in this suite, and what it would take."""

    reason: str = Field(min_length=1)
    command: str = ""
    """The nearest one, which does not decide it; empty: nothing here comes near."""


class Claim(Strict):
    """A falsifiable statement of the paper, as data."""

    id: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")
    where: str = Field(min_length=1)
    own: bool = False
    """We put the claim to the paper: a control, a choice, or a net, data or measure that the paper does not have."""
    says: str = Field(min_length=1)
    metric: str = DEFAULT_METRIC
    presets: dict[Literal["paper", "reduced"], Strength] = {}
    """Which presets may speak, and how strongly: ``full`` may refute, ``direction`` judges signs and shapes."""
    min_seeds: int = Field(5, ge=2)
    numbers: dict[str, Printed] = {}
    """The paper's printed numbers by arm of the paper preset, in the claim's metric."""
    no_numbers: str | None = None
    """Why there are none."""
    not_run: NotRun | None = None
    requires: tuple[str, ...] = ()
    """Claims without which this one means nothing ("closes the gap" where no gap is established): as long as one of
    them is not reproduced, what would be reproduced is inconclusive. It never makes a claim hold."""
    once: bool = False
    """What it compares was chosen once for all seeds (a tuned rate): however many runs repeat it, n is 1, and one has
    no spread. It never makes a claim hold."""
    late: bool = False
    """Post hoc whatever git shows: some of the declared seeds had run, or were added after a look at the others. Git
    forgets that when they are trained again, as in every clone, and does not see it where what was edited is a role in
    the code."""
    test: tuple[Test, ...] = ()

    @model_validator(mode="after")
    def _complete(self):
        if bool(self.test) == bool(self.not_run):
            raise ValueError("give [[claim.test]] entries, or [claim.not_run] with a reason")
        if not (self.numbers or self.no_numbers or any(t.reference for t in self.test)):
            raise ValueError("give the paper's numbers, or no_numbers with the reason why there are none")
        exact = [t for t in self.test if t.rule == "exact"]
        if exact and len(exact) != len(self.test):
            raise ValueError("exact checks and tests on runs belong in separate claims")
        if self.test and not exact and not self.presets:
            raise ValueError('presets is empty: say who may speak, e.g. presets = {paper = "full"}')
        for test in self.test:
            if unknown := [p for p in test.only if p not in self.presets]:
                raise ValueError(f"only names {unknown[0]!r}, for which the claim does not speak")
            spoken = [p for p in self.presets if test.speaks_at(p)]
            if isinstance(test.margin, dict) and set(test.margin) != set(spoken):
                raise ValueError(f"margin must name exactly {', '.join(spoken)}, not {', '.join(test.margin)}")
            if test.rule == "within" and any(self.presets[p] != "full" for p in spoken):
                raise ValueError('within judges a printed number: add only = ["paper"] (a preset of strength full)')
        for preset in self.presets:
            if not any(t.speaks_at(preset) for t in self.test):
                raise ValueError(f"no test takes part in {preset}, for which the claim speaks")
        return self

    @property
    def exact(self) -> bool:
        return any(t.rule == "exact" for t in self.test)


def parse_claims(raw: list[dict[str, Any]], source: str = "claims.toml") -> tuple[Claim, ...]:
    """Validated claims in order; ClaimError names every field that is wrong, or an id used twice."""
    found, wrong = [], []
    for position, entry in enumerate(raw, start=1):
        name = entry.get("id", f"number {position}")
        try:
            found.append(Claim.model_validate(entry))
        except ValidationError as error:
            for e in error.errors():
                at = ", ".join([f"claim {name}", ".".join(map(str, e["loc"]))]) if e["loc"] else f"claim {name}"
                wrong.append(f"{source}: {at}: {e['msg'].removeprefix('Value error, ')}")
    counts = Counter(c.id for c in found)
    wrong += [f"{source}: claim {i} stands twice: ids must be unique" for i, n in sorted(counts.items()) if n > 1]
    wrong += [f"{source}: claim {c.id}: requires names {r!r}, which is no other claim" for c in found
              for r in c.requires if r == c.id or r not in counts]  # fmt: skip
    try:
        TopologicalSorter({c.id: c.requires for c in found}).prepare()
    except CycleError as error:
        wrong.append(f"{source}: claims require each other in a circle: {' → '.join(error.args[1])}")
    if wrong:
        raise ClaimError("\n".join(wrong))
    return tuple(found)


def load_claims(paper: Paper) -> tuple[Claim, ...]:
    """The claims of a paper, validated."""
    return parse_claims(paper.claims(), str(Path(paper.folder.name) / "claims.toml"))
