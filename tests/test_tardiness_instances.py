import json
import re
from dataclasses import replace

import numpy as np
import pytest
from brute_force import tardiness_cost, tardiness_optimum
from hypothesis import given
from hypothesis import strategies as st
from strategies import stochastic_tardiness_instances, tardiness_instances

from gapgym.instances import FAMILIES, cache, load, load_all, tardiness
from gapgym.instances.tardiness import (
    GENERATORS,
    TardinessInstance,
    TardinessSolution,
    best_known,
    due_date_range,
    generate,
    head_bound,
    lower_bound,
    matching_bound,
    metrics,
    normal,
    objective,
    picture,
    pvw,
    read,
    spans,
    tardiness_factor,
    upper_bound,
    validate,
    write,
)
from gapgym.instances.tardiness_files import content_key, normalise, parse, to_text

#: The example of arXiv:2510.24013, whose optimum is 141.
TOY = TardinessInstance([10, 11, 10, 10, 11, 10], [15, 11, 13, 11, 12, 11], name="toy")
#: One job of each kind: released late, heavy, with a setup after another.
FULL = TardinessInstance(
    [3, 2, 4],
    [5, 2, 20],
    weights=[2, 5, 1],
    release_dates=[4, 0, 0],
    setups=[[1, 2, 3], [9, 1, 2], [2, 9, 0], [0, 3, 9]],
)


def exactly(message):
    return f"^{re.escape(message)}$"


def sequences(instance):
    return st.permutations(range(instance.num_jobs))


ANY = tardiness_instances() | stochastic_tardiness_instances()


# The referee.


def test_costs_worked_out_by_hand():
    for instance, sequence, times, cost in (
        (TOY, [3, 5, 2, 0, 1, 4], [10, 20, 30, 40, 51, 62], 141),
        (TOY, [1, 0, 2, 3, 5, 4], [11, 21, 31, 41, 51, 62], 144),
        (FULL, [1, 0, 2], [4, 9, 15], 5 * 2 + 2 * 4),
        (FULL, [2, 0, 1], [7, 10, 13], 2 * 5 + 5 * 11),
        (FULL, [0, 2, 1], [8, 14, 19], 2 * 3 + 5 * 17),
    ):
        solution = TardinessSolution(sequence)
        validate(instance, solution)
        assert spans(instance, solution.sequence)[:, 2].tolist() == times
        assert objective(instance, solution) == cost


def test_a_setup_waits_for_the_release_of_its_job():
    assert spans(FULL, np.array([1, 0, 2])).tolist() == [[0, 2, 4], [4, 6, 9], [9, 11, 15]]


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ([0, 1], "sequence (2,), expected (3,)."),
        ([0, 1, 3], "position 2: job 3, expected 0..2."),
        ([0, -1, -1], "position 1: job -1, expected 0..2."),
        ([2, 1, 2], "job 2: in positions 0 and 2, expected once (job 0 is missing)."),
    ],
)
def test_what_is_no_sequence_is_refused_with_its_reason(sequence, message):
    solution = TardinessSolution(sequence)
    for check in (validate, objective):
        with pytest.raises(ValueError, match=exactly(message)):
            check(FULL, solution)


@given(data=st.data(), instance=ANY)
def test_referee_agrees_with_the_definition(data, instance):
    sequence = data.draw(sequences(instance))
    assert objective(instance, TardinessSolution(sequence)) == tardiness_cost(instance, sequence)


def test_metrics_are_those_of_the_jobs():
    assert metrics(FULL, TardinessSolution([1, 0, 2])) == {
        "num_tardy": 2,
        "max_tardiness": 4,
        "mean_tardiness": 2,
        "makespan": 15,
    }


def test_table_of_a_sequence_has_a_row_per_position():
    frame = TardinessSolution([2, 0, -1]).to_frame()
    assert frame.to_dict("list") == {"position": [0, 1], "job": [2, 0]}


# Bounds.


@given(instance=ANY)
def test_bounds_are_ordered_and_never_above_the_optimum(instance):
    optimum = tardiness_optimum(instance)
    for bound in (matching_bound(instance), head_bound(instance)):
        assert 0 <= bound <= lower_bound(instance) <= optimum


