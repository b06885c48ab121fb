"""What claims.toml may say, and what the errors say when it says something else."""

from __future__ import annotations

import tomllib

import pytest

from shared.stats.claims import ClaimError, parse_claims

GOOD = """
[[claim]]
id = "X1"
where = "Table 1"
says = "Cold is worse."
presets = { paper = "full", reduced = "direction" }
numbers = { "b-2" = { mean = 1.0, tag = "V" } }
[[claim.test]]
rule = "greater"
a = "b-{good}"
b = "b-{base}"
margin = { paper = 0.3, reduced = 0.0 }
"""


def parse(text: str):
    return parse_claims(tomllib.loads(text)["claim"])


def test_a_claim_and_its_defaults():
    (claim,) = parse(GOOD)
    assert claim.metric == "val/error_last5_median"
    assert claim.min_seeds == 5
    assert (claim.test[0].a[0].arm, claim.test[0].a[0].weight) == ("b-{good}", 1.0)
    assert [claim.test[0].margin_at(p) for p in ("paper", "reduced")] == [0.3, 0.0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('where = "Table 1"', 'wher = "Table 1"', r"claim X1, wher: Extra inputs"),
        ('says = "Cold is worse."', 'says = ""', "claim X1, says"),
        ('rule = "greater"', 'rule = "bigger"', "claim X1, test.0.rule"),
        ('rule = "greater"', 'rule = "equivalent"', "equivalent needs a margin above 0"),
        ('rule = "greater"', 'rule = "monotone"', "monotone needs arms"),
        ('a = "b-{good}"', "", "greater needs a"),
        ('a = "b-{good}"', 'a = "b-{good}"\nx = "lr"', "does not use x: remove it"),
        (
            "margin = { paper = 0.3, reduced = 0.0 }",
            "margin = { paper = 0.3 }",
            "margin must name exactly paper, reduced",
        ),
        ("margin = { paper = 0.3, reduced = 0.0 }", 'only = ["smoke"]', "only names 'smoke'"),
        ("margin = { paper = 0.3, reduced = 0.0 }", 'only = ["paper"]', "no test takes part in reduced"),
        ("margin = { paper = 0.3, reduced = 0.0 }", "over = [0.5, 0.2]", "rising fractions"),
        ('numbers = { "b-2" = { mean = 1.0, tag = "V" } }', "", "no_numbers with the reason"),
        ('presets = { paper = "full", reduced = "direction" }', "", "presets is empty"),
        ('presets = { paper = "full", reduced', 'presets = { paper = "full", smoke', "presets.smoke"),
        ('tag = "V"', 'tag = "guess"', "tag"),
    ],
)
def test_errors_name_the_claim_and_the_remedy(old, new, message):
    assert old in GOOD
    with pytest.raises(ClaimError, match=message):
        parse(GOOD.replace(old, new, 1))


def test_within_is_for_presets_that_may_refute_a_printed_number():
    text = GOOD.replace('"greater"', '"within"').replace('b = "b-{base}"', "")
    text = text.replace("margin = { paper = 0.3, reduced = 0.0 }", "margin = 0.3")
    with pytest.raises(ClaimError, match='add only = \\["paper"\\]'):
        parse(text)


def test_a_claim_has_tests_or_a_reason_not_to_run():
    head = GOOD.split("[[claim.test]]")[0].replace('presets = { paper = "full", reduced = "direction" }', "")
    with pytest.raises(ClaimError, match="not_run"):
        parse(head)
    (claim,) = parse(head + '[claim.not_run]\nreason = "needs 256 GPUs"\ncommand = "make replicate-fake PRESET=paper"')
    assert claim.not_run.reason == "needs 256 GPUs"


def test_ids_are_unique_and_all_errors_are_told_at_once():
    with pytest.raises(ClaimError, match="claim X1 stands twice"):
        parse(GOOD + GOOD)
    for other in ("X1", "X9"):
        with pytest.raises(ClaimError, match=f"claim X1: requires names '{other}', which is no other claim"):
            parse(GOOD.replace('id = "X1"', f'id = "X1"\nrequires = ["{other}"]'))
    circle = (GOOD.replace('id = "X1"', f'id = "X{i}"\nrequires = ["X{3 - i}"]') for i in (1, 2))
    with pytest.raises(ClaimError, match="require each other in a circle: X"):
        parse("".join(circle))
    with pytest.raises(ClaimError) as caught:
        parse(GOOD.replace("where", "wher") + GOOD.replace("X1", "X2").replace("says", "sais"))
    assert "wher" in str(caught.value)
    assert "sais" in str(caught.value)
