import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tests.obesity_levels.drift.conftest import CONFIDENCE

from obesity_levels.drift import histograms
from obesity_levels.drift.batch import score
from obesity_levels.errors import ArtifactError
from obesity_levels.model.features import MISSING

counts = st.lists(st.integers(0, 1000), min_size=2, max_size=8).filter(any).map(np.array)
pairs = st.integers(2, 8).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 1000), min_size=n, max_size=n).filter(any).map(np.array)] * 2)
)


def test_the_psi_of_a_worked_example():
    # shares 1/4, 3/4 against 1/2, 1/2: 0.25 ln 2 + 0.25 ln 1.5
    expected = 0.25 * np.log(2) + 0.25 * np.log(1.5)
    assert histograms.population_stability_index(np.array([10, 30]), np.array([50, 50])) == pytest.approx(expected)


def test_an_empty_cell_gets_half_a_count_where_the_other_histogram_has_one():
    # shares 0.5/10.5, 10/10.5 against 1/2, 1/2
    p = np.array([0.5, 10]) / 10.5
    expected = ((p - 0.5) * np.log(p / 0.5)).sum()
    assert histograms.population_stability_index(np.array([5, 5]), np.array([0, 10])) == pytest.approx(expected)


def test_a_cell_that_is_empty_in_both_says_nothing():
    assert histograms.population_stability_index(np.array([5, 0, 7]), np.array([9, 0, 2])) == pytest.approx(
        histograms.population_stability_index(np.array([5, 7]), np.array([9, 2]))
    )


@given(pairs)
def test_the_psi_is_never_negative_and_finite(pair):
    assert 0 <= histograms.population_stability_index(*pair) < np.inf


@given(counts, st.integers(1, 50))
def test_equal_shares_have_a_psi_of_0(reference, times):
    found = histograms.population_stability_index(reference, reference * times)
    assert found == pytest.approx(0, abs=0.3 / reference.sum())


@given(pairs)
def test_chi_squared_is_that_of_scipy(pair):
    reference, current = (c[pair[0] + pair[1] > 0] for c in pair)
    statistic, freedom, least = histograms.chi_squared(*pair)
    if len(reference) == 1:
        assert (statistic, freedom) == (0, 0)
        return
    expected = stats.chi2_contingency([reference, current], correction=False)
    assert statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-9)
    assert freedom == expected.dof
    assert least == pytest.approx(expected.expected_freq.min())


@given(pairs)
def test_of_many_histograms_each_is_compared_as_if_alone(pair):
    reference, current = pair
    many = np.stack([current, reference, current + 1])
    for function in (histograms.population_stability_index, lambda *both: histograms.chi_squared(*both)[0]):
        together = function(reference, many)
        assert together.tolist() == pytest.approx([float(function(reference, one)) for one in many])


@pytest.mark.parametrize("current", [[1, 2, 3], [0, 0]])
def test_histograms_of_other_cells_or_without_an_observation_are_refused(current):
    with pytest.raises(ValueError, match="cells|observation"):
        histograms.population_stability_index(np.array([1, 2]), np.array(current))


@given(st.lists(st.floats(0, 1e3, width=32), min_size=2, max_size=200), st.integers(2, 12))
def test_edges_rise_and_leave_no_cell_of_the_reference_empty_unless_all_values_are_equal(values, bins):
    values = np.array(values, dtype=np.float32)
    edges = histograms.quantile_edges(values, bins)
    assert edges == sorted(set(edges))
    filled = np.bincount(np.searchsorted(np.array(edges, np.float32), values, side="right"), minlength=len(edges) + 1)
    assert len(filled) == len(edges) + 1
    if len(set(values.tolist())) > 1:
        assert len(filled) <= bins
        assert (filled > 0).all()
    else:
        assert filled.tolist() == [0, len(values), 0]