@given(data=st.data(), instance=ANY)
def test_no_sequence_costs_more_than_the_upper_bound(data, instance):
    sequence = data.draw(sequences(instance))
    assert tardiness_cost(instance, sequence) <= upper_bound(instance)
    assert spans(instance, np.array(sequence))[-1, 2] <= instance.horizon


@given(instance=tardiness_instances(plain=True, weighted=False))
def test_the_matching_bound_is_not_below_the_matching(instance):
    p, d = sorted(instance.processing_times.tolist()), sorted(instance.due_dates.tolist())
    times = np.cumsum(p).tolist()
    matched = sum(max(0, c - due) for c, due in zip(times, d, strict=True))
    assert matching_bound(instance) >= matched


@given(p=st.lists(st.integers(1, 9), min_size=1, max_size=6), due=st.integers(-5, 40))
def test_the_matching_bound_is_the_optimum_where_all_are_due_at_once(p, due):
    instance = TardinessInstance(p, [due] * len(p))
    assert matching_bound(instance) == tardiness_optimum(instance)


@given(p=st.lists(st.integers(1, 9), min_size=1, max_size=5), data=st.data())
def test_the_matching_bound_is_the_optimum_for_equal_weighted_jobs_due_at_once(p, data):
    weight = data.draw(st.integers(1, 5))
    instance = TardinessInstance(p, [0] * len(p), weights=[weight] * len(p))
    assert matching_bound(instance) == tardiness_optimum(instance)


def test_many_different_weights_are_bounded_in_fewer_layers():
    rng = np.random.default_rng(0)
    instance = TardinessInstance(
        rng.integers(1, 50, 300), rng.integers(0, 2000, 300), weights=np.arange(1, 301)
    )
    optimum_is_below = objective(instance, TardinessSolution(np.argsort(instance.due_dates)))
    assert 0 < matching_bound(instance) <= optimum_is_below


def test_what_kind_of_instance_it_is():
    instance = TardinessInstance([10, 30], [10, 30])
    assert (tardiness_factor(instance), due_date_range(instance)) == (0.5, 0.5)


# Properties of the problem.


@given(instance=tardiness_instances(max_jobs=4), slack=st.integers(0, 9))
def test_later_due_dates_never_hurt(instance, slack):
    relaxed = replace(instance, due_dates=instance.due_dates + slack)
    assert tardiness_optimum(relaxed) <= tardiness_optimum(instance)


@given(instance=tardiness_instances(max_jobs=4), factor=st.integers(1, 5))
def test_everything_scales_with_the_times_and_with_the_weights(instance, factor):
    times = {
        key: None if getattr(instance, key) is None else getattr(instance, key) * factor
        for key in ("processing_times", "due_dates", "release_dates", "setups")
    }
    for changed in (
        replace(instance, **times),
        replace(instance, weights=instance.weights * factor),
    ):
        assert tardiness_optimum(changed) == factor * tardiness_optimum(instance)
        assert matching_bound(changed) == factor * matching_bound(instance)
        assert head_bound(changed) == factor * head_bound(instance)


# The data class.


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"processing_times": []}, "processing_times (0,), expected at least 1 job."),
        ({"processing_times": [1, 0, 2]}, "job 1: processing time 0, expected >= 1."),
        (
            {"processing_times": [1.0, 2.0, 3.0]},
            "processing_times: float64 (3,), expected integers in 1 dimension(s).",
        ),
        ({"due_dates": [1, 2]}, "due_dates: 2 values, expected 3 (one per job)."),
        ({"due_dates": [1, 2, 2**60]}, f"job 2: due date {2**60}, expected within 2^53."),
        ({"weights": [1, 2, -1]}, "job 2: weight -1, expected >= 0."),
        (
            {"weights": [1, float("nan"), 2]},
            "weights: float64 (3,), expected integers in 1 dimension(s).",
        ),
        ({"weights": [1, 2]}, "weights: 2 values, expected 3 (one per job)."),
        ({"release_dates": [0, -3, 0]}, "job 1: release date -3, expected >= 0."),
        ({"setups": [[0] * 3] * 3}, "setups (3, 3), expected (4, 3) (n + 1, n)."),
        (
            {"setups": [[0, 0, -2]] + [[0] * 3] * 3},
            "job 2: setup -2 as the first job, expected >= 0.",
        ),
        (
            {"setups": [[0] * 3, [0, 0, -1], [0] * 3, [0] * 3]},
            "job 2: setup -1 after job 0, expected >= 0.",
        ),
        (
            {"processing_times": [2**53, 1, 1]},
            f"the last job may end at {2**53 + 2}, expected below 2^53.",
        ),
        ({"weights": [2**53, 0, 0]}, f"the cost may reach {5 * 2**53}, expected below 2^53."),
        ({"cv": "much"}, "cv 'much', expected a number."),
        ({"scenario": 1.5}, "scenario 1.5, expected an integer."),
        ({"name": 3}, "name 3, expected a text."),
        ({"law": "normal"}, "law 'normal', expected one of: uniform, lognormal."),
    ],
)
def test_what_are_no_jobs_is_refused(fields, message):
    given_fields = {"processing_times": [1, 2, 3], "due_dates": [1, 2, 3], **fields}
    with pytest.raises(ValueError, match=exactly(message)):
        TardinessInstance(**given_fields)


