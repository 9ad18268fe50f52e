import json
import math
import os
import pickle
import re
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import job_shops, stochastic_job_shops

from gapgym.instances import gap, gap_level, noise, text
from gapgym.instances.core import int_array, to_json_text
from gapgym.instances.job_shop import JobShopInstance, JobShopSolution

MACHINES, TIMES = [[0, 1], [1, 0]], [[3, 2], [2, 4]]


def exactly(message):
    return f"^{re.escape(message)}$"


# The gap.


@pytest.mark.parametrize(
    ("objective", "reference", "expected", "level"),
    [
        (110, 100, 0.1, 0),
        (100, 100, 0.0, None),
        (90, 100, -0.1, 0),
        (-90, -100, 0.1, 0),
        (0, 0, 0.0, None),
        ((1, 30, 7), (1, 20, 9), 0.5, 1),
        ((2, 0), (2, 0), 0.0, None),
        ((3, 0), (2, 9), 0.5, 0),
    ],
)
def test_gap_is_relative_at_the_first_level_that_differs(objective, reference, expected, level):
    assert gap(objective, reference) == pytest.approx(expected)
    assert gap_level(objective, reference) == level


@pytest.mark.parametrize(("objective", "reference"), [(5, 0), (-5, 0), ((1, 2), (1, 0))])
def test_gap_to_zero_is_not_a_number(objective, reference):
    assert math.isnan(gap(objective, reference))


@pytest.mark.parametrize(("objective", "reference"), [(5, (5, 1)), ((1, 2), (1, 2, 3))])
def test_gap_refuses_objectives_of_different_forms(objective, reference):
    message = f"objective {objective} and reference {reference}: expected one form."
    with pytest.raises(ValueError, match=exactly(message)):
        gap(objective, reference)


# Records.


def test_name_is_not_part_of_the_content():
    a = JobShopInstance(MACHINES, TIMES, name="a")
    b = JobShopInstance(MACHINES, TIMES, name="b")
    assert a == b
    assert len({a, b}) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"machines": [[1, 0], [1, 0]]},
        {"processing_times": [[3, 2], [2, 5]]},
        {"num_machines": 3},
        {"cv": 0.1},
        {"law": "uniform"},
        {"scenario": 1},
    ],
)
def test_every_other_field_is_part_of_the_content(fields):
    given_fields = {"machines": MACHINES, "processing_times": TIMES}
    original = JobShopInstance(**given_fields)
    changed = JobShopInstance(**{**given_fields, **fields})
    assert changed != original
    assert changed.digest != original.digest


def test_digest_does_not_depend_on_how_the_arrays_came():
    plain = JobShopInstance(MACHINES, TIMES)
    strange = JobShopInstance(
        np.asfortranarray(np.array(MACHINES, dtype=np.int8)), np.array(TIMES, dtype=np.uint16)
    )
    assert strange.digest == plain.digest


def test_digest_stays_the_same_across_versions():
    digest = "1faeb4bc93946d0aec4c1732ca765acba53b55327c1e645834edeed96eb8421c"
    assert JobShopInstance(MACHINES, TIMES).digest == digest


def test_records_of_different_classes_differ():
    assert JobShopSolution(MACHINES) != JobShopInstance(MACHINES, TIMES)
    assert JobShopSolution(MACHINES) != MACHINES


@given(instance=st.one_of(job_shops(name="x"), stochastic_job_shops()))
def test_json_and_pickle_give_the_record_back(instance):
    for copy in (
        JobShopInstance.from_json(json.loads(to_json_text(instance))),
        pickle.loads(pickle.dumps(instance)),
    ):
        assert copy == instance
        assert copy.name == instance.name
        assert copy.machines.dtype == np.int64


def test_arrays_of_a_record_cannot_be_changed():
    times = np.array(TIMES)
    instance = JobShopInstance(MACHINES, times)
    times[0, 0] = 99
    assert instance.processing_times[0, 0] == 3
    with pytest.raises(ValueError, match="read-only"):
        instance.processing_times[0, 0] = 99


FIELDS = "['machines', 'processing_times', 'num_machines', 'name', 'cv', 'law', 'scenario']"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], f"JSON: list, expected an object with {FIELDS}."),
        ({"problem": "tardiness"}, "JSON: problem 'tardiness', expected 'job_shop'."),
        ({"colour": 1}, f"JSON: unknown field 'colour', expected some of: {FIELDS}."),
        (
            {"machines": MACHINES},
            "JSON: JobShopInstance.__init__() missing 1 required positional argument:"
            f" 'processing_times', expected the fields {FIELDS}.",
        ),
        (
            {"machines": MACHINES, "processing_times": [[1.5, 2], [2, 4]]},
            "JSON: processing_times: float64 (2, 2), expected integers in 2 dimension(s).",
        ),
        (
            {"machines": MACHINES, "processing_times": [[1, 2], [2]]},
            "JSON: processing_times: ragged or not numeric, expected integers in 2 dimension(s).",
        ),
    ],
)
def test_bad_json_is_refused_with_its_reason(data, message):
    with pytest.raises(ValueError, match=exactly(message)):
        JobShopInstance.from_json(data)


def test_problem_may_be_left_out_of_json():
    instance = JobShopInstance(MACHINES, TIMES)
    plain = instance.to_json()
    assert plain.pop("problem") == "job_shop"
    assert JobShopInstance.from_json(plain) == instance


