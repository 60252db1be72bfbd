"""Sentences on how records were measured."""

from collections.abc import Callable
from dataclasses import replace

from attribution_bench.benchmark.results import OutputCheck, Record
from attribution_bench.environment import Machine
from attribution_bench.reporting.conditions import checks_sentence, convergence, difference_sentence, facts


def test_one_machine_and_framework_make_one_plain_sentence(mixed_row: list[Record]) -> None:
    sentence = difference_sentence(mixed_row)
    assert sentence.startswith(
        "Measured on Example CPU (2 cores, 8 GiB memory, no GPU used), Linux 6.1: "
        "PyTorch 2.13.0, device cpu, 2 threads. "
    )
    assert "one NVIDIA Tesla P100, TensorFlow 2.3" in sentence


def test_frameworks_and_machines_are_told_apart(make_record: Callable[..., Record]) -> None:
    other = Machine("Linux 6.8", "Other CPU", cores=1, memory_bytes=3 * 2**29, gpu="Example GPU")
    records = [
        make_record("fastism", 1.0),
        make_record("deepshap", 1.0),
        make_record("fastism", 1.0, framework="keras"),
        make_record("fastism", 1.0, length=2000, machine=other, device="cuda:0", threads=1),
    ]
    sentence = difference_sentence(records)
    assert (
        "Measured on Example CPU (2 cores, 8 GiB memory, no GPU used), Linux 6.1: Keras 3.15.1 (TensorFlow 2.21.0), "
        "device cpu, 2 threads (1 cell); PyTorch 2.13.0, device cpu, 2 threads (2 cells)."
    ) in sentence
    assert (
        "Measured on Other CPU (1 core, 1.5 GiB memory, Example GPU), Linux 6.8: PyTorch 2.13.0, "
        "device cuda:0, 1 thread."
    ) in sentence


def test_other_models_are_not_compared_with_the_paper(make_record: Callable[..., Record]) -> None:
    assert "paper" not in difference_sentence([make_record("fastism", 1.0, architecture="mine")])


def test_facts_name_every_value_that_differs(make_record: Callable[..., Record]) -> None:
    first = make_record("fastism", 1.0)
    assert first.commit is not None
    records = [
        first,
        make_record("deepshap", 1.0, commit=replace(first.commit, dirty=True), date="2026-01-03T00:00:00Z"),
        make_record(
            "standard_ism",
            1.0,
            versions={"torch": "2.6.0"},
            batch_size=32,
            settings={"full": True},
            durations=(1.0,),
        ),
        make_record("zoom", None, status="failed", error="E: e", commit=None, settings={}),
    ]
    found = dict(facts(records))
    assert found["commit"] == "0123456789ab; 0123456789ab with uncommitted changes; not from a checkout"
    assert found["measured on"] == "2026-01-02 to 2026-01-03"
    assert found["versions"] == "keras 3.15.1, python 3.12.1, tensorflow 2.21.0, torch 2.13.0 and 2.6.0"
    assert found["batch sizes tried"] == "8"
    assert found["batch sizes chosen"] == "8, 32"
    assert found["time budget a cell"] == "6 s, the warm-up not counted; none: everything was measured; not recorded"
    assert found["rounds a cell"].startswith("1 to 3;")
    assert "is 0% in the middle of 2 cells with several rounds and 0% at most" in found["spread of the rounds"]


def test_the_spread_of_the_rounds_is_told(make_record: Callable[..., Record]) -> None:
    rounds = ((1.0, 1.0, 2.0), (1.0, 1.1, 0.9), (2.0, 2.0, 2.0), (5.0,))
    records = [make_record("fastism", 1.0, length=length, durations=found) for length, found in enumerate(rounds, 1000)]
    assert dict(facts(records))["spread of the rounds"].endswith(
        "is 20% in the middle of 3 cells with several rounds and 100% at most"
    )
    assert dict(facts(records[3:]))["spread of the rounds"] == "not known: no cell has several rounds"


def test_the_papers_figures_are_said_to_be_amortised_and_over_how_many_ours_are(
    make_record: Callable[..., Record],
) -> None:
    sentence = difference_sentence(
        [make_record("fastism", 1.0, asked=(30, 1000, 1), done=(30, 1000, 1)), make_record("deepshap", 1.0)]
    )
    assert "amortised over up to 4096 sequences at once" in sentence
    assert "2.70 s per 100 Basset sequences of 1000 letters with 4096 of them at once, and 72.6 s with 64" in sentence
    assert "here at most 100 are scored at once" in sentence
    failed = difference_sentence([make_record("fastism", None, status="failed", error="E: e", asked=None)])
    assert "amortised" in failed
    assert "here at most" not in failed


def test_what_explains_one_output_of_many_is_not_compared_with_the_paper(make_record: Callable[..., Record]) -> None:
    one_output = make_record("fastism", 1.0, architecture="bpnet", settings={"target": "count"})
    assert "paper" not in difference_sentence([one_output])


def test_a_machine_without_tensorflow_is_described(make_record: Callable[..., Record]) -> None:
    for framework in ("torch", "keras"):
        sentence = difference_sentence([make_record("fastism", 1.0, framework=framework, versions={"torch": "2.13.0"})])
        assert "TensorFlow" not in sentence.split("The paper's")[0]


def test_checks_are_counted_and_the_worst_is_told(mixed_row: list[Record], make_record: Callable[..., Record]) -> None:
    assert checks_sentence([make_record("fastism", 1.0)]) == "No output was checked."
    sentence = checks_sentence(mixed_row)
    assert sentence.startswith("The outputs of 1 of 2 cells that were checked passed.")
    assert "at most 2.0e-07" in sentence


def test_the_largest_convergence_delta_of_each_method_is_listed(make_record: Callable[..., Record]) -> None:
    records = [
        make_record("deepshap", 1.0, length=length, check=OutputCheck("completeness", True, convergence_delta=delta))
        for length, delta in ((1000, 1e-6), (2000, 3.04e-5), (3000, 0.0))
    ]
    assert convergence(records) == [("DeepSHAP", "3.0e-05")]