def test_equal_instances_are_equal_however_they_are_given():
    plain = TardinessInstance([1, 2], [3, 4])
    assert plain == TardinessInstance(
        np.array([1, 2], dtype=np.int16),
        [3, 4],
        weights=[1, 1],
        release_dates=[0, 0],
        setups=[[0, 0], [7, 0], [0, 9]],  # a job does not follow itself
        name="another",
    )
    assert plain.is_plain
    assert not plain.is_weighted
    assert FULL.is_weighted
    assert not FULL.is_plain
    assert plain != replace(plain, weights=[1, 2])


def test_what_is_given_may_change_later_without_harm():
    due_dates = np.array([3, 4])
    instance = TardinessInstance([1, 2], due_dates)
    due_dates[0] = 9
    assert instance.due_dates.tolist() == [3, 4]
    with pytest.raises(ValueError, match="read-only"):
        instance.due_dates[0] = 9


@given(instance=stochastic_tardiness_instances())
def test_durations_depend_on_the_scenario_alone(instance):
    again = replace(instance, due_dates=instance.due_dates + 1)
    assert again.durations.tolist() == instance.durations.tolist()
    assert replace(instance, cv=0.0).durations.tolist() == instance.processing_times.tolist()


def test_scenarios_differ():
    instance = generate(30, seed=0, cv=0.4)
    others = [replace(instance, scenario=s).durations.tolist() for s in range(5)]
    assert len({tuple(durations) for durations in others}) == 5


# Files.


@given(instance=ANY)
def test_json_gives_the_instance_back(tmp_path_factory, instance):
    path = tmp_path_factory.mktemp("json") / "mine.json"
    write(instance, path)
    assert read(path) == instance


@given(instance=tardiness_instances())
def test_text_and_csv_give_back_what_they_can_hold(tmp_path_factory, instance):
    folder = tmp_path_factory.mktemp("text")
    csv, text = replace(instance, setups=None), replace(instance, setups=None, release_dates=None)
    write(csv, folder / "mine.csv")
    write(text, folder / "mine.txt")
    assert read(folder / "mine.csv") == csv
    assert read(folder / "mine.txt") == text


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("a.csv", {"setups": [[1, 1]] * 3}, "a.csv: cannot hold cv and setups"),
        ("a.csv", {"cv": 0.1}, "a.csv: cannot hold cv and setups"),
        ("a.txt", {"release_dates": [1, 1]}, "a.txt: cannot hold cv, setups and release dates"),
    ],
)
def test_formats_refuse_what_they_cannot_hold(tmp_path, name, fields, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}, expected a .json name"):
        write(TardinessInstance([1, 2], [3, 4], **fields), tmp_path / name)


def test_a_name_that_says_how_many_jobs_is_kept(tmp_path):
    with pytest.raises(ValueError, match=exactly("wt3.txt: 2 jobs, expected 3.")):
        write(TardinessInstance([1, 2], [3, 4]), tmp_path / "wt3.txt")