@given(st.data())
def test_a_number_lies_in_the_last_cell_whose_edge_it_reaches(world, data):
    """Also the edges themselves, and the numbers just below them."""
    cells = world.detector.cells
    at, column = data.draw(st.sampled_from(list(enumerate(world.reference.columns[:-1]))))
    if column.edges is None:
        values = np.arange(-1, len(column.categories), dtype=np.float32)
        expected = values.astype(int) + 1
    else:
        edges = np.array(column.edges, dtype=np.float32)
        some = data.draw(st.lists(st.floats(0, 1000, width=32), max_size=20))
        values = np.array([MISSING, *edges, *np.nextafter(edges, np.float32(0)), *some], dtype=np.float32)
        expected = np.where(values == MISSING, 0, 1 + (values[:, None] >= edges).sum(axis=1))
    matrix = np.full((len(values), len(world.reference.columns) - 1), MISSING, dtype=np.float32)
    matrix[:, at] = values
    present, missing = cells.of_column(cells.count(matrix, np.zeros(len(values), dtype=np.int64)), at)
    assert [int(missing), *present.tolist()] == np.bincount(expected, minlength=len(present) + 1).tolist()
    present, missing = cells.of_column(cells.count_many(matrix, np.zeros(len(values), dtype=np.int64)), at)
    assert [int(missing), *present.tolist()] == np.bincount(expected, minlength=len(present) + 1).tolist()


def test_the_psi_of_counts_is_that_of_the_rows(world, fresh):
    """The service, which has counts, and the stage, which has rows, say the same."""
    batch = score(fresh, world.classifier, CONFIDENCE)
    counted = world.detector.cells.count(batch.matrix[0], batch.levels[0])
    assert np.array_equal(world.detector.cells.count_many(batch.matrix[0], batch.levels[0]), counted)
    judged = histograms.judge(world.reference, world.detector.cells, counted)
    assert [column.psi for column in judged.columns] == pytest.approx(world.results(fresh).columns.psi[0].tolist())


def test_a_threshold_between_two_sizes_lies_between_theirs():
    assert histograms.critical([100, 400], [0.4, 0.1], 100) == pytest.approx(0.4)
    assert 0.1 < histograms.critical([100, 400], [0.4, 0.1], 200) < 0.4
    assert histograms.critical([100, 400], [0.4, 0.1], 50) == pytest.approx(0.8)
    assert histograms.critical([100, 400], [0.4, 0.1], 10**6) == pytest.approx(0.1)


def test_a_window_of_few_rows_is_not_judged(world):
    cells = world.detector.cells
    counted = cells.count(world.train.matrix("full")[:199], np.zeros(199, dtype=np.int64))
    assert histograms.judge(world.reference, cells, counted).verdict == "too few rows to tell"
    assert histograms.judge(world.reference, cells, np.zeros(cells.total, dtype=np.int64)).rows == 0


def test_a_window_in_which_a_column_is_missing_alarms_for_it(world):
    cells = world.detector.cells
    matrix = world.train.matrix("full")[:500].copy()
    age = [column.name for column in world.reference.columns].index("Age")
    matrix[:, age] = MISSING
    judged = histograms.judge(world.reference, cells, cells.count(matrix, world.held_out.scored.levels[0][:500]))
    assert [column.name for column in judged.columns if column.alarm] == ["Age"]
    assert judged.columns[age].psi is None
    assert judged.columns[age].missing_share == 1


@pytest.fixture
def written(world, tmp_path):
    """The reference, written with changes and read for the model of `world`."""
    path = tmp_path / "drift_reference.json"

    def read(change=lambda content: None):
        content = msgspec.to_builtins(world.reference)
        change(content)
        path.write_text(json.dumps(content))
        return histograms.load_reference(path, world.classifier.manifest)

    return read


def test_a_reference_is_read_as_it_was_written(world, written):
    assert written() == world.reference


@pytest.mark.parametrize(
    "change",
    [
        lambda reference: reference.update(format=99),
        lambda reference: reference.update(columns=[]),
        lambda reference: reference.update(sizes=[]),
        lambda reference: reference.update(sizes=reference["sizes"][::-1]),
        lambda reference: reference.update(sizes=[0, *reference["sizes"][1:]]),
        lambda reference: reference["columns"][0].update(counts=[1]),
        lambda reference: reference["columns"][1].update(edges=None),
        lambda reference: reference["columns"][2].update(psi_critical=[]),
        lambda reference: reference["columns"][3].update(counts=[0] * len(reference["columns"][3]["counts"])),
        lambda reference: reference.pop("thresholds"),
    ],
)
def test_a_reference_that_does_not_fit_together_is_refused(written, change):
    with pytest.raises(ArtifactError, match="drift_reference.json is not"):
        written(change)


def test_a_reference_that_is_not_there_names_the_commands_that_bring_it(world, tmp_path):
    with pytest.raises(ArtifactError, match="run `dvc repro`, or `dvc pull`"):
        histograms.load_reference(tmp_path / "drift_reference.json", world.classifier.manifest)
