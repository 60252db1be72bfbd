"""`attribution-bench demo`: what it writes can be compared and plotted again."""

import json

from attribution_bench.registry import list_methods


def test_the_demonstration_finds_its_motifs(command, tmp_path):
    output = tmp_path / "demo"
    done = command("demo", "--no-open", "--count", 3, "--output", output, "--threads", 1)
    assert done.code == 0, done.err
    assert str(output / "index.html") in done.out
    stored = json.loads((output / "evaluation.json").read_text())
    assert [method["method"] for method in stored["methods"]] == list_methods()
    for method in stored["methods"]:
        if method["exact"]:
            assert method["means"]["auroc"]["mean"] > 0.9
    drawn = command(
        "plot", output / "scores" / "fastism.npz", "--sequence", stored["names"][1], "--sites", output / "sites.bed",
        "--output", output / "logo.svg",
    )  # fmt: skip
    assert drawn.code == 0, drawn.err
    compared = command(
        "compare", "demo_classifier", output / "sequences.fa", "--sites", output / "sites.bed", "--repeated", 0,
        "--methods", "fastism,gradient_x_input", "--output", tmp_path / "again", "--threads", 1,
    )  # fmt: skip
    assert compared.code == 0, compared.err
    again = json.loads((tmp_path / "again" / "evaluation.json").read_text())
    assert again["sites"] == stored["sites"]


def test_the_profile_model_has_a_count_to_explain(command, tmp_path):
    done = command("demo", "--no-open", "--model", "profile", "--count", 2, "--output", tmp_path, "--threads", 1)
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "evaluation.json").read_text())["target"] == "count:0"