def test_a_file_with_several_instances(tmp_path):
    two = [TardinessInstance([1, 2], [3, 4]), TardinessInstance([5, 6], [7, 8], weights=[2, 3])]
    for name, options in (("wt2.txt", {}), ("two.txt", {"num_jobs": 2})):
        path = tmp_path / name
        path.write_text(to_text(two))
        assert [read(path, index=i, **options) for i in (1, 2)] == two
        assert read(path, index=2, **options).name == f"{path.stem}_002"
        with pytest.raises(ValueError, match=f"{name}: 2 instances, expected an index from 1."):
            read(path, **options)
        with pytest.raises(ValueError, match=f"{name}: index 3, expected 1..2."):
            read(path, index=3, **options)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "wt2.txt",
            "1 2 3 4 5 6 7",
            "wt2.txt: 7 integers, expected a multiple of 6 for 2 jobs each (processing times,"
            " weights, due dates).",
        ),
        (
            "a.txt",
            "1 2",
            "a.txt: 2 integers, expected a multiple of 3 (processing times, weights, due dates).",
        ),
        ("a.txt", "1 2\n3 x", "a.txt, line 2: 'x', expected an integer."),
        ("a.txt", f"1 1 {2**63}", f"a.txt: {2**63}, expected integers in 64 bits."),
        ("wt1.txt", "1 1 3 0 1 3", "wt1.txt, instance 2: job 0: processing time 0, expected >= 1."),
        (
            "a.csv",
            "processing_time,weight\n1,2\n",
            "a.csv: no column 'due_date', expected processing_time, due_date.",
        ),
        (
            "a.csv",
            "processing_time,due_date\n1,2\n3\n",
            "a.csv, job line 2: 1 values, expected 2.",
        ),
        (
            "a.csv",
            "processing_time,due_date\n1,2.5\n",
            "a.csv, job line 1, due_date: '2.5', expected an integer.",
        ),
        (
            "a.csv",
            "processing_time,due_date,weight\n1,2,nan\n",
            "a.csv, job line 1, weight: 'nan', expected an integer.",
        ),
        (
            "a.csv",
            "processing_time,due_date\n",
            "a.csv: processing_times (0,), expected at least 1 job.",
        ),
        (
            "a.csv",
            "processing_time,due_date\n0,2\n",
            "a.csv: job 0: processing time 0, expected >= 1.",
        ),
        (
            "a.json",
            '{"processing_times": [1], "due_dates": [2], "weights": [NaN]}',
            "a.json: weights: float64 (1,), expected integers in 1 dimension(s).",
        ),
        (
            "a.json",
            '{"processing_times": [1], "due": [2]}',
            "a.json: unknown field 'due', expected some of: ['processing_times', 'due_dates',"
            " 'weights', 'release_dates', 'setups', 'name', 'cv', 'law', 'scenario'].",
        ),
    ],
)
def test_bad_files_are_refused_with_file_place_and_reason(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=exactly(message)):
        read(tmp_path / name)