@pytest.mark.parametrize(
    "values", [[1.0], ["a"], [True], [[1]], 3, [[1], [1, 2]], [None], [2**70], [2**63]]
)
def test_int_array_refuses_all_but_integers_of_its_dimension(values):
    with pytest.raises(ValueError, match=r"^thing: .*, expected integers in "):
        int_array(values, "thing", 1)


def test_int_array_takes_an_empty_list():
    assert int_array([], "thing", 1).dtype == np.int64


# Text files.


def test_lines_know_their_place_and_skip_comments():
    found = list(text.lines("# head\n\n 1 2 \n#x\n3\n", "a.txt"))
    assert [(line.place, line.text) for line in found] == [
        ("a.txt, line 3", "1 2"),
        ("a.txt, line 5", "3"),
    ]
    assert found[0].integers() == [1, 2]


def test_a_word_that_is_no_integer_is_named_with_its_line():
    (line,) = text.lines("\n1 two", "a.txt")
    with pytest.raises(ValueError, match=exactly("a.txt, line 2: 'two', expected an integer.")):
        line.integers()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.txt: empty file."),
        (b" \n\t\n", "a.txt: empty file."),
        (b"1 2\0", "a.txt: not text (byte 3 is 0), expected UTF-8."),
        (b"ab\xff", "a.txt: not text (byte 2), expected UTF-8."),
    ],
)
def test_what_is_not_text_is_refused(tmp_path, content, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(ValueError, match=exactly(message)):
        text.read_text(tmp_path / "a.txt")


def test_reading_a_folder_or_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match=exactly(f"{tmp_path}: a folder, expected a file.")):
        text.read_text(tmp_path)
    with pytest.raises(FileNotFoundError):
        text.read_text(tmp_path / "missing.txt")


def test_byte_order_mark_is_not_content(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf1 2")
    assert text.read_text(tmp_path / "a.txt") == "1 2"


def test_bad_json_names_its_line(tmp_path):
    (tmp_path / "a.json").write_text("[1,\n2,}")
    message = "a.json, line 2: Expecting value, expected JSON."
    with pytest.raises(ValueError, match=exactly(message)):
        text.read_json(tmp_path / "a.json")


def test_written_files_have_the_usual_permissions(tmp_path):
    mask = os.umask(0o022)
    try:
        text.write_text(tmp_path / "a.txt", "1")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644


def test_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    text.write_text(tmp_path / "a.txt", "old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        text.write_text(tmp_path / "a.txt", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


# Counter-based randomness.


def splitmix64(z):
    """The output function of SplitMix64 in plain integers."""
    z = (z + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_splitmix64_gives_its_published_first_number():
    assert splitmix64(0) == 0xE220A8397B1DCDAF


@given(seed=st.integers(-(2**70), 2**70), keys=st.tuples(*[st.integers(0, 2**63)] * 2))
def test_uniforms_are_splitmix64_of_the_keys(seed, keys):
    state = seed % 2**64
    for key in keys:
        state = splitmix64(state ^ splitmix64((key + 0x9E3779B97F4A7C15) % 2**64))
    drawn = noise.uniforms(seed, *keys)
    assert drawn == ((state >> 11) + 0.5) / 2**53
    assert 0 < drawn < 1


def test_uniforms_do_not_depend_on_what_else_is_drawn():
    job, operation = np.ogrid[:20, :30]
    drawn = noise.uniforms(7, job, operation)
    assert drawn.shape == (20, 30)
    assert noise.uniforms(7, 3, 5) == drawn[3, 5]
    assert noise.uniforms(7, [5, 4], 9).tolist() == [drawn[5, 9], drawn[4, 9]]


def test_uniforms_look_uniform_and_independent():
    job, operation = np.ogrid[:300, :300]
    drawn = noise.uniforms(1, job, operation)
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    assert abs(counts / 4500 - 1).max() < 0.08
    other = noise.uniforms(2, job, operation)
    for shifted in (drawn[1:].ravel(), drawn[:-1].ravel()), (drawn.ravel(), other.ravel()):
        assert abs(np.corrcoef(*shifted)[0, 1]) < 0.02


@pytest.mark.parametrize(("law", "cv"), [("lognormal", 0.3), ("uniform", 0.3), ("uniform", 0.5)])
def test_durations_have_the_mean_and_the_cv_of_their_law(law, cv):
    drawn = noise.durations(np.full(100_000, 1000), cv, law, 5, np.arange(100_000))
    assert drawn.mean() == pytest.approx(1000, rel=0.01)
    assert drawn.std() / drawn.mean() == pytest.approx(cv, rel=0.02)
    assert drawn.dtype == np.int64


@given(seed=st.integers(0, 2**40), law=st.sampled_from(["uniform", "lognormal"]))
def test_nothing_takes_no_time_and_something_takes_some(seed, law):
    mean = np.tile([0, 1, 2], 50)
    drawn = noise.durations(mean, 0.57, law, seed, np.arange(150))
    assert ((drawn == 0) == (mean == 0)).all()
    assert (drawn >= 0).all()


@pytest.mark.parametrize(
    ("cv", "law", "message"),
    [
        (0.6, "uniform", "cv 0.6, expected between 0 and 0.577 for a uniform law."),
        (-0.1, "lognormal", "cv -0.1, expected between 0 and 2.000 for a lognormal law."),
        (math.nan, "lognormal", "cv nan, expected between 0 and 2.000 for a lognormal law."),
        (0.1, "normal", "law 'normal', expected one of: uniform, lognormal."),
    ],
)
def test_unknown_laws_are_refused(cv, law, message):
    with pytest.raises(ValueError, match=exactly(message)):
        noise.check_law(cv, law)
