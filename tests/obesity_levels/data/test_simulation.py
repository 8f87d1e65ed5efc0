import numpy as np
import pandas as pd
import pytest
from tests.conftest import ROOT
from tests.obesity_levels.yaml_files import REMOVED, with_changes

from obesity_levels.data.simulation import Population, as_text, damaged, draw_people, simulate
from obesity_levels.errors import ParamsError
from obesity_levels.evaluation.metrics import is_people
from obesity_levels.params import load_yaml
from obesity_levels.schema import CATEGORIES, COLUMNS, LABEL, LEVELS, SCALES


def test_the_same_seed_gives_the_same_table_and_another_another(population):
    one, same, other = (simulate(population, 300, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert not one.equals(other)


def test_there_are_as_many_rows_as_asked_for(population):
    assert [len(simulate(population, rows, 0)) for rows in (1, 2, 57, 2100)] == [1, 2, 57, 2100]


def test_people_are_valid_and_complete(people):
    assert people[list(COLUMNS)].notna().all().all()
    assert all(people[name].between(*scale).all() for name, scale in SCALES.items())
    assert all(people[name].isin(categories).all() for name, categories in CATEGORIES.items())
    assert set(people[LABEL]) == set(LEVELS)


def test_levels_and_people_have_the_shares_of_the_population(population):
    rows = draw_people(population, 20_000, np.random.default_rng(0))
    shares = rows[LABEL].value_counts(normalize=True)[list(LEVELS)].to_numpy()
    np.testing.assert_allclose(shares, np.array(population.shares) / sum(population.shares), atol=0.015)
    assert is_people(rows).mean() == pytest.approx(population.people, abs=0.02)


def test_the_body_mass_index_rises_from_level_to_level(people):
    index = people["Weight"] / people["Height"] ** 2
    assert index.groupby(people[LABEL]).median()[list(LEVELS)].is_monotonic_increasing


@pytest.fixture(scope="module")
def before_and_after(population):
    """The texts of 20,000 people, and the same damaged."""
    clean = as_text(draw_people(population, 20_000, np.random.default_rng(3)))
    return clean, damaged(clean, population.damage, np.random.default_rng(4))


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_is_damaged_in_every_way_of_a_real_file(population, before_and_after, column):
    before, after = (table[column] for table in before_and_after)
    missing = after.isin(population.damage.missing.markers)
    assert missing.mean() == pytest.approx(population.damage.missing.share, abs=0.003)
    assert set(after[missing]) == set(population.damage.missing.markers)
    padded = after[~missing].str.startswith(" ") & after[~missing].str.endswith(" ")
    assert padded.mean() == pytest.approx(0.05, abs=0.01)
    if column in SCALES:
        off = pd.to_numeric(after.str.strip(), errors="coerce")
        changed = off.notna() & (off != before.astype(float))
        assert changed.mean() == pytest.approx(population.damage.out_of_scale.share, abs=0.005)
        assert (~off[changed].between(*SCALES[column])).all()
    else:
        assert (after[~missing][padded].str.strip().str.swapcase() == before[~missing][padded]).all()
        assert (after[~missing][~padded] == before[~missing][~padded]).all()


def test_the_last_rows_are_copies_damaged_independently(population):
    table = simulate(population, 1000, seed=1)[list(COLUMNS)].to_numpy()
    alike = [(table[:980] == copy).sum(axis=1).max() for copy in table[980:]]
    # strangers agree on 9 cells or so; damage, and spelling most of all, takes 0 to 6 of the 17
    assert np.mean(alike) > 14
    assert any(count < 17 for count in alike)


def test_there_is_a_junk_column(population):
    junk = simulate(population, 500, seed=1)[population.damage.junk_column.name]
    assert set(population.damage.junk_column.words) <= set(junk)
    assert junk.str.isdigit().any()


def test_numbers_are_written_with_a_point_and_read_back_exactly(people):
    texts = as_text(people)
    for name in SCALES:
        assert texts[name].str.contains(".", regex=False).all()
        assert (texts[name].astype(float) == people[name]).all()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"people": 25}, r"people: Expected `float` < 1"),
        ({"habits.CH2O": REMOVED}, "habits must have exactly the keys FCVC, NCP, CH2O, FAF, TUE"),
        ({"choices.MTRANS.Bicycle": [1] * 7}, "choices.MTRANS must have exactly the keys"),
        ({"shares": [0.14, 0.14, 0.14, 0.16, 0.14, 0.15]}, r"shares: Expected `array` of length"),
        ({"damage": REMOVED, "damages": {}}, "damages: no such key: did you mean 'damage'"),
        ({"damage.out_of_scale.integers": [1000, 300]}, "integers must be the lowest, then the highest"),
        ({"shares": [0] * 7}, "shares must not all"),
        ({"damage.junk_column.name": "Age"}, "must not be one of the 17 columns"),
        ({"choices.CAEC.Always": [-4, 12, 5, 3, 1, 1, 1]}, r"choices.*: Expected `float` >= 0"),
        ({"damage.missing.markers": ["N,A", "n/a"]}, r"damage\.missing\.markers"),
    ],
)
def test_a_wrong_population_is_an_error_that_names_the_file_and_the_key(tmp_path, changes, named):
    path = with_changes(ROOT / "data/population.yaml", tmp_path, changes)
    with pytest.raises(ParamsError, match=named) as error:
        load_yaml(path, Population)
    assert str(path) in str(error.value)