def test_csv_may_have_other_columns_and_spaces(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text("Customer, due_date ,processing_time\r\nA, 7 ,2\r\n\r\nB,-1,3\r\n")
    assert read(path) == TardinessInstance([2, 3], [7, -1])
    assert read(path, cv=0.2).cv == 0.2


def test_options_of_the_reader_are_checked(tmp_path):
    path = tmp_path / "jobs.json"
    write(TOY, path)
    with pytest.raises(ValueError, match="unknown option 'weight' for tardiness"):
        read(path, weight=3)
    with pytest.raises(ValueError, match=r"jobs\.json: index or num_jobs"):
        read(path, index=1)
    with pytest.raises(ValueError, match=exactly("x: 0 jobs, expected >= 1.")):
        parse("1 2 3", "x", 0)


def test_normal_form_does_not_depend_on_white_space():
    numbers = list(range(1, 61))
    words = " ".join(map(str, numbers))
    assert normalise(words, "a") == normalise(words.replace(" ", " \r\n"), "b")
    assert normalise(words, "a").splitlines()[1].split() == [str(i) for i in range(21, 41)]


# Generators.


@given(kind=st.sampled_from(sorted(GENERATORS)), n=st.integers(1, 30), seed=st.integers(0, 2**32))
def test_names_of_generated_instances_load_them_again(kind, n, seed):
    instance = generate(n, seed=seed, kind=kind)
    assert instance.num_jobs == n
    assert instance == load(f"tardiness/{instance.name}")
    assert instance == generate(n, seed=np.random.default_rng(seed), kind=kind)
    assert (instance.due_dates >= 0).all()


@given(
    seed=st.integers(0, 99), tf=st.sampled_from([0.2, 0.6, 1.0]), rdd=st.sampled_from([0.2, 1.0])
)
def test_due_dates_lie_in_the_published_interval(seed, tf, rdd):
    raw = pvw(40, seed=seed, tf=tf, rdd=rdd, negative_due_dates=True)
    total = raw.processing_times.sum()
    assert raw.due_dates.min() >= total * (1 - tf - rdd / 2) - 1
    assert raw.due_dates.max() <= total * (1 - tf + rdd / 2) + 1
    assert np.ptp(raw.due_dates) > 0.5 * rdd * total
    clipped = pvw(40, seed=seed, tf=tf, rdd=rdd)
    assert clipped.due_dates.tolist() == np.maximum(raw.due_dates, 0).tolist()


def test_processing_times_cover_their_range():
    assert set(pvw(2000, seed=0).processing_times.tolist()) == set(range(1, 101))
    times = normal(4000, seed=0).processing_times
    assert times.min() >= 1
    assert abs(times.mean() - 60) < 1.5
    assert abs(times.std() - 20) < 1


def test_options_add_to_the_same_jobs():
    plain = pvw(50, seed=3)
    full = pvw(50, seed=3, max_weight=10, releases=0.5, setups=0.25)
    assert plain.processing_times.tolist() == full.processing_times.tolist()
    assert plain.due_dates.tolist() == full.due_dates.tolist()
    assert set(full.weights.tolist()) == set(range(1, 11))
    assert full.release_dates.max() <= 0.5 * plain.processing_times.sum()
    assert abs(full.setups.mean() / (0.25 * plain.processing_times.mean()) - 1) < 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pvw(0, seed=0), "0 jobs, expected >= 1."),
        (
            lambda: pvw(3, seed=0, tff=1),
            "unknown option 'tff' for pvw, expected some of: max_weight",
        ),
        (lambda: pvw(3, seed=0, tf=3), "tf 3, expected between 0 and 2."),
        (lambda: pvw(3, seed=0, rdd=-1), "rdd -1, expected between 0 and 2."),
        (lambda: pvw(3, seed=0, high=0), "high 0, expected >= 1."),
        (lambda: pvw(3, seed=0, max_weight=0), "max_weight 0, expected >= 1."),
        (lambda: pvw(3, seed=0, setups=-1), "setups -1, expected between 0 and 100."),
        (
            lambda: generate(3, seed=0, kind="x"),
            "unknown kind 'x', expected one of: pvw, weighted,",
        ),
        (lambda: normal(3, seed=0, mean=0), "mean 0 and deviation 20.0, expected a positive mean"),
    ],
)
def test_generators_refuse_what_they_cannot_make(call, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        call()


# The public benchmarks.


def test_names_of_the_benchmarks():
    names = tardiness.names()
    assert len(names) == len(set(names)) == 2 * 375 + 400
    assert {"wt40_001", "wt100_125", "t50_077", "paper500_200"} <= set(names)
    assert "tardiness" in FAMILIES
    with pytest.raises(ValueError, match=exactly("unknown tardiness benchmark 'wt40_126'.")):
        tardiness.load("wt40_126")


def test_absent_files_are_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("GAPGYM_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"^shang_unweighted_100.npz: not in .*/tardiness; it has"):
        load_all("tardiness", ["paper"])
    assert best_known(replace(pvw(100, seed=0))) is None


def test_best_known_goes_by_content():
    assert best_known(TOY) is None
    assert best_known(replace(TOY, name="wt40_001")) is None


def test_content_keys_tell_weights_and_order_apart():
    one, two = TardinessInstance([1, 2], [3, 4]), TardinessInstance([2, 1], [3, 4])
    assert len({content_key(x) for x in (one, two, replace(one, weights=[1, 2]))}) == 3


@pytest.mark.data
def test_the_public_files_are_those_of_the_manifest(data_folder):
    import hashlib

    entries = cache.entries("tardiness")
    assert [entry.file for entry in entries] == [f"tardiness/wt{n}.txt" for n in (40, 50, 100)]
    for entry in entries:
        content = normalise((data_folder / entry.file).read_text(), "any")
        assert hashlib.sha256(content.encode()).hexdigest() == entry.sha256


@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
def test_optima_of_the_public_instances_by_name():
    optima = {"wt40_001": 913, "wt40_002": 1225, "wt40_003": 537, "wt40_004": 2094, "wt40_005": 990}
    optima |= {"t40_001": 479, "t40_002": 600}
    for name, optimum in optima.items():
        instance = load(f"tardiness/{name}")
        reference = best_known(replace(instance, name="renamed"))
        assert (reference.lower, reference.upper) == (optimum, optimum)
        assert best_known(replace(instance, cv=0.1)) is None
        assert best_known(replace(instance, release_dates=[1] * instance.num_jobs)) is None


@pytest.mark.data
def test_optima_equal_the_public_tables_and_the_bounds_respect_them(data_folder):
    folder = data_folder / "tardiness"
    for n, table in ((40, "wtopt40.txt"), (50, "wtopt50.txt"), (100, "wtbest100b.txt")):
        published = [int(word) for word in (folder / table).read_text().split()]
        for index, optimum in enumerate(published, start=1):
            for name, best in ((f"wt{n}_{index:03d}", optimum), (f"t{n}_{index:03d}", None)):
                instance = load(f"tardiness/{name}")
                known = best_known(instance).upper
                assert best in (None, known), name
                assert lower_bound(instance) <= known <= upper_bound(instance)


@pytest.mark.data
def test_the_instances_of_the_paper_have_their_optima(data_folder):
    for n in (100, 500):
        with np.load(data_folder / f"tardiness/shang_unweighted_{n}.npz") as data:
            optima = data["opt"]
        instances = load_all("tardiness", [f"paper{n}_*"])
        assert [best_known(instance).upper for instance in instances] == optima.tolist()
        assert all(lower_bound(x) <= best_known(x).upper for x in instances[:40])


@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
def test_sets_of_benchmarks_have_a_name():
    for n, count in ((100, 163), (500, 160)):
        kept = {instance.name for instance in load_all("tardiness", [f"paper{n}"])}
        assert len(kept) == count
        for instance in load_all("tardiness", [f"paper{n}_*"]):
            assert (instance.name in kept) == (best_known(instance).upper > 0)
    assert len(load_all("tardiness", ["paper"])) == 163 + 160
    assert len(load_all("tardiness", ["weighted", "t40_00*"])) == 375 + 9


# The picture.


def test_picture_shows_what_is_late():
    drawn = picture(FULL, TardinessSolution([1, 0, 2]))
    assert drawn.title == "tardiness: total weighted tardiness 18, 2 of 3 jobs tardy"
    above = [(box.x, box.width, box.height) for box in drawn.boxes if box.y == 0]
    assert above == [(2, 2, 10), (6, 3, 8)]
    strip = [box for box in drawn.boxes if box.y + box.height == 0]
    work = [(box.x, box.width, box.group) for box in strip if "setup" not in box.detail]
    assert work == [(2, 2, 3), (6, 3, 3), (11, 4, 0)]
    assert [(box.x, box.width) for box in strip if "setup" in box.detail] == [
        (0, 2),
        (4, 2),
        (9, 2),
    ]
    dues = [box for box in drawn.boxes if box.y + box.height < 0]
    assert [round(box.x + box.width) for box in dues] == [2, 5, 20]


def test_picture_splits_a_job_at_its_due_date():
    drawn = picture(TardinessInstance([10], [4]), TardinessSolution([0]))
    strip = [(box.x, box.width, box.group) for box in drawn.boxes if box.y + box.height == 0]
    assert strip == [(0, 4, 0), (4, 6, 3)]


def test_picture_of_an_unfinished_sequence_shows_what_is_there():
    drawn = picture(TOY, TardinessSolution([3, -1, -1, -1, -1, -1]))
    assert drawn.title == "toy: total tardiness 0, 0 of 6 jobs tardy"
    assert sum("not yet" in box.detail for box in drawn.boxes) == 5


def test_solutions_go_through_json():
    solution = TardinessSolution([2, 0, 1])
    assert TardinessSolution.from_json(json.loads(json.dumps(solution.to_json()))) == solution
