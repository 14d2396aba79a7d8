"""`filterscope inspect --classes`: which classes get an image, and what is refused before the work."""

import filterscope as fs


def test_classes_named_get_an_image_with_the_settings_of_the_optima(run, tmp_path):
    out = tmp_path / "x.atlas"
    options = ["--layers", "block1.conv1", "--lens", "classes", "--classes", "bee", "--classes", "13", "--seed", "4"]
    code, said, _ = run("inspect", "demo", "--out", out, *options, "--steps", "2")
    assert code == 0
    assert said.startswith("wrote 1 layers")
    frame = fs.Atlas(out).classes()
    assert list(frame["name"]) == ["bee", "turtle"]
    assert set(frame["seed"]) == {4}
    assert (frame["steps"] <= 2 * (1 + 2 + 3)).all()
    assert set(fs.Atlas(out).contributions()["layer"]) == {"block1.conv1"}


def test_a_class_that_does_not_exist_is_refused_before_any_work(run, refused, tmp_path):
    refused(run("inspect", "demo", "--out", tmp_path / "a", "--classes", "lepard"), "did you mean 'leopard'")
    assert not (tmp_path / "a").exists()
