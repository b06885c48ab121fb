from __future__ import annotations

import pytest

from shared.printed import Printed


def test_an_entry_is_found_by_its_coordinates_and_one_that_is_not_there_is_named(tmp_path):
    (tmp_path / "reference").mkdir()
    (tmp_path / "reference/fig1.csv").write_text("arm,metric,mean,sd,epoch\na,err,5.5,,1\na,err,4,0.25,2\n")
    pages = Printed(tmp_path, "err")
    assert pages.mean("fig1", "a", epoch=2) == 4
    assert (pages.mean_sd("fig1", "a"), pages.mean_sd("fig1", "a", epoch=2)) == ((5.5, 0.0), (4.0, 0.25))
    with pytest.raises(LookupError, match=r"reference/fig1.csv has no loss of a \{'epoch': 2\}"):
        pages.mean("fig1", "a", "loss", epoch=2)
